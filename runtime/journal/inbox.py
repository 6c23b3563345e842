"""Reading an inbox record: a client's command, a fact of another context, or neither."""

from collections.abc import Mapping
from typing import Final

import msgspec

from runtime.log import Record
from schemas.codec import PoisonMessage
from schemas.envelope import (
    AUTH_SERVICE,
    CE_TYPE,
    COMMAND_ID,
    CORRELATION_ID,
    EXPIRES_AT,
    FINGERPRINT,
    LOGICAL_TIME,
    REPLY_TO,
    RETAIN_UNTIL,
    SOURCE,
    SOURCE_OFFSET,
    SOURCE_SEQUENCE,
    USER_ID,
    USER_ID_BEFORE,
    X_AUTH_SERVICE,
    X_SOURCE,
    X_USER_ROLE,
    Cause,
    ReplyRoute,
)
from schemas.identity import Role
from schemas.topics import CONTEXTS, REGISTRY, inbox_of

_HEADERS_BYTES_MAX: Final = 1_024
"""How much header text of a command is carried on, so that batches can be cut by bodies (W4)."""
_COMMAND_BYTES_MAX: Final = 32 * 1_024
"""A larger client command is discarded, so that what follows from it fits everywhere (W3)."""
_GATEWAY: Final = b"gateway"
_OPERATORS: Final = b"operators"
_OPERATOR: Final = Role.OPERATOR.encode()
_ROLES: Final = frozenset(each.encode() for each in Role)
_SOURCES: Final = {
    inbox: frozenset(each.encode() for each in REGISTRY[inbox].writers if each not in CONTEXTS)
    for inbox in map(inbox_of, CONTEXTS)
}
"""Who may send client commands to which inbox; what deciders send are facts."""


class Incoming(msgspec.Struct, frozen=True, gc=False):
    """An inbox record that can be decided, or a journal record's cause, which reads the same."""

    type: str
    cause: Cause
    fingerprint: bytes
    retain_until_ms: int
    keyed: bool


def is_fact(headers: Mapping[str, bytes]) -> bool:
    """Whether another partition sent this: it may then never be refused (O3)."""
    return SOURCE in headers


def is_of_operator(headers: Mapping[str, bytes]) -> bool:
    """Whether an operator sent this command, by the command line or through the gateway."""
    source = headers.get(X_SOURCE)
    return source == _OPERATORS or (source == _GATEWAY and headers.get(X_USER_ROLE) == _OPERATOR)


def carriable(headers: Mapping[str, bytes | None]) -> dict[str, bytes]:
    """Those headers of a broken record that a journal record may carry: short ASCII text."""
    kept = {name: value for name, value in headers.items() if value and value.isascii()}
    return kept if len(b"".join(kept.values())) <= _HEADERS_BYTES_MAX else {}


def read_incoming(
    topic: str, partition: int, record: Record, headers: Mapping[str, bytes], *, time_ms: int
) -> Incoming:
    """Read the headers of an inbox record; `time_ms` is its logical time.

    Raises:
        PoisonMessage: a header is missing or cannot be read, or nobody may send this here.
    """
    try:
        _check_text(headers)
        if SOURCE not in headers:
            _check_command(topic, headers, len(record.value or b""))
        return _incoming(topic, partition, record.offset, headers, time_ms)
    except (KeyError, ValueError, TypeError) as error:  # a header may be missing, or null
        raise PoisonMessage(f"headers: {error}") from error


def _check_text(headers: Mapping[str, bytes]) -> None:
    text = b"".join(headers.values())
    if len(text) > _HEADERS_BYTES_MAX or not text.isascii():
        raise ValueError("values are not short ASCII text")


def _check_command(topic: str, headers: Mapping[str, bytes], size_bytes: int) -> None:
    """A client command is small, and says who sent it and on whose behalf."""
    if size_bytes > _COMMAND_BYTES_MAX:
        raise ValueError("command is too large")
    source = headers.get(X_SOURCE)
    if source not in _SOURCES[topic]:
        raise ValueError("x-source is nobody who may send this")
    if source == _GATEWAY and not (
        headers.get(X_AUTH_SERVICE) == AUTH_SERVICE
        and headers.get(USER_ID)
        and headers.get(X_USER_ROLE) in _ROLES
    ):
        raise ValueError("the gateway does not say for whom")


def recorded_cause(topic: str, partition: int, headers: Mapping[str, bytes]) -> Incoming:
    """Read the same from a journal record's headers, as the first decision saw it (W7)."""
    return _incoming(
        topic, partition, int(headers[SOURCE_OFFSET]), headers, int(headers[LOGICAL_TIME])
    )


def _incoming(
    topic: str, partition: int, offset: int, headers: Mapping[str, bytes], time_ms: int
) -> Incoming:
    get = headers.get
    command_id = headers[COMMAND_ID]
    if not command_id:
        raise ValueError("command-id is empty")
    reply_to, user, expires, retain = (
        get(REPLY_TO),
        get(USER_ID) or get(USER_ID_BEFORE),
        get(EXPIRES_AT),
        get(RETAIN_UNTIL),
    )
    source, correlation = get(SOURCE), get(CORRELATION_ID)
    expires_at_ms = int(expires) if expires is not None else None
    return Incoming(
        headers[CE_TYPE].decode(),
        Cause(
            topic,
            partition,
            offset,
            time_ms,
            command_id.decode(),
            user.decode() if user is not None else None,
            ReplyRoute.decode(reply_to) if reply_to is not None else None,
            expires_at_ms,
            source.decode() if source is not None else None,
            int(headers[SOURCE_SEQUENCE]) if source is not None else None,
            correlation.decode() if correlation is not None else None,
        ),
        get(FINGERPRINT, b""),
        int(retain) if retain is not None else (expires_at_ms or time_ms),
        retain is not None,
    )
