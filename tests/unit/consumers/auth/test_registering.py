"""Every registration gets an outcome at identity, also one that auth cannot serve."""

from typing import Any, cast

import pytest
from aiokafka.structs import ConsumerRecord

from consumers.auth.passwords import Passwords
from consumers.auth.registering import Registering
from consumers.auth.sender import Sender
from consumers.auth.service import Auth
from consumers.identity.context import IdentityContext
from runtime.errors import Unavailable
from runtime.journal.partition import Partition
from runtime.log import Record
from runtime.memory_table import Fault, MemoryTable
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.sealed import OpeningKey
from runtime.security.vault import VAULT, Vault
from runtime.settings import Settings
from schemas.auth import Refused, Register, RegisterSecret, Sealed
from schemas.codec import encode
from schemas.envelope import (
    CE_TYPE,
    COMMAND_ID,
    CORRELATION_ID,
    EXPIRES_AT,
    REPLY_TO,
    X_SOURCE,
    Headers,
    ReplyRoute,
    header_map,
)
from schemas.identity import RegistrationStarted
from schemas.journal import CommandRefused
from schemas.topics import GATEWAY_REPLIES, IDENTITY_COMMANDS

NOW_MS = 1_000
OPENING = OpeningKey.generate()
SECRET = RegisterSecret(
    username="ann_lee",
    email="ann@example.org",
    password="Str0ng!Passw0rd",  # noqa: S106  # an example
    first_name="Ann",
    last_name="Lee",
)


class Sent(Sender):
    """A sender that keeps what it sends by topic; the first attempts fail where asked."""

    def __init__(self, failures: int = 0) -> None:
        super().__init__(Settings())
        self.failures = failures
        self.records: dict[str, list[tuple[bytes | None, bytes | None, Headers]]] = {}

    async def send(
        self,
        topic: str,
        value: bytes | None,
        headers: Headers,
        *,
        key: bytes | None = None,
        partition: int | None = None,  # noqa: ARG002
    ) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("no broker")
        self.records.setdefault(topic, []).append((key, value, headers))


class NoTail:
    """Auth's tail as far as registrations use it."""

    keys = type("Keys", (), {"forwarded": staticmethod(lambda *_: None)})()


def auth(sender: Sender, *, is_vault_down: bool = False) -> Auth:
    faults = (lambda _: Fault.THROTTLED) if is_vault_down else (lambda _: None)
    tail = cast("Any", NoTail())
    registering = Registering(
        passwords=Passwords(),
        pseudonyms=Pseudonyms(b"k" * 32),
        vault=Vault(MemoryTable([VAULT], faults=faults)),
        sender=sender,
        tail=tail,
    )
    other: Any = None
    return Auth(
        opening=OPENING,
        tokens=other,
        registering=registering,
        signing_in=other,
        refreshing=other,
        changing_password=other,
        sender=sender,
        tail=tail,
    )


def request(secret: Sealed) -> "ConsumerRecord[bytes, bytes]":
    message = Register(secret=secret)
    headers = [
        (CE_TYPE, message.TYPE.encode()),
        (COMMAND_ID, b"command"),
        (EXPIRES_AT, str(NOW_MS + 5_000).encode()),
        (X_SOURCE, b"gateway"),
        (REPLY_TO, ReplyRoute(0, "command").encode()),
        (CORRELATION_ID, b"\xff"),
    ]
    value = encode(message)
    return ConsumerRecord(
        "auth.requests", 0, 0, NOW_MS, 1, None, value, None, 0, len(value), tuple(headers)
    )


def decided(sender: Sent) -> list[str]:
    """What identity makes of the one command that it gets."""
    ((key, value, headers),) = sender.records[IDENTITY_COMMANDS]
    partition = Partition(IdentityContext(), 0, lambda _: 1)
    record = Record(0, NOW_MS, key, value, headers)
    return [header_map(each.headers)[CE_TYPE].decode() for each in partition.decide(record)]


@pytest.mark.parametrize(
    ("secret", "is_vault_down"),
    [(OPENING.sealing.seal(SECRET), True), (OpeningKey.generate().sealing.seal(SECRET), False)],
)
async def test_a_registration_that_auth_cannot_serve_is_refused_at_identity(
    secret: Sealed,
    is_vault_down: bool,  # noqa: FBT001  # a parameter
) -> None:
    sender = Sent()
    await auth(sender, is_vault_down=is_vault_down).handle(request(secret))
    assert decided(sender) == [CommandRefused.TYPE]
    ((_, _, headers),) = sender.records[GATEWAY_REPLIES]
    assert header_map(headers)[CE_TYPE].decode() == Refused.TYPE


async def test_a_registration_is_forwarded_until_the_log_takes_it() -> None:
    sender = Sent(failures=1)
    await auth(sender).handle(request(OPENING.sealing.seal(SECRET)))
    assert decided(sender) == [RegistrationStarted.TYPE]
    assert GATEWAY_REPLIES not in sender.records


async def test_what_cannot_be_served_keeps_its_names_secret() -> None:
    sender = Sent()
    await auth(sender, is_vault_down=True).handle(request(OPENING.sealing.seal(SECRET)))
    assert "ann" not in str(sender.records)
