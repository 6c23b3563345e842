"""The state of one partition: deciding inbox records and replaying the journal.

No I/O: the writer (writer.py) feeds it records and carries its batches. Deciding applies its
events at once; if their append is not acknowledged as expected, the whole value is dropped (W5).
"""

from collections.abc import Mapping, Sequence
from typing import Final, Generic, TypeVar

from runtime.errors import Halted
from runtime.journal import entries
from runtime.journal.claims import Claims
from runtime.journal.context import Context
from runtime.journal.inbox import (
    Incoming,
    carriable,
    is_fact,
    is_of_operator,
    read_incoming,
    recorded_cause,
)
from runtime.journal.outbound import Outbound, PartitionsOf
from runtime.journal.remembered import Outcome, Remembered
from runtime.journal.snapshots import Loaded, Pointer, Round, Snapshots
from runtime.log import NewRecord, Place, Record
from schemas.codec import Message, PoisonMessage, encode
from schemas.envelope import (
    CE_TYPE,
    ENTITY_ID,
    ENTITY_VERSION,
    LOGICAL_TIME,
    SOURCE_OFFSET,
    WRITER_EPOCH,
    Cause,
    Headers,
    header_map,
)
from schemas.journal import (
    JOURNAL,
    Checkpoint,
    CommandDiscarded,
    CommandDuplicate,
    CommandRefused,
    GenerationStarted,
    WriterClaimed,
)
from schemas.topics import dlq_of, inbox_of, journal_of

S = TypeVar("S")

COMMAND_EXPIRED: Final = "command-expired"
KEY_REUSED: Final = "idempotency-key-reused"
_NOT_HERE: Final = -1
_UNDECIDED: Final = (CommandDuplicate.TYPE, CommandRefused.TYPE)
"""First outcomes that leave the command id free: a key whose first try expired may try again."""


