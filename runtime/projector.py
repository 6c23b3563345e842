"""The projector: folds a journal partition into its read models' rows, exactly once (R1, R2).

Read models of one journal share a record's decoding and a transaction's price, yet each has its
own checkpoint: its tables may be dropped, rebuilt or projected by somebody else on their own.

`Fold` is pure; `Projector` drives it over the `Table` port. Whoever feeds records (the FastStream
subscriber, the simulation) only has to start again at `next_offset` whenever it is told so.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, NamedTuple

from runtime import metrics
from runtime.errors import Halted, InvariantBroken, Unavailable
from runtime.journal.claims import NO_EPOCH, Claims
from runtime.log import Record
from runtime.projection import Projection, TableSpec
from runtime.recorded import WRITERS_OWN, epoch_of, event_of, event_type_of, recorded_of
from runtime.table import (
    Change,
    Checkpoint,
    ConditionFailed,
    Put,
    Readable,
    Row,
    Table,
    merged,
)
from schemas.codec import PoisonMessage
from schemas.envelope import CE_TYPE
from schemas.journal import JOURNAL, CommandDiscarded

ACTIONS_MAX: Final = 100
"""What DynamoDB takes in a transaction: rows, and the checkpoint of each read model."""
QUIET_S: Final = 5.0
"""How long records without rows may wait for company before their checkpoint is written."""

CHECKPOINT: Final = "checkpoint"
"""How the keys of checkpoint items begin; no row of a read model does."""

Key = tuple[str, Any, Any]


class Position(NamedTuple):
    """The next offset to project, and the newest claim's epoch before it."""

    offset: int
    epoch: int


_START: Final = Position(0, NO_EPOCH)
_DISCARDED: Final = CommandDiscarded.TYPE.encode()


@dataclass(frozen=True, slots=True)
class Cut:
    """One transaction: rows of whole records with the checkpoints behind them."""

    changes: Sequence[Change]
    checkpoints: Sequence[Checkpoint]
    position: Position


class _Model:
    """A read model within a fold, and where its stored checkpoint will be."""

    def __init__(self, projection: Projection, stored: Position | None) -> None:
        self.projection: Final = projection
        self.since: Final = (stored or _START).offset
        self.stored = stored

    def is_behind(self, offset: int) -> bool:
        """Whether its checkpoint has to move to be at this offset."""
        return (self.stored or _START).offset < offset

    def move(self, journal: str, partition: int, position: Position) -> Checkpoint:
        """Its next checkpoint, which expects the one before."""
        spec = self.projection.tables[0]
        before, self.stored = self.stored, position
        return Checkpoint(
            spec.name,
            checkpoint_row(spec, journal, partition, position),
            None if before is None else before._asdict(),
        )


