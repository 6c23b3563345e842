"""One life of a partition's writer: restore, claim, then decide, append, check, publish.

It drives the pure `Partition` over a `Log`; the simulation and production run this same code.
Any `Unavailable` or `Fenced` ends the life, and all its state with it (W5).
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, Generic, TypeVar

from runtime import metrics
from runtime.errors import Fenced, Halted, Unavailable
from runtime.journal.context import Context
from runtime.journal.entries import size_bytes
from runtime.journal.outbound import BATCH_BYTES_MAX
from runtime.journal.partition import Partition
from runtime.journal.snapshots import (
    Loaded,
    Pointer,
    SnapshotsUnusable,
    ids_records,
    pointer_record,
)
from runtime.log import Log, NewRecord, Place, Record
from schemas.topics import TOPICS, snapshots_of

S = TypeVar("S")
_LOG: Final = logging.getLogger(__name__)

REPLIES_RESENT_MS: Final = 10_000
"""A restarted writer repeats the replies of this much log time; nobody waits for older ones."""
_READ_MS: Final = 1_000
_READS_EMPTY_MAX: Final = 10

CommitHint = Callable[[int], Awaitable[None]]
"""Commits the next inbox offset to the consumer group; raises `Fenced` when it is not ours (W1)."""


class Writer(Generic[S]):
    """Decides one inbox partition into one journal partition.

    A round of snapshots starts `round_every_records` journal records after the last one, whoever
    wrote it, and writes about `round_step_bytes` of them between two polls.
    """

    def __init__(  # noqa: PLR0913  # what it decides, where, and how often it snapshots
        self,
        context: Context[S],
        number: int,
        log: Log,
        *,
        commit_hint: CommitHint,
        round_every_records: int = 20_000,
        round_step_bytes: int = 256 * 1024,
    ) -> None:
        self._context: Final = context
        self._number: Final = number
        self._log: Final = log
        self._commit_hint: Final = commit_hint
        self._round_every: Final = round_every_records
        self._round_step: Final = round_step_bytes
        self._snapshots: Final[Place] = (snapshots_of(context.name), number)
        self._publishing: Awaitable[None] | None = None
        self._round_from = 0
        self.is_writing = False
        self.dropped_snapshots: SnapshotsUnusable | None = None
        labels = (context.name, str(number))
        self._appended: Final = metrics.JOURNAL_RECORDS.labels(*labels)
        self._append_seconds: Final = metrics.JOURNAL_APPEND_SECONDS.labels(context.name)
        self._epoch: Final = metrics.JOURNAL_EPOCH.labels(*labels)
        self._restore_seconds: Final = metrics.JOURNAL_RESTORE_SECONDS.labels(*labels)
        self._checkpoint: Final = metrics.JOURNAL_CHECKPOINT_OFFSET.labels(*labels)
        self.partition: Partition[S]

    @property
    def is_published(self) -> bool:
        """Whether all that follows from the journal was sent and acknowledged."""
        return self._publishing is None and self.partition.outbound.is_empty

    # --- start -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Restore, claim, and send again what may not have arrived (W1, W2, O2).

        Raises:
            Fenced: somebody else claimed in between.
            Halted: inbox and journal do not fit together.
        """
        partitions = {
            each.name: await self._log.partitions(each.name)
            for each in TOPICS
            if self._context.name in each.writers
        }
        with self._restore_seconds.time():
            partition = self.partition = await self._restore(partitions.__getitem__)
        await self._check_inbox(partition)
        await self._commit_hint(partition.source_offset + 1)
        await self._claim(partition)
        await self._send_again(partition)
        self._epoch.set(partition.claims.epoch)
        self.is_writing = True

    async def _restore(self, partitions_of: Callable[[str], int]) -> Partition[S]:
        loaded = await self._read_snapshots()
        pointer = loaded.pointer()
        partition = Partition(self._context, self._number, partitions_of)
        if pointer is not None:
            partition.resend_from = pointer.checkpoint.offset
            if pointer.checkpoint.schema_version == self._context.schema_version:
                try:
                    partition.resume(loaded, pointer)
                    await self._replay(partition)
                    partition.snapshots.check_complete()
                except SnapshotsUnusable as problem:
                    self.dropped_snapshots = problem
                    _LOG.error("%s: snapshots dropped: %s", partition.journal, problem)
                else:
                    self._round_from = pointer.journal_offset + 1
                    _LOG.info(
                        "%s: restored from snapshots at %d, replayed to %d",
                        partition.journal,
                        pointer.checkpoint.offset,
                        partition.next_offset,
                    )
                    return partition
            partition = Partition(self._context, self._number, partitions_of)
            partition.resend_from = pointer.checkpoint.offset
        await self._replay(partition)
        return partition

    async def _read_snapshots(self) -> Loaded:
        """Read to an end that stayed: compaction deletes what is outdated by records after it."""
        loaded = Loaded()
        offset = await self._log.start_offset(self._snapshots)
        while offset < (end := await self._log.end_offset(self._snapshots)):
            async for records in self._batches(self._snapshots, offset, end):
                for record in records:
                    loaded.add(record)
                offset = records[-1].offset + 1
            offset = max(offset, end)
        return loaded

    async def _replay(self, partition: Partition[S]) -> None:
        end = await self._log.end_offset(partition.journal)
        async for records in self._batches(partition.journal, partition.next_offset, end):
            for record in records:
                partition.replay(record)

    async def _batches(
        self, place: Place, offset: int, end: int
    ) -> AsyncIterator[Sequence[Record]]:
        """Records from `offset` to `end` and what comes with them, none empty."""
        empty = 0
        while offset < end and empty < _READS_EMPTY_MAX:
            records = await self._log.read(place, offset, wait_ms=_READ_MS)
            if records:
                yield records
            offset = records[-1].offset + 1 if records else offset
            empty = 0 if records else empty + 1
        if offset >= end:
            return
        raise Unavailable(f"{place} gives nothing from {offset} on, its end is {end}")

    async def _check_inbox(self, partition: Partition[S]) -> None:
        end = await self._log.end_offset(partition.inbox)
        if end < partition.source_offset + 1:
            raise Halted(f"{partition.inbox} ends at {end}, decided is {partition.source_offset}")

    async def _claim(self, partition: Partition[S]) -> None:
        claim = partition.claim()
        claimed = await self._log.append(partition.journal, claim)
        end = claimed + len(claim)
        async for records in self._batches(partition.journal, partition.next_offset, end):
            for record in records:
                partition.replay(record)
        if partition.claims.offset != claimed:
            raise Fenced(f"{partition.journal}: epoch {partition.claims.epoch} is another's")

    async def _send_again(self, partition: Partition[S]) -> None:
        for offset in partition.letters_due:
            async for records in self._batches(partition.inbox, offset, offset + 1):
                if records[0].offset == offset:
                    partition.dead_letter(records[0], "discarded; sent again after a restart")
        partition.letters_due.clear()
        await self._publish(replies_from_ms=partition.time_ms - REPLIES_RESENT_MS)

    # --- going on --------------------------------------------------------------------------

    async def step(self, *, wait_ms: int) -> int:
        """Decide what one poll brings and advance the snapshots; returns how many records came.

        Raises:
            Fenced: the journal moved under this writer, or an append is unknown.
            Halted: see `Partition.decide`.
        """
        partition = self.partition
        busy = partition.snapshots.round is not None
        records = await self._log.read(
            partition.inbox, partition.source_offset + 1, wait_ms=0 if busy else wait_ms
        )
        if records:
            await self._decide(records)
        elif self._publishing is not None:
            await self._published()  # an idle writer notices what did not arrive
        await self._advance_round()
        return len(records)

    async def finish(self) -> None:
        """Complete what is under way and leave a checkpoint, for a quick next start."""
        await self._published()
        partition = self.partition
        if partition.next_offset > self._round_from and partition.snapshots.round is None:
            partition.begin_round()
        while partition.snapshots.round is not None:
            await self._advance_round()

    async def _decide(self, records: Sequence[Record]) -> None:
        partition = self.partition
        partition.remembered.forget_before(partition.time_ms)
        batch: list[NewRecord] = []
        size = 0
        for record in records:
            try:
                written = partition.decide(record)
            except Halted:  # what came before it stands
                if batch:
                    await self._append(batch)
                await self._published()
                raise
            batch += written
            size += sum(map(size_bytes, written))
            if size > BATCH_BYTES_MAX:
                await self._append(batch)
                batch, size = [], 0
        if batch:
            await self._append(batch)

    async def _append(self, batch: Sequence[NewRecord]) -> None:
        partition = self.partition
        expected = partition.next_offset - len(batch)
        with self._append_seconds.time():
            base = await self._log.append(partition.journal, batch)
        if base != expected:
            raise Fenced(f"{partition.journal}: appended at {base}, expected {expected}")
        self._appended.inc(len(batch))
        await self._publish()

    async def _publish(self, *, replies_from_ms: int = 0) -> None:
        await self._published()
        if batches := self.partition.outbound.take(replies_from_ms=replies_from_ms):
            self._publishing = self._log.publish(batches)

    async def _published(self) -> None:
        if self._publishing is not None:
            await self._publishing
            self._publishing = None

    # --- snapshots -------------------------------------------------------------------------

    async def _advance_round(self) -> None:
        partition = self.partition
        if partition.snapshots.round is None:
            if partition.next_offset - self._round_from < self._round_every:
                return
            await self._published()  # S3: everything below the checkpoint has arrived
            partition.begin_round()
        if captured := partition.snapshots.take(self._round_step):
            await self._log.append(self._snapshots, captured)
        if partition.snapshots.is_captured:
            await self._end_round()

    async def _end_round(self) -> None:
        partition = self.partition
        checkpoint, tombstones = partition.snapshots.finish()
        ids = ids_records(partition.remembered, checkpoint.epoch)
        if ids:
            await self._log.append(self._snapshots, ids)
        expected = partition.next_offset
        entry = partition.checkpoint(checkpoint)
        base = await self._log.append(partition.journal, [entry])
        if base != expected:
            raise Fenced(f"{partition.journal}: checkpoint at {base}, expected {expected}")
        pointer = Pointer(base, partition.generation, checkpoint)
        await self._log.append(self._snapshots, [pointer_record(pointer), *tombstones])
        self._checkpoint.set(checkpoint.offset)
        self._round_from = partition.next_offset
