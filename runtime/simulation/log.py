"""The log in memory: partitions with broker time, and appends that fail in every way they can."""

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Final, NamedTuple

from msgspec.structs import force_setattr, replace

from runtime.errors import Unavailable
from runtime.log import Batch, NewRecord, Place, Record
from runtime.simulation.scheduler import Process, Scheduler, Task, turn


class Kept(Record, frozen=True, gc=False):
    """A record that a dozen readers ask for the same headers."""

    named: dict[str, bytes] | None = None

    def by_name(self) -> Mapping[str, bytes]:
        """The headers by name, made when they are first asked for."""
        named = self.named
        if named is None:
            named = dict(self.headers)
            force_setattr(self, "named", named)
        return named


class Faults(NamedTuple):
    """Probabilities of what goes wrong at an append or a read.

    `clock_back` is that the broker's clock is behind what it said before.
    """

    reject: float = 0.0
    lose_acknowledgement: float = 0.0
    delay: float = 0.0
    read: float = 0.0
    clock_back: float = 0.0


class Broker:
    """Every partition of every topic, in memory."""

    def __init__(self, scheduler: Scheduler, partitions: Mapping[str, int]) -> None:
        self.scheduler: Final = scheduler
        self.partitions: Final = dict(partitions)
        self.faults = Faults()
        self.watch: Callable[[Place, Sequence[Record]], object] | None = None
        """Is told of every batch that was appended."""
        self._records: dict[Place, list[Record]] = {}

    def records(self, place: Place) -> list[Record]:
        """A partition's records."""
        return self._records.setdefault(place, [])

    def append(self, place: Place, batch: Sequence[NewRecord]) -> int:
        """Append a batch at once, stamped with broker time; returns its base offset."""
        if not batch:
            raise AssertionError("an empty batch")
        records = self.records(place)
        base, time_ms = len(records), self._time_ms()
        for new in batch:
            records.append(Kept(len(records), time_ms, new.key, new.value, tuple(new.headers)))
        if self.watch is not None:
            self.watch(place, records[base:])
        return base

    def _time_ms(self) -> int:
        now_ms, random = self.scheduler.now_ms, self.scheduler.random
        if self.faults.clock_back and random.random() < self.faults.clock_back:
            return now_ms - random.randrange(_BEHIND_MS_MAX)
        return now_ms

    def forget(self) -> None:
        """Drop every record: most of what a run leaves, and nothing that refers to itself."""
        self._records.clear()

    def compact(self, place: Place) -> None:
        """Blank what a later record of the same key outdates, as compaction may at any time."""
        records = self.records(place)
        newest = {record.key: record.offset for record in records}
        for record in records:
            if newest[record.key] != record.offset:
                records[record.offset] = replace(record, key=_COMPACTED)


_COMPACTED: Final = b"\0compacted"
_BEHIND_MS_MAX: Final = 300
_LENGTHS: Final = (1, 2, 5, 100)


class MemoryLog:
    """One life's access to the broker, as `runtime.log.Log` says."""

    def __init__(self, broker: Broker, process: Process) -> None:
        self._broker: Final = broker
        self._process: Final = process
        self._scheduler: Final = broker.scheduler

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        return self._broker.partitions[topic]

    async def start_offset(self, place: Place) -> int:
        """Always 0: nothing is deleted."""
        del place
        return 0

    async def end_offset(self, place: Place) -> int:
        """The offset that the next record will get."""
        await turn()
        return len(self._broker.records(place))

    async def read(self, place: Place, offset: int, *, wait_ms: int = 0) -> Sequence[Record]:
        """A run of records of random length."""
        del wait_ms
        await turn()
        self._maybe(self._broker.faults.read, "read failed")
        there = self._broker.records(place)
        if offset > len(there):
            raise Unavailable(f"{place} has no offset {offset}")
        if offset == len(there):
            return ()
        count = self._scheduler.random.choice(_LENGTHS)
        all_there = map(there.__getitem__, range(offset, len(there)))
        kept = (each for each in all_there if each.key != _COMPACTED)
        return list(islice(kept, count))

    async def append(self, place: Place, batch: Batch) -> int:
        """Append, or fail before, after, or with the batch landing later."""
        await turn()
        faults = self._broker.faults
        self._maybe(faults.reject, "append refused")
        if faults.delay and self._scheduler.random.random() < faults.delay:
            frozen = list(batch)
            steps = self._scheduler.random.randrange(1, 400)
            self._scheduler.later(steps, partial(self._broker.append, place, frozen))
            raise Unavailable("append timed out and lands later")
        base = self._broker.append(place, batch)
        await turn()
        self._maybe(faults.lose_acknowledgement, "acknowledgement lost")
        return base

    def publish(self, batches: Mapping[Place, Sequence[Batch]]) -> Awaitable[None]:
        """Append from a task of the same process; places go on independently."""
        tasks = [
            self._scheduler.spawn(self._process, self._publish(place, each), is_joined=True)
            for place, each in batches.items()
        ]
        return _Joined(tasks)

    async def close(self) -> None:
        """Nothing is held."""

    async def _publish(self, place: Place, batches: Sequence[Batch]) -> None:
        for batch in batches:
            await self.append(place, batch)

    def _maybe(self, probability: float, what: str) -> None:
        if probability > 0 and self._scheduler.random.random() < probability:
            raise Unavailable(what)


class _Joined:
    """Awaits every task; nothing happens when nobody does."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._tasks: Final = tasks

    def __await__(self) -> Generator[None, None, None]:
        for task in self._tasks:
            yield from task.join().__await__()
