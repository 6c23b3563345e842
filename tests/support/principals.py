"""The tests' broker, and settings as each of its principals has them."""

from pathlib import Path
from typing import NamedTuple

from runtime.security.kafka_passwords import password_file
from runtime.settings import Settings
from schemas.acls import ADMIN


class Broker(NamedTuple):
    """Where it is, and the directory of its passwords; None where nobody signs in."""

    bootstrap: str
    credentials: Path | None

    def settings(self, **more: object) -> Settings:
        """Settings of its administrator."""
        found: dict[str, object] = {"kafka_bootstrap": self.bootstrap}
        if self.credentials:
            found |= {
                "kafka_username": ADMIN,
                "kafka_password_file": password_file(self.credentials, ADMIN),
            }
        return Settings.model_validate(found | more)


def as_principal(settings: Settings, principal: str) -> Settings:
    """The administrator's settings as another principal has them."""
    if settings.kafka_password_file is None:
        return settings
    directory = settings.kafka_password_file.parents[1]
    own = {
        "kafka_username": principal,
        "kafka_password_file": password_file(directory, principal),
    }
    return settings.model_copy(update=own)
