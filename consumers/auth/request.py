"""A request as it stands on `auth.requests`, and the records that follow from it."""

from collections.abc import Mapping
from typing import Final, NamedTuple, cast

from aiokafka import ConsumerRecord

from schemas.auth import REQUESTS
from schemas.codec import Message, PoisonMessage
from schemas.envelope import (
    CE_TYPE,
    COMMAND_ID,
    CORRELATION_ID,
    EXPIRES_AT,
    FINGERPRINT,
    REPLY_TO,
    RETAIN_UNTIL,
    TRACEPARENT,
    X_SOURCE,
    Headers,
    ReplyRoute,
    cloud_event,
    header_map,
)

_SOURCE: Final = "cnop/auth"
_ANSWERED: Final = 0.8
"""Of the time that a gateway waits, from when the broker got its request."""
_PATIENCE_S_MAX: Final = 10.0
"""Well below identity's 30 s, after which a reserved attempt stops counting."""
_FROM_GATEWAY: Final = b"gateway"
_FROM_AUTH: Final = (X_SOURCE, b"auth")
_FORWARDED: Final = (
    COMMAND_ID,
    EXPIRES_AT,
    RETAIN_UNTIL,
    FINGERPRINT,
    REPLY_TO,
    CORRELATION_ID,
    TRACEPARENT,
)
_TRACED: Final = (CORRELATION_ID, TRACEPARENT)


class Request(NamedTuple):
    """A decoded request; times are broker milliseconds."""

    message: Message
    headers: Mapping[str, bytes]
    appended_ms: int
    expires_at_ms: int

    @classmethod
    def of(cls, record: ConsumerRecord[bytes, bytes]) -> "Request":
        """Decode a record.

        Raises:
            PoisonMessage: it is no request, or not a gateway's.
        """
        headers = _readable(record)
        if headers.get(X_SOURCE) != _FROM_GATEWAY:
            raise PoisonMessage("x-source is not a gateway")
        try:
            event_type = headers[CE_TYPE].decode()
            expires_at_ms = int(headers[EXPIRES_AT])
            ReplyRoute.decode(headers[REPLY_TO])
        except (KeyError, ValueError) as error:
            raise PoisonMessage(f"a request's header: {error!r}") from error
        message = REQUESTS.decode(event_type, record.value or b"")
        return cls(message, headers, record.timestamp, expires_at_ms)

    @property
    def patience_s(self) -> float:
        """How long its answer may take, so that its gateway still waits when it arrives."""
        waits_s = (self.expires_at_ms - self.appended_ms) / 1_000
        return min(max(0.0, _ANSWERED * waits_s), _PATIENCE_S_MAX)

    def forwarded(self, event_id: str, command: Message, time_ms: int) -> Headers:
        """Headers of the command that this request becomes: same id, route, limits (C1, C2)."""
        return [*_event(event_id, command, time_ms), _FROM_AUTH, *self._kept(_FORWARDED)]

    def given_up(self, event_id: str, command: Message, time_ms: int) -> Headers:
        """The same, expired before it is sent: it changes nothing and gets that as its outcome."""
        kept = [each for each in self._kept(_FORWARDED) if each[0] != EXPIRES_AT]
        return [*_event(event_id, command, time_ms), _FROM_AUTH, *kept, (EXPIRES_AT, b"0")]

    @property
    def command_id(self) -> str:
        """The client's command, empty when it is none."""
        return self.headers.get(COMMAND_ID, b"").decode()

    def commanded(self, command_id: str, command: Message, time_ms: int) -> Headers:
        """Headers of a command of auth's own on behalf of this request; auth reads its outcome."""
        return [
            *_event(command_id, command, time_ms),
            _FROM_AUTH,
            (COMMAND_ID, command_id.encode()),
            (EXPIRES_AT, str(self.expires_at_ms).encode()),
            *self._kept(_TRACED),
        ]

    def _kept(self, names: tuple[str, ...]) -> Headers:
        return [(name, self.headers[name]) for name in names if name in self.headers]


def route_of(record: ConsumerRecord[bytes, bytes]) -> ReplyRoute | None:
    """Who waits for the answer to this record, poison or not."""
    try:
        return ReplyRoute.decode(_readable(record)[REPLY_TO])
    except (KeyError, ValueError):
        return None


def _readable(record: ConsumerRecord[bytes, bytes]) -> Mapping[str, bytes]:
    """Headers that are text: Kafka takes any bytes, and none at all, but no journal does."""
    given = cast("Mapping[str, bytes | None]", header_map(record.headers))
    return {name: value for name, value in given.items() if value is not None and value.isascii()}


def answer_headers(event_id: str, answer: Message, route: ReplyRoute, time_ms: int) -> Headers:
    """Headers of an answer on `gateway.replies`."""
    return [*_event(event_id, answer, time_ms), (COMMAND_ID, route.command_id.encode())]


def _event(event_id: str, message: Message, time_ms: int) -> Headers:
    return cloud_event(event_id=event_id, event_type=message.TYPE, source=_SOURCE, time_ms=time_ms)
