"""The headers of client commands: one place says how a command is addressed, for every producer."""

from typing import Final

from schemas.codec import Message
from schemas.envelope import (
    AUTH_SERVICE,
    COMMAND_ID,
    CORRELATION_ID,
    EXPIRES_AT,
    FINGERPRINT,
    REPLY_TO,
    RETAIN_UNTIL,
    TRACEPARENT,
    USER_ID,
    X_AUTH_SERVICE,
    X_SOURCE,
    X_USER_ROLE,
    Headers,
    ReplyRoute,
    cloud_event,
)

_SOURCE_PREFIX: Final = "cnop/"


def command_headers(  # noqa: PLR0913  # one keyword per header
    command: Message,
    *,
    producer: str,
    command_id: str,
    time_ms: int,
    expires_at_ms: int,
    retain_until_ms: int | None = None,
    user_id: str | None = None,
    user_role: str | None = None,
    fingerprint: str | None = None,
    reply_to: ReplyRoute | None = None,
    correlation_id: str | None = None,
    traceparent: str | None = None,
) -> Headers:
    """The headers of a client command (C1, C2); times are broker milliseconds.

    `producer` names the kind of process as the topic registry does; `user_id` and `user_role` are
    those of a caller whom the auth service knows; `retain_until_ms` is given only for a command
    that came with an Idempotency-Key.
    """
    headers = cloud_event(
        event_id=command_id,
        event_type=command.TYPE,
        source=f"{_SOURCE_PREFIX}{producer}",
        time_ms=time_ms,
    )
    headers.append((COMMAND_ID, command_id.encode()))
    headers.append((EXPIRES_AT, str(expires_at_ms).encode()))
    headers.append((X_SOURCE, producer.encode()))
    if user_id is not None:
        headers.append((X_AUTH_SERVICE, AUTH_SERVICE))
    optional = (
        (RETAIN_UNTIL, None if retain_until_ms is None else str(retain_until_ms)),
        (USER_ID, user_id),
        (X_USER_ROLE, user_role),
        (FINGERPRINT, fingerprint),
        (CORRELATION_ID, correlation_id),
        (TRACEPARENT, traceparent),
    )
    headers.extend((name, text.encode()) for name, text in optional if text is not None)
    if reply_to is not None:
        headers.append((REPLY_TO, reply_to.encode()))
    return headers