class Fold:
    """Turns records into cuts, in order; each expects the checkpoints of the one before.

    Read models whose checkpoint is further on join in when the others have come there.
    """

    def __init__(
        self, stored: Mapping[Projection, Position | None], journal: str, partition: int
    ) -> None:
        self._models = [_Model(*each) for each in stored.items()]
        self._events = self._models[0].projection.journals[journal]
        self._concerns = frozenset[str]().union(*(each.concerns for each in stored))
        self._ignored = (frozenset(self._events.types) | JOURNAL.types.keys()) - self._concerns
        self._journal = journal
        self._partition = partition
        specs = [spec for each in stored for spec in each.tables]
        self._keys = {each.name: (each.partition_key, each.sort_key) for each in specs}
        lowest = min(each or _START for each in stored.values())
        self._next_offset = lowest.offset
        self._claims = Claims(lowest.epoch)

    @property
    def position(self) -> Position:
        """What is folded so far."""
        return Position(self._next_offset, self._claims.epoch)

    @property
    def is_ahead(self) -> bool:
        """Whether records are folded that no cut covers yet: they had no rows."""
        return any(each.is_behind(self._next_offset) for each in self._models)

    def take(self, records: Iterable[Record]) -> list[Cut]:
        """Fold records: skip those before the position, stop at a gap (R2).

        Raises:
            Halted: a record cannot be read; going on would lose it.
        """
        cuts: list[Cut] = []
        rows: dict[Key, Change] = {}
        rows_max = ACTIONS_MAX - len(self._models)
        for record in records:
            if record.offset > self._next_offset:
                break
            if record.offset < self._next_offset:
                continue
            try:
                fresh = [(self._key(each), each) for each in self.changes(record)]
            except Halted:
                if self.is_ahead or rows:  # first what can be projected; it raises again
                    break
                raise
            if len(rows) + sum(key not in rows for key, _ in fresh) > rows_max:
                cuts.append(self._cut(rows.values()))
                rows = {}
            for key, change in fresh:
                rows[key] = merged(rows[key], change) if key in rows else change
            self._next_offset += 1
        if rows:
            cuts.append(self._cut(rows.values()))
        return cuts

    def changes(self, record: Record) -> Sequence[Change]:
        """The rows that the next record changes; whoever takes it counts it.

        Raises:
            Halted: it cannot be read.
        """
        headers = record.by_name()
        try:
            event_type, epoch = event_type_of(headers), epoch_of(headers)
            if not self._claims.admits(event_type, epoch, record.offset):  # R1
                return ()
            if event_type in self._ignored or event_type in WRITERS_OWN:
                return ()
            event = event_of(self._events, event_type, record.value or b"")
            recorded = recorded_of(self._journal, self._partition, record.offset, headers)
        except (KeyError, ValueError, PoisonMessage) as error:
            if headers.get(CE_TYPE) == _DISCARDED:  # carries what its client sent, read or not
                return ()
            raise Halted(f"{self._place(record.offset)} cannot be read: {error}") from error
        changes = [
            change
            for each in self._models
            if record.offset >= each.since and event_type in each.projection.concerns
            for change in each.projection.project(event, recorded)
        ]
        if len(changes) > ACTIONS_MAX - len(self._models):
            raise InvariantBroken(f"{self._place(record.offset)} changes {len(changes)} rows")
        return changes

    def settle(self) -> Cut:
        """The cut that only moves checkpoints."""
        return self._cut(())

    def _cut(self, changes: Iterable[Change]) -> Cut:
        position = self.position
        checkpoints = [
            each.move(self._journal, self._partition, position)
            for each in self._models
            if each.is_behind(position.offset)
        ]
        return Cut(tuple(changes), checkpoints, position)

    def _key(self, change: Change) -> Key:
        row = change.row if isinstance(change, Put) else change.key
        partition_key, sort_key = self._keys[change.table]
        return (change.table, row[partition_key], row[sort_key] if sort_key else None)

    def _place(self, offset: int) -> str:
        return f"{self._journal}/{self._partition}/{offset}"


class _Meters:
    """What is measured of one read model's partition."""

    def __init__(self, name: str, journal: str, partition: int) -> None:
        place = (name, journal, str(partition))
        self.transaction_seconds: Final = metrics.PROJECTOR_TRANSACTION_SECONDS.labels(name)
        self.rows: Final = metrics.PROJECTOR_ROWS.labels(name)
        self.retries: Final = metrics.PROJECTOR_RETRIES.labels(name)
        self.records: Final = metrics.PROJECTOR_RECORDS.labels(*place)
        self.fenced: Final = metrics.PROJECTOR_FENCED.labels(*place)
        self.checkpoint_offset: Final = metrics.PROJECTOR_CHECKPOINT_OFFSET.labels(*place)


