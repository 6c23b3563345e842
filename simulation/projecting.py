"""Read models in a simulated run: projectors that crash, race each other and lose answers."""

from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Final

from read_models.app import READ_MODELS, projections
from runtime.errors import Unavailable
from runtime.log import Place
from runtime.memory_table import Fault, MemoryTable
from runtime.projector import Fold, Projector, checkpoint_key
from runtime.simulation.log import Broker, MemoryLog
from runtime.simulation.scheduler import Process, Scheduler, turn
from runtime.table import Change, Checkpoint, Row

if TYPE_CHECKING:
    from runtime.projection import Projection

FAULTS: Final = (Fault.THROTTLED, Fault.CONFLICT, Fault.ANSWER_LOST)


class TurningTable(MemoryTable):
    """The table store, where every call lets somebody else go first."""

    async def get(self, table: str, key: Row) -> Row | None:
        await turn()
        return await super().get(table, key)

    async def transact(
        self, changes: Sequence[Change], *, checkpoints: Sequence[Checkpoint]
    ) -> None:
        await turn()
        await super().transact(changes, checkpoints=checkpoints)


class ReadModels:
    """Some read models, and two processes that both project them, the second not all of them."""

    def __init__(self, broker: Broker, random: Random) -> None:
        self._broker: Final = broker
        self._scheduler: Final[Scheduler] = broker.scheduler
        self._random: Final = random
        chosen = random.sample(READ_MODELS, random.choice((1, 1, 2, 2, len(READ_MODELS))))
        self._projections: Final[tuple[Projection, ...]] = projections(chosen)
        self._fault_rate = random.choice((0.0, 0.1))
        specs = [spec for each in self._projections for spec in each.tables]
        self.table: Final = TurningTable(specs, faults=self._fault)
        self._processes: Final = [self._start(n) for n in range(2)]
        changes = _Changes(broker, self._projections)
        self._folded: Final = {each: _Folded(each, changes) for each in self._projections}

    def crash_one(self) -> None:
        """SIGKILL one of the processes and start it anew."""
        n = self._random.randrange(len(self._processes))
        self._scheduler.crash(self._processes[n])
        self._processes[n] = self._start(n)

    def calm(self) -> None:
        """No more faults."""
        self._fault_rate = 0.0

    def is_settled(self) -> bool:
        """Whether every journal is projected to its end, as far as it has rows."""
        return not any(
            folded.has_changes(place, self._projected(each, place))
            for each, folded in self._folded.items()
            for place in self._places(each)
        )

    def check(self) -> None:
        """Each table is, at any moment, the fold of its journals up to its checkpoints.

        Raises:
            AssertionError: naming a row that differs.
        """
        for each, folded in self._folded.items():
            for place in self._places(each):
                folded.go_on(place, self._projected(each, place))
            row = self._difference(each, folded)
            assert row is None, f"{row} differs from what its checkpoint says"

    def _projected(self, projection: "Projection", place: Place) -> int:
        spec = projection.tables[0]
        partition, *sort = checkpoint_key(spec, *place).values()
        found = self.table.rows(spec.name).get((partition, sort[0] if sort else None))
        return 0 if found is None else found["offset"]

    def _difference(self, projection: "Projection", folded: "_Folded") -> object:
        for spec in projection.tables:
            expected = folded.table.rows(spec.name)
            found = {
                key: row
                for key, row in self.table.rows(spec.name).items()
                if not str(key[0]).startswith("checkpoint/")
            }
            if expected == found:
                continue
            for key in expected.keys() | found.keys():
                if expected.get(key) != found.get(key):
                    return (projection.name, key, expected.get(key), found.get(key))
        return None

    def _start(self, number: int) -> Process:
        process = self._scheduler.process(f"read-model-{number}")
        chosen = self._projections
        if number:
            chosen = self._random.sample(chosen, self._random.randint(1, len(chosen)))
        for place in sorted({place for each in chosen for place in self._places(each)}):
            together = [each for each in chosen if place[0] in each.journals]
            self._scheduler.spawn(process, self._project(process, together, place))
        return process

    def _places(self, projection: "Projection") -> list[tuple[str, int]]:
        return [
            (journal, number)
            for journal in projection.journals
            for number in range(self._broker.partitions[journal])
        ]

    async def _project(
        self, process: Process, together: "list[Projection]", place: tuple[str, int]
    ) -> None:
        log = MemoryLog(self._broker, process)
        projector = Projector(together, *place, self.table)
        while True:
            with suppress(Unavailable):  # whatever fails has let others go first
                offset = projector.next_offset
                records = () if offset is None else await log.read(place, offset)
                await projector.step(records, now_s=self._scheduler.now_ms / 1000)

    def _fault(self, _call: str) -> Fault | None:
        if self._random.random() < self._fault_rate:
            return self._random.choice(FAULTS)
        return None


class _Changes:
    """What each journal record changes in all read models, worked out once."""

    def __init__(self, broker: Broker, projections: "Sequence[Projection]") -> None:
        self._broker: Final = broker
        self._projections: Final = projections
        self._folds: Final[dict[Place, Fold]] = {}
        self._by_offset: Final[dict[Place, list[Sequence[Change]]]] = {}

    def of(self, place: Place) -> Sequence[Sequence[Change]]:
        """The changes of every record that is there now, by offset."""
        fold = self._folds.get(place)
        if fold is None:
            together = [each for each in self._projections if place[0] in each.journals]
            fold = self._folds[place] = Fold(dict.fromkeys(together), *place)
            self._by_offset[place] = []
        known = self._by_offset[place]
        known.extend(map(fold.changes, self._broker.records(place)[len(known) :]))
        return known


class _Folded:
    """The fold of a read model's journals, which goes on as they grow."""

    def __init__(self, projection: "Projection", changes: _Changes) -> None:
        self._changes: Final = changes
        self._tables: Final = frozenset(each.name for each in projection.tables)
        self._reached: Final[dict[Place, int]] = {}
        self.table: Final = MemoryTable(projection.tables)

    def has_changes(self, place: Place, since: int) -> bool:
        """Whether records from offset `since` on change its rows."""
        return any(
            change.table in self._tables
            for changes in self._changes.of(place)[since:]
            for change in changes
        )

    def go_on(self, place: Place, until: int) -> None:
        """Fold what is new before offset `until`.

        Raises:
            AssertionError: it was further on before.
        """
        since = self._reached.get(place, 0)
        assert since <= until, f"the checkpoint of {place} went back to {until}"
        for changes in self._changes.of(place)[since:until]:
            for change in changes:
                if change.table in self._tables:
                    self.table.apply(change)
        self._reached[place] = until
