"""CloudEvents 1.0 in Kafka binary mode: which headers a record carries, and how they are read."""

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha1
from typing import Final, NamedTuple

import msgspec

Headers = list[tuple[str, bytes]]
"""Kafka record headers as aiokafka takes and gives them."""

CE_ID: Final = "ce_id"
CE_TYPE: Final = "ce_type"
CE_SOURCE: Final = "ce_source"
CE_SPECVERSION: Final = "ce_specversion"
CE_TIME: Final = "ce_time"
CONTENT_TYPE: Final = "content-type"
TRACEPARENT: Final = "traceparent"
CORRELATION_ID: Final = "correlation-id"
CAUSATION_ID: Final = "causation-id"

COMMAND_ID: Final = "command-id"
EXPIRES_AT: Final = "expires-at"
"""Broker time in ms after which an undecided command is refused (C2)."""
FINGERPRINT: Final = "fingerprint"
"""Keyed HMAC of the plain body, hex (C1)."""
RETAIN_UNTIL: Final = "retain-until"
"""Broker time in ms until which the command id is remembered (C1)."""
REPLY_TO: Final = "reply-to"
"""`<partition of gateway.replies>/<id of the command somebody waits for>`."""

X_SOURCE: Final = "x-source"
"""Which kind of process sent a client command, as the topic registry calls its writers."""
X_AUTH_SERVICE: Final = "x-auth-service"
"""`AUTH_SERVICE` where the gateway sends on behalf of a caller whom the auth service knows."""
USER_ID: Final = "x-user-id"
"""The caller; records of earlier builds have it as `USER_ID_BEFORE`."""
USER_ID_BEFORE: Final = "user-id"
X_USER_ROLE: Final = "x-user-role"
AUTH_SERVICE: Final = b"auth-service"

SOURCE: Final = "source"
"""`<context>/<partition>/<topic generation>` of a fact (O1)."""
SOURCE_SEQUENCE: Final = "source-sequence"
WRITER_EPOCH: Final = "writer-epoch"
SOURCE_OFFSET: Final = "source-offset"
LOGICAL_TIME: Final = "logical-time"
ENTITY_ID: Final = "entity-id"
ENTITY_VERSION: Final = "entity-version"

_NAMESPACE: Final = uuid.UUID("6f2f4b0e-0a5c-5a54-9a0b-5d0a3c1d7a11").bytes


class ReplyRoute(msgspec.Struct, frozen=True, gc=False):
    """Who waits: a partition of `gateway.replies` and the id of the client's command."""

    partition: int
    command_id: str

    def encode(self) -> bytes:
        """As the `reply-to` header carries it."""
        return f"{self.partition}/{self.command_id}".encode()

    @classmethod
    def decode(cls, header: bytes) -> "ReplyRoute":
        """Read a `reply-to` header.

        Raises:
            ValueError: not `<partition>/<id>`.
        """
        partition, _, command_id = header.decode().partition("/")
        if not command_id:
            raise ValueError("reply-to is not <partition>/<command id>")
        return cls(int(partition), command_id)


class Cause(msgspec.Struct, frozen=True, gc=False):
    """What deciding and evolving may know of the inbox record behind an event.

    The same value is built from an inbox record and from a journal record's headers (W7), so
    replay sees what the first decision saw. Times are broker milliseconds (T1).
    """

    topic: str
    partition: int
    offset: int
    time_ms: int
    command_id: str
    user_id: str | None = None
    reply_to: ReplyRoute | None = None
    expires_at_ms: int | None = None
    source: str | None = None
    source_sequence: int | None = None
    correlation_id: str | None = None

    def new_id(self, n: int = 0) -> str:
        """The nth id that this record creates: uuid5 of its place, 32 hex digits (C2)."""
        return derived_id(self.topic, self.partition, self.offset, n)


def derived_id(*parts: str | int) -> str:
    """A uuid5 over the parts as 32 hex digits (RFC 9562), without the 3 µs of a UUID object."""
    name = "/".join(map(str, parts)).encode()
    digest = bytearray(sha1(_NAMESPACE + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50  # version 5
    digest[8] = digest[8] & 0x3F | 0x80  # variant
    return digest.hex()


@lru_cache(maxsize=1024)
def rfc3339(time_ms: int) -> str:
    """Milliseconds since 1970 as RFC 3339 UTC with milliseconds.

    The messages of one batch share their log time, and what follows from one its cause's.
    """
    return f"{_second(time_ms // 1000)}.{time_ms % 1000:03d}Z"


@lru_cache(maxsize=1024)
def _second(time_s: int) -> str:
    """Most times that a process writes are of the seconds just past."""
    return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%dT%H:%M:%S}"


def cloud_event(*, event_id: str, event_type: str, source: str, time_ms: int) -> Headers:
    """The CloudEvents headers of a JSON message."""
    return [
        (CE_SPECVERSION, b"1.0"),
        (CE_ID, event_id.encode()),
        (CE_TYPE, event_type.encode()),
        (CE_SOURCE, source.encode()),
        (CE_TIME, rfc3339(time_ms).encode()),
        (CONTENT_TYPE, b"application/json"),
    ]


def header_map(headers: Iterable[tuple[str, bytes]]) -> Mapping[str, bytes]:
    """Headers by name; the last of a repeated name counts."""
    return dict(headers)


class Recorded(NamedTuple):
    """Where a journal record stands and what it says of itself (W7); times are broker ms."""

    journal: str
    partition: int
    offset: int
    epoch: int
    event_type: str
    entity_id: str
    entity_version: int
    cause: Cause