class Projector:
    """One journal partition of some read models, written through `table`; times are seconds."""

    def __init__(
        self, projections: Sequence[Projection], journal: str, partition: int, table: Table
    ) -> None:
        self._projections = projections
        self._meters = {each.name: _Meters(each.name, journal, partition) for each in projections}
        self._meters_of = {
            spec.name: self._meters[each.name] for each in projections for spec in each.tables
        }
        self._journal = journal
        self._partition = partition
        self._table = table
        self._fold: Fold | None = None
        self._pending: deque[Cut] = deque()
        self._quiet_since_s: float | None = None
        self._stored_offset = 0

    @property
    def next_offset(self) -> int | None:
        """Where to read on; None until the checkpoints have been read."""
        return None if self._fold is None else self._fold.position.offset

    @property
    def stored_offset(self) -> int:
        """Up to where all tables are the fold of the journal, as far as is known."""
        return self._stored_offset

    async def step(self, records: Sequence[Record], *, now_s: float) -> None:
        """Fold the records and write what is due; then read on at `next_offset`.

        Raises:
            Unavailable: back off, then step again with what comes at `next_offset`.
            Halted: a record cannot be read.
        """
        fold = self._fold or await self._load()
        if records:
            self._pending += fold.take(records)
        self._settle(fold, now_s)
        while self._pending:
            await self._write(self._pending[0])

    async def _load(self) -> Fold:
        self._pending.clear()
        self._fold = None
        stored = {each: await self._stored(each) for each in self._projections}
        self._fold = Fold(stored, self._journal, self._partition)
        for each, position in stored.items():
            self._meters[each.name].checkpoint_offset.set((position or _START).offset)
        self._stored_offset = self._fold.position.offset
        return self._fold

    async def _stored(self, projection: Projection) -> Position | None:
        spec = projection.tables[0]
        row = await self._table.get(spec.name, checkpoint_key(spec, self._journal, self._partition))
        return None if row is None else Position(row["offset"], row["epoch"])

    def _settle(self, fold: Fold, now_s: float) -> None:
        if self._pending or not fold.is_ahead:
            self._quiet_since_s = None
        elif self._quiet_since_s is None:
            self._quiet_since_s = now_s
        elif now_s - self._quiet_since_s >= QUIET_S:
            self._pending.append(fold.settle())
            self._quiet_since_s = None

    async def _write(self, cut: Cut) -> None:
        started_s = perf_counter()
        try:
            await self._table.transact(cut.changes, checkpoints=cut.checkpoints)
        except ConditionFailed:  # somebody else wrote, or this did before its answer was lost
            for each in cut.checkpoints:
                self._meters_of[each.table].fenced.inc()
            await self._load()
            return
        except Unavailable:
            for each in cut.checkpoints:
                self._meters_of[each.table].retries.inc()
            raise
        self._pending.popleft()
        self._count(cut, perf_counter() - started_s)
        self._stored_offset = cut.position.offset

    def _count(self, cut: Cut, took_s: float) -> None:
        rows = Counter(self._meters_of[each.table] for each in cut.changes)
        for each in cut.checkpoints:
            meters, before = self._meters_of[each.table], each.expected or _START._asdict()
            meters.transaction_seconds.observe(took_s)
            meters.rows.inc(rows[meters])
            meters.records.inc(cut.position.offset - before["offset"])
            meters.checkpoint_offset.set(cut.position.offset)


def checkpoint_key(spec: TableSpec, journal: str, partition: int) -> Row:
    """Where a partition's checkpoint lies: in the read model's first table, apart from its rows.

    So dropping the tables drops the checkpoint, and the next start builds them from offset 0.
    """
    key: dict[str, str | int] = {spec.partition_key: f"{CHECKPOINT}/{journal}/{partition}"}
    if spec.sort_key is not None:
        key[spec.sort_key] = 0 if spec.sort_type == "N" else CHECKPOINT
    return key


def checkpoint_row(spec: TableSpec, journal: str, partition: int, position: Position) -> Row:
    """The checkpoint item of a partition."""
    return {**checkpoint_key(spec, journal, partition), **position._asdict()}


async def positions(
    table: Readable, tables: Sequence[TableSpec], journal: str, partitions: int
) -> tuple[Position, ...]:
    """How far a read model has come in each partition of a journal; offset 0 before its start.

    Raises:
        Unavailable: the store fails.
    """
    keys = [checkpoint_key(tables[0], journal, each) for each in range(partitions)]
    rows = await table.batch_get(tables[0].name, keys)
    return tuple(_START if row is None else Position(row["offset"], row["epoch"]) for row in rows)