class Partition(Generic[S]):
    """Everything that a writer keeps in memory; all of it follows from the journal's headers (W7).

    `partitions_of` says how many partitions a destination topic has.
    """

    def __init__(self, context: Context[S], number: int, partitions_of: PartitionsOf) -> None:
        self.context: Final = context
        self.number: Final = number
        self.inbox: Final[Place] = (inbox_of(context.name), number)
        self.journal: Final[Place] = (journal_of(context.name), number)
        self.state: Final[S] = context.empty()
        self.claims = Claims()
        self.generation = 1
        self.next_offset = 0
        self.source_offset = -1
        self.time_ms = 0
        self.watermarks: dict[str, int] = {}
        self.remembered: Final = Remembered()
        self.outbound: Final = Outbound(partitions_of)
        self.snapshots: Final = Snapshots(context, self.state)
        self.letters_due: list[int] = []
        self.resend_from = 0
        self._constant: Headers = []

    # --- the writer's life -----------------------------------------------------------------

    @property
    def source(self) -> str:
        """How other inboxes know this partition: context, partition, topic generation (O1)."""
        return f"{self.context.name}/{self.number}/{self.generation}"

    def claim(self) -> list[NewRecord]:
        """The claim of the next epoch; an empty journal also starts its generation (W1, W2)."""
        self._constant = entries.constant_headers(self.context.name, self.claims.epoch + 1)
        batch = [self._protocol_entry(WriterClaimed())]
        if self.next_offset == 0:
            batch.append(self._protocol_entry(GenerationStarted(generation=self.generation)))
        return batch

    def begin_round(self) -> Round:
        """Fix what the next checkpoint will say; nothing may be unacknowledged now (S2, S3)."""
        return self.snapshots.begin(
            Checkpoint(
                offset=self.next_offset,
                epoch=self.claims.epoch,
                source_offset=self.source_offset,
                logical_time_ms=self.time_ms,
                watermarks=dict(self.watermarks),
                sequences=dict(self.outbound.sequences),
                versions=self.snapshots.versioned_records,
                state_hash="",
                schema_version=self.context.schema_version,
            )
        )

    def checkpoint(self, finished: Checkpoint) -> NewRecord:
        """The journal entry that makes a finished round count; it takes the next offset."""
        self.next_offset += 1
        return self._protocol_entry(finished)

    def resume(self, loaded: Loaded, pointer: Pointer) -> None:
        """Start from a checkpoint and the stored entities: replay goes on at its offset (S4)."""
        checkpoint = pointer.checkpoint
        self.snapshots.load(loaded, checkpoint)
        for number, stored in loaded.slices():
            self.remembered.load(number, stored)
        self.generation = pointer.generation
        self.claims = Claims(checkpoint.epoch)
        self.next_offset = checkpoint.offset
        self.source_offset = checkpoint.source_offset
        self.time_ms = checkpoint.logical_time_ms
        self.watermarks = dict(checkpoint.watermarks)
        self.outbound.sequences = dict(checkpoint.sequences)

    # --- deciding --------------------------------------------------------------------------

    def decide(self, record: Record) -> list[NewRecord]:
        """Decide one inbox record into its journal entries, at least one, and apply them (W3).

        Raises:
            Halted: the inbox has a gap, or a fact is missing or cannot be read or applied; nothing
                has changed then.
        """
        if record.offset != self.source_offset + 1:
            raise Halted(f"{self.inbox} gave {record.offset} after {self.source_offset}")
        headers = header_map(record.headers)
        time_ms = max(self.time_ms, record.timestamp_ms)
        try:
            incoming = read_incoming(*self.inbox, record, headers, time_ms=time_ms)
            command = self.context.commands.decode(incoming.type, record.value or b"")
            if command.OPERATORS_ONLY and not is_of_operator(headers):
                raise PoisonMessage(f"{incoming.type} is for operators only")  # noqa: TRY301  # one reaction
        except PoisonMessage as poison:
            return [self._discard(record, headers, problem=str(poison))]
        shared = entries.cause_headers(headers, record.offset, time_ms)
        events = self._events(command, incoming)
        self._follow_cause(incoming, first=events[0].TYPE)
        return [
            self._record(event, incoming.cause, shared, index) for index, event in enumerate(events)
        ]

    def dead_letter(self, record: Record, problem: str) -> None:
        """Send a raw copy of a discarded command to the DLQ."""
        topic, partition = self.inbox
        letter = entries.dead_letter(record, topic=topic, partition=partition, problem=problem)
        self.outbound.dead_letter((dlq_of(topic), partition), letter)

    def _events(self, command: Message, incoming: Incoming) -> Sequence[Message]:
        cause = incoming.cause
        refusal = self._refusal(incoming) if cause.source is None else self._applied_before(cause)
        if refusal is not None:
            return (refusal,)
        events = self.context.decide(self.state, command, cause)
        return events or (CommandDuplicate(command_id=cause.command_id, first_offset=_NOT_HERE),)

    def _refusal(self, incoming: Incoming) -> Message | None:
        cause = incoming.cause
        first = self.remembered.get(cause.command_id, cause.time_ms)
        if first is not None:
            if first.fingerprint == incoming.fingerprint:
                return CommandDuplicate(command_id=cause.command_id, first_offset=first.offset)
            return CommandRefused(command_id=cause.command_id, reason=KEY_REUSED)
        if cause.expires_at_ms is not None and cause.time_ms > cause.expires_at_ms:
            return CommandRefused(command_id=cause.command_id, reason=COMMAND_EXPIRED)
        return None

    def _applied_before(self, cause: Cause) -> Message | None:
        sequence, watermark = cause.source_sequence, self.watermarks.get(cause.source or "", 0)
        if sequence is None or sequence > watermark + 1:
            raise Halted(f"{self.inbox}: {cause.source} jumps from {watermark} to {sequence}")
        if sequence <= watermark:
            return CommandDuplicate(command_id=cause.command_id, first_offset=_NOT_HERE)
        return None

    def _record(self, event: Message, cause: Cause, shared: Headers, index: int) -> NewRecord:
        event_id = f"{self.context.name}/{self.number}/{cause.offset}/{index}".encode()
        headers = [*self._constant, *shared, *entries.event_headers(event_id, event.TYPE)]
        if event.TYPE in self.context.events.types:
            entity = self.context.entity_of(event)
            version = self.snapshots.version_of(entity) + 1
            headers += entries.entity_headers(entity, version)
            self.snapshots.count_record()
            self._evolve(event, cause, entity, version)
        entry = NewRecord(encode(event), headers)
        self._follow(event, cause, entry)
        self.next_offset += 1
        return entry

    def _discard(self, record: Record, headers: Mapping[str, bytes], *, problem: str) -> NewRecord:
        if is_fact(headers):
            raise Halted(f"{self.inbox} offset {record.offset}: a fact cannot be read: {problem}")
        self.dead_letter(record, problem)
        self.source_offset = record.offset
        self.time_ms = max(self.time_ms, record.timestamp_ms)
        event = CommandDiscarded(problem=problem[:500])
        event_id = f"{self.context.name}/{self.number}/{record.offset}/0".encode()
        shared = entries.cause_headers(carriable(headers), record.offset, self.time_ms)
        self.next_offset += 1
        described = entries.event_headers(event_id, event.TYPE)
        return NewRecord(encode(event), [*self._constant, *shared, *described])

    def _protocol_entry(self, event: Message) -> NewRecord:
        event_id = f"{self.context.name}/{self.number}/{event.TYPE}/{self.next_offset}".encode()
        described = entries.event_headers(event_id, event.TYPE)
        return NewRecord(encode(event), [*self._constant, *described])

    # --- replaying -------------------------------------------------------------------------

    def replay(self, record: Record) -> None:
        """Apply a journal record as the decision that wrote it did; a void one changes nothing.

        Raises:
            Halted: the journal contradicts itself.
        """
        headers = header_map(record.headers)
        event_type, epoch = headers[CE_TYPE].decode(), int(headers[WRITER_EPOCH])
        self.next_offset = record.offset
        if self.claims.admits(event_type, epoch, record.offset):
            if SOURCE_OFFSET in headers:
                self._replay_entry(record, headers, event_type)
            elif event_type == GenerationStarted.TYPE:
                self.generation = _generation(record)
        self.next_offset = record.offset + 1

    def _replay_entry(self, record: Record, headers: Mapping[str, bytes], event_type: str) -> None:
        offset = int(headers[SOURCE_OFFSET])
        if offset not in (self.source_offset, self.source_offset + 1):
            raise Halted(f"{self.journal} jumps from source {self.source_offset} to {offset}")
        if event_type == CommandDiscarded.TYPE:
            self.source_offset = offset
            self.time_ms = max(self.time_ms, int(headers[LOGICAL_TIME]))
            if self.next_offset >= self.resend_from:
                self.letters_due.append(offset)
            return
        incoming = recorded_cause(*self.inbox, headers)
        if offset != self.source_offset:
            self._follow_cause(incoming, first=event_type)
        event = self._replayed_event(record, headers, event_type, incoming.cause)
        self._follow(event, incoming.cause, NewRecord(record.value, list(record.headers)))

    def _replayed_event(
        self, record: Record, headers: Mapping[str, bytes], event_type: str, cause: Cause
    ) -> Message:
        if event_type not in self.context.events.types:
            return JOURNAL.decode(event_type, record.value or b"")
        event = self.context.events.decode(event_type, record.value or b"")
        entity, version = headers[ENTITY_ID].decode(), int(headers[ENTITY_VERSION])
        self.snapshots.count_record()
        if version > self.snapshots.version_of(entity):
            self._evolve(event, cause, entity, version)
        return event

    # --- what both share -------------------------------------------------------------------

    def _follow_cause(self, incoming: Incoming, *, first: str) -> None:
        cause = incoming.cause
        self.time_ms, self.source_offset = cause.time_ms, cause.offset
        if cause.source is not None and cause.source_sequence is not None:
            seen = self.watermarks.get(cause.source, 0)
            self.watermarks[cause.source] = max(seen, cause.source_sequence)
        elif first not in _UNDECIDED:
            self._remember(incoming)

    def _remember(self, incoming: Incoming) -> None:
        cause = incoming.cause
        if self.remembered.get(cause.command_id, cause.time_ms) is not None:
            return
        outcome = Outcome(incoming.fingerprint, self.next_offset, incoming.retain_until_ms)
        self.remembered.add(cause.command_id, outcome, keyed=incoming.keyed)

    def _evolve(self, event: Message, cause: Cause, entity: str, version: int) -> None:
        self.snapshots.before_change(entity, version)
        self.context.evolve(self.state, event, cause)

    def _follow(self, event: Message, cause: Cause, entry: NewRecord) -> None:
        if event.TYPE in self.context.events.types:
            if self.context.answers(event, cause):
                self._reply(cause, entry)
            acknowledged = self.next_offset < self.resend_from
            for outgoing in self.context.outbox(event, cause):
                self.outbound.send(outgoing, cause, self.source, acknowledged=acknowledged)
        elif cause.source is None:
            self._reply(cause, entry)

    def _reply(self, cause: Cause, entry: NewRecord) -> None:
        self.outbound.reply(entry, cause, f"{self.journal[0]}/{self.number}/{self.next_offset}")


def _generation(record: Record) -> int:
    started = JOURNAL.decode(GenerationStarted.TYPE, record.value or b"")
    assert isinstance(started, GenerationStarted)  # noqa: S101  # the codec's own type
    return started.generation
