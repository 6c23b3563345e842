"""Reading journal records: what stands where, and which of them are valid (R1, W7)."""

from collections.abc import Mapping
from typing import Final

from runtime.journal.inbox import recorded_cause
from schemas.codec import Codec, Message
from schemas.envelope import CE_TYPE, ENTITY_ID, ENTITY_VERSION, WRITER_EPOCH, Recorded
from schemas.journal import JOURNAL, Checkpoint, GenerationStarted, WriterClaimed
from schemas.topics import inbox_of

WRITERS_OWN: Final = frozenset({WriterClaimed.TYPE, Checkpoint.TYPE, GenerationStarted.TYPE})
"""Records about the writer itself: no command caused them."""


def event_type_of(headers: Mapping[str, bytes]) -> str:
    """The event type of a journal record."""
    return headers[CE_TYPE].decode()


def epoch_of(headers: Mapping[str, bytes]) -> int:
    """The epoch under which a journal record was appended."""
    return int(headers[WRITER_EPOCH])


def recorded_of(
    journal: str, partition: int, offset: int, headers: Mapping[str, bytes]
) -> Recorded:
    """What a journal record that a command caused says of itself; `journal` as the registry has it.

    A record that changes no entity has an empty entity id and version 0.

    Raises:
        KeyError: a header of W7 is missing.
        ValueError: one cannot be read.
    """
    return Recorded(
        journal=journal,
        partition=partition,
        offset=offset,
        epoch=epoch_of(headers),
        event_type=event_type_of(headers),
        entity_id=headers.get(ENTITY_ID, b"").decode(),
        entity_version=int(headers.get(ENTITY_VERSION, b"0")),
        cause=recorded_cause(inbox_of(journal.removesuffix(".journal")), partition, headers).cause,
    )


def event_of(events: Codec, event_type: str, body: bytes) -> Message:
    """The event in a journal record: the context's, or the protocol's own.

    Raises:
        PoisonMessage: neither knows the type, or the body is broken.
    """
    return (JOURNAL if event_type in JOURNAL.types else events).decode(event_type, body)
