"""The passwords of Kafka's principals: one in each `<directory>/<principal>/password`.

A directory each, so that a process can be shown its own and no other.
"""

import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from runtime.settings import Settings
from schemas.acls import ADMIN, PRINCIPALS

BROKER: Final = "broker"
"""Who the broker is to itself; never signs in where services do."""
SIGNED_IN: Final = (*PRINCIPALS, ADMIN)
"""Who signs in where services do, by SCRAM."""
_PASSWORD: Final = "password"  # noqa: S105  # the file's name
_BYTES: Final = 32


def kafka_passwords(settings: Settings) -> Path:
    """The directory of the local stack's passwords."""
    return settings.secrets / "kafka"


def password_file(directory: Path, principal: str) -> Path:
    """Where the principal's password is."""
    return directory / principal / _PASSWORD


def ensure_passwords(
    directory: Path, principals: Iterable[str] = (*SIGNED_IN, BROKER), *, mode: int = 0o600
) -> Path:
    """Make those that are missing; whoever comes first wins, also between processes."""
    for each in principals:
        _ensure(password_file(directory, each), mode)
    return directory


def read_password(directory: Path, principal: str) -> str:
    """The principal's password.

    Raises:
        FileNotFoundError: `ensure_passwords` was not called for this directory.
    """
    return password_file(directory, principal).read_text().strip()


def credentials_of(directory: Path | None, principal: str) -> dict[str, str]:
    """Environment with which a process signs in; none without a directory."""
    if directory is None:
        return {}
    return {
        "CNOP_KAFKA_USERNAME": principal,
        "CNOP_KAFKA_PASSWORD_FILE": str(password_file(directory, principal).absolute()),
    }


def _ensure(path: Path, mode: int) -> None:
    """Write a new password unless one is there; it appears whole or not at all."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            return  # another process was first: its password counts
    finally:
        draft.unlink()
