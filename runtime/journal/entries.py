"""Writing records: journal entries (W7), replies, facts for other inboxes and dead letters."""

from collections.abc import Mapping
from typing import Final

from runtime.log import NewRecord, Place, Record
from schemas.envelope import (
    CAUSATION_ID,
    CE_ID,
    CE_SOURCE,
    CE_SPECVERSION,
    CE_TIME,
    CE_TYPE,
    COMMAND_ID,
    CONTENT_TYPE,
    CORRELATION_ID,
    ENTITY_ID,
    ENTITY_VERSION,
    EXPIRES_AT,
    FINGERPRINT,
    LOGICAL_TIME,
    REPLY_TO,
    RETAIN_UNTIL,
    SOURCE,
    SOURCE_OFFSET,
    SOURCE_SEQUENCE,
    TRACEPARENT,
    USER_ID,
    USER_ID_BEFORE,
    WRITER_EPOCH,
    Cause,
    Headers,
    rfc3339,
)

JOURNAL_PLACE: Final = "journal"
"""Header of a reply: `<journal>/<partition>/<offset>` of the record that it repeats."""

_CARRIED: Final = frozenset(
    {
        COMMAND_ID,
        SOURCE,
        SOURCE_SEQUENCE,
        REPLY_TO,
        USER_ID,
        USER_ID_BEFORE,
        FINGERPRINT,
        RETAIN_UNTIL,
        EXPIRES_AT,
        CORRELATION_ID,
        TRACEPARENT,
    }
)
_NOT_REPLIED: Final = frozenset(
    {COMMAND_ID, REPLY_TO, SOURCE, SOURCE_SEQUENCE, RETAIN_UNTIL, EXPIRES_AT}
)
_HEADERS_BYTES: Final = 800
"""What an entry's headers take; inbox.py bounds each of those that come from outside."""


def constant_headers(source: str, epoch: int) -> Headers:
    """The headers that every record of one writer's life shares."""
    return [
        (CE_SPECVERSION, b"1.0"),
        (CONTENT_TYPE, b"application/json"),
        (CE_SOURCE, source.encode()),
        (WRITER_EPOCH, b"%d" % epoch),
    ]


def cause_headers(inbox_headers: Mapping[str, bytes], offset: int, time_ms: int) -> Headers:
    """The headers that all records of one inbox record share: what it carried, and where it was."""
    carried = [each for each in inbox_headers.items() if each[0] in _CARRIED]
    carried.append((SOURCE_OFFSET, b"%d" % offset))
    carried.append((LOGICAL_TIME, b"%d" % time_ms))
    carried.append((CE_TIME, rfc3339(time_ms).encode()))
    if (cause_id := inbox_headers.get(CE_ID)) is not None:
        carried.append((CAUSATION_ID, cause_id))
    return carried


def event_headers(event_id: bytes, event_type: str) -> Headers:
    """The headers of one record whose event changes no entity."""
    return [(CE_ID, event_id), (CE_TYPE, event_type.encode())]


def entity_headers(entity: str, version: int) -> Headers:
    """Which entity an event changed, and to which version."""
    return [(ENTITY_ID, entity.encode()), (ENTITY_VERSION, b"%d" % version)]


def reply(entry: NewRecord, command_id: str, place: str) -> NewRecord:
    """The reply that repeats a journal entry to the gateway that waits for `command_id`."""
    kept = [header for header in entry.headers if header[0] not in _NOT_REPLIED]
    kept.append((COMMAND_ID, command_id.encode()))
    kept.append((JOURNAL_PLACE, place.encode()))
    return NewRecord(entry.value, kept)


def fact(  # noqa: PLR0913  # each is a header or the body
    *,
    body: bytes,
    message_type: str,
    source: str,
    sequence: int,
    destination: Place,
    key: bytes | None,
    cause: Cause,
    carries_reply: bool,
) -> NewRecord:
    """A message to another inbox with its source and dense sequence (O1)."""
    sequence_bytes = b"%d" % sequence
    source_bytes = source.encode()
    event_id = b"%b/%b/%d/%b" % (
        source_bytes,
        destination[0].encode(),
        destination[1],
        sequence_bytes,
    )
    headers = [
        (CE_SPECVERSION, b"1.0"),
        (CONTENT_TYPE, b"application/json"),
        (CE_ID, event_id),
        (CE_TYPE, message_type.encode()),
        (CE_SOURCE, source_bytes),
        (CE_TIME, rfc3339(cause.time_ms).encode()),
        (COMMAND_ID, event_id),
        (SOURCE, source_bytes),
        (SOURCE_SEQUENCE, sequence_bytes),
        (CORRELATION_ID, (cause.correlation_id or cause.command_id).encode()),
    ]
    if carries_reply and cause.reply_to is not None:
        headers.append((REPLY_TO, cause.reply_to.encode()))
    return NewRecord(body, headers, key)


def dead_letter(record: Record, *, topic: str, partition: int, problem: str) -> NewRecord:
    """The raw record for the DLQ, with where it was and what was wrong."""
    origin: Headers = [
        ("dlq-topic", topic.encode()),
        ("dlq-partition", b"%d" % partition),
        ("dlq-offset", b"%d" % record.offset),
        ("dlq-problem", problem[:500].encode("utf-8", "replace")),
    ]
    return NewRecord(record.value, [*record.headers, *origin], record.key)


def size_bytes(entry: NewRecord) -> int:
    """About the entry's size in a record batch."""
    return len(entry.value or b"") + _HEADERS_BYTES
