"""What the journal protocol itself writes, in every context's journal and snapshots topic."""

from typing import ClassVar, Final

from schemas.codec import Codec, Message


class WriterClaimed(Message):
    """A writer took the partition; its epoch is in the header (W1)."""

    TYPE: ClassVar[str] = "journal.writer-claimed.v1"


class GenerationStarted(Message):
    """The first record of a new topic generation (W2)."""

    TYPE: ClassVar[str] = "journal.generation-started.v1"
    generation: int


class Checkpoint(Message):
    """Snapshots cover every valid record below `offset` (S2).

    `watermarks` holds the last applied sequence by source (O1), `sequences` the last one given by
    `<topic>/<partition>` of the destination, `versions` counts the valid records below `offset`
    that carry an entity version, `state_hash` is the sum of entity hashes modulo 2**64 as hex.
    """

    TYPE: ClassVar[str] = "journal.checkpoint.v1"
    offset: int
    epoch: int
    source_offset: int
    logical_time_ms: int
    watermarks: dict[str, int]
    sequences: dict[str, int]
    versions: int
    state_hash: str
    schema_version: int


class CommandDuplicate(Message):
    """The command was decided before; its first outcome stands at about `first_offset` (C1).

    When both were decided in one batch and it landed behind records of a zombie, where its writer
    did not expect it, the offset is too low by those: the command id is what finds the outcome.
    """

    TYPE: ClassVar[str] = "journal.command-duplicate.v1"
    command_id: str
    first_offset: int


class CommandRefused(Message):
    """The protocol refused a client command: `command-expired` or `idempotency-key-reused`."""

    TYPE: ClassVar[str] = "journal.command-refused.v1"
    command_id: str
    reason: str


class CommandDiscarded(Message):
    """A client command that could not be decoded; its raw bytes are in the DLQ (W3)."""

    TYPE: ClassVar[str] = "journal.command-discarded.v1"
    problem: str


JOURNAL: Final = Codec(
    WriterClaimed, GenerationStarted, Checkpoint, CommandDuplicate, CommandRefused, CommandDiscarded
)
