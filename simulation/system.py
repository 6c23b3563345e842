"""The whole system on the in-memory log: every context, its workers, clients, a feed and faults.

One seed draws everything: sizes, fault probabilities, commands, crashes, pauses, who runs when.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any, Final, NamedTuple, Protocol, Self

from consumers.accounts import invariants as accounts_invariants
from consumers.accounts.context import AccountsContext
from consumers.identity import invariants as identity_invariants
from consumers.identity.context import IdentityContext
from consumers.markets import invariants as markets_invariants
from consumers.markets.context import MarketsContext
from runtime.errors import Fenced, Halted
from runtime.journal.context import Context
from runtime.journal.life import keep_writing
from runtime.journal.outbound import partition_of
from runtime.journal.partition import Partition
from runtime.journal.writer import Writer
from runtime.log import Log, Place, Record
from runtime.simulation.log import Broker, Faults, MemoryLog
from runtime.simulation.scheduler import Process, Scheduler, turn
from schemas.topics import CONTEXTS, TOPICS, snapshots_of
from simulation.projecting import ReadModels
from simulation.workload import Workload


def _deciders() -> Iterator[Context[Any]]:
    yield from (AccountsContext(), IdentityContext(), MarketsContext())


DECIDERS: Final = {each.name: each for each in _deciders()}
CHECKS: Final = {
    "accounts": accounts_invariants.check,
    "identity": identity_invariants.check,
    "markets": markets_invariants.check,
}
_ALL: Final = 1 << 62
_QUIET_STEPS_MAX: Final = 400_000
_READ_MODELS_CHECKED_EVERY: Final = 997


class Trace(Protocol):
    """Is told a run while it happens."""

    def appended(self, place: Place, records: Sequence[Record]) -> None:
        """A batch is on the log."""
        ...

    def happened(self, what: str) -> None:
        """Something was done to the system."""
        ...


class Weather(NamedTuple):
    """How rough a run is: probabilities for each step of the scheduler."""

    faults: Faults
    crash: float
    pause: float
    rebalance: float
    compact: float
    duplicate: float


def weather(random: Random) -> Weather:
    """Swarm testing: each fault is off in some runs and heavy in others."""

    def some(most: float) -> float:
        return random.choice((0.0, most / 10, most))

    faults = Faults(
        reject=some(0.1),
        lose_acknowledgement=some(0.3),
        delay=some(0.1),
        read=some(0.1),
        clock_back=some(0.1),
    )
    return Weather(
        faults, some(0.002), some(0.004), some(0.002), some(0.01), random.choice((0.0, 0.1, 0.5))
    )


class Worker:
    """One process of a context, with a life for each partition that the coordinator gives it."""

    def __init__(self, system: "System", context: str) -> None:
        self.system: Final = system
        self.context: Final = context
        self.process: Final[Process] = system.scheduler.process(context)
        self.lives: Final[dict[int, Life]] = {}

    def assign(self, partitions: frozenset[int]) -> None:
        """What a rebalance does: keep, start and stop writers."""
        for number in self.lives.keys() - partitions:
            self.lives.pop(number).stopping = True
        for number in sorted(partitions - self.lives.keys()):
            self.lives[number] = Life(self, number)


class Life:
    """Surrounds the writers of one partition of one process, as production's PartitionLife."""

    def __init__(self, worker: Worker, number: int) -> None:
        self._worker: Final = worker
        self._system: Final = worker.system
        self.number: Final = number
        self.stopping = False
        self.current: Writer[Any] | None = None
        self._system.scheduler.spawn(worker.process, keep_writing(self))

    async def open_log(self) -> Log:
        return MemoryLog(self._system.broker, self._worker.process)

    def writer(self, log: Log) -> Writer[Any]:
        self.current = Writer(
            DECIDERS[self._worker.context],
            self.number,
            log,
            commit_hint=self._commit_hint,
            round_every_records=self._system.round_every,
            round_step_bytes=self._system.round_step,
        )
        return self.current

    def is_stopping(self) -> bool:
        return self.stopping

    async def sleep(self, duration_ms: int) -> None:
        for _ in range(min(duration_ms // 100, 20)):
            await turn()

    def halted(self, problem: Halted) -> None:
        raise AssertionError(f"{self._worker.context}/{self.number} halted: {problem}")

    async def _commit_hint(self, offset: int) -> None:
        del offset
        assert self.current is not None
        assert self.current.dropped_snapshots is None, self.current.dropped_snapshots
        await turn()
        if self._system.owner_of(self._worker.context, self.number) is not self._worker:
            raise Fenced("no longer a member")


class System:
    """One seeded run; a `trace` is told what is appended and what is done to it."""

    def __init__(
        self,
        seed: int,
        *,
        commands: int,
        round_every: int | None = None,
        trace: Trace | None = None,
    ) -> None:
        self.random: Final = Random(seed)
        self.scheduler: Final = Scheduler(self.random)
        count = self.random.choice((1, 2, 3))
        self.partitions: Final = count
        drawn = self.random.choice((7, 40, 10_000))
        self.round_every: Final = round_every or drawn
        self.round_step: Final = self.random.choice((1, 1, 256 * 1024))
        self.broker: Final = Broker(
            self.scheduler,
            {
                each.name: count if each.name.startswith(CONTEXTS) else each.partitions
                for each in TOPICS
            },
        )
        self.weather: Final = weather(self.random)
        self.broker.faults = self.weather.faults
        self._mishaps: Final = (
            (self.weather.crash, self._kill_worker),
            (self.weather.crash, self._kill_read_model),
            (self.weather.pause, self._pause),
            (self.weather.rebalance, self._rebalance_any),
            (self.weather.compact, self._compact),
        )
        self._trace: Final = trace
        if trace is not None:
            self.broker.watch = trace.appended
        self._checked: dict[tuple[str, int], tuple[Partition[Any], int]] = {}
        self.workers: dict[str, list[Worker]] = {}
        self._owners: dict[tuple[str, int], Worker] = {}
        for context in CONTEXTS:
            self.workers[context] = [
                Worker(self, context) for _ in range(self.random.choice((1, 2)))
            ]
            self._rebalance(context)
        self.read_models: Final = ReadModels(self.broker, self.random)
        self.workload: Final = Workload(self.broker, self.random, commands, self.weather.duplicate)

    def owner_of(self, context: str, number: int) -> Worker | None:
        """Which worker the coordinator gave the partition to."""
        return self._owners.get((context, number))

    # --- running -----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in tuple(self.scheduler.processes):
            self.scheduler.crash(process)
        self.broker.forget()

    def run(self) -> None:
        """All commands under faults, then without faults until everything is final."""
        while not self.workload.is_done:
            self._step()
            self._disturb()
            self.workload.maybe_send()
        self._calm()
        for steps in range(_QUIET_STEPS_MAX):
            self._step()
            if steps % 50 == 0 and self._is_idle():
                break
        else:
            raise AssertionError(f"not idle after {_QUIET_STEPS_MAX} quiet steps")
        self.read_models.check()

    def _step(self) -> None:
        self.scheduler.step()
        if self.scheduler.steps % 50 == 0:
            self._check_states()
        if self.scheduler.steps % _READ_MODELS_CHECKED_EVERY == 0:
            self.read_models.check()

    def _check_states(self) -> None:
        """Check each live state that has changed since the last time."""
        for context, writer in self.live_writers():
            partition = writer.partition
            if self._checked.get((context, partition.number)) != (partition, partition.next_offset):
                CHECKS[context](partition.state)
                self._checked[context, partition.number] = (partition, partition.next_offset)

    def _disturb(self) -> None:
        drawn = self.random.random()
        for probability, happen in self._mishaps:
            drawn -= probability
            if drawn < 0:
                happen()
                return

    def _kill_worker(self) -> None:
        self._replace(self._any_worker())

    def _kill_read_model(self) -> None:
        self._say("a read-model process is killed")
        self.read_models.crash_one()

    def _pause(self) -> None:
        worker, steps = self._any_worker(), self.random.randrange(50, 2_000)
        self._say(f"a {worker.context} worker is stopped for {steps} steps")
        self.scheduler.pause(worker.process, steps)
        if self.random.random() < 0.7:
            self._rebalance(worker.context, without=worker)

    def _rebalance_any(self) -> None:
        self._rebalance(self.random.choice(CONTEXTS))

    def _compact(self) -> None:
        context = self.random.choice(CONTEXTS)
        self.broker.compact((snapshots_of(context), self.random.randrange(self.partitions)))

    def _say(self, what: str) -> None:
        if self._trace is not None:
            self._trace.happened(what)

    def _calm(self) -> None:
        self._say("no more faults")
        self.broker.faults = Faults()
        self.read_models.calm()
        self.scheduler.resume()
        for context in CONTEXTS:
            self._rebalance(context)

    def _any_worker(self) -> Worker:
        return self.random.choice([each for every in self.workers.values() for each in every])

    def _replace(self, worker: Worker) -> None:
        self._say(f"a {worker.context} worker is killed")
        self.scheduler.crash(worker.process)
        workers = self.workers[worker.context]
        workers[workers.index(worker)] = Worker(self, worker.context)
        self._rebalance(worker.context)

    def _rebalance(self, context: str, *, without: Worker | None = None) -> None:
        self._say(f"{context} is rebalanced")
        workers = [each for each in self.workers[context] if each is not without]
        if not workers:
            workers = [Worker(self, context)]
            self.workers[context].extend(workers)
        shares: dict[Worker, set[int]] = {each: set() for each in workers}
        for number in range(self.partitions):
            owner = self.random.choice(workers)
            shares[owner].add(number)
            self._owners[context, number] = owner
        for worker, numbers in shares.items():
            worker.assign(frozenset(numbers))

    # --- looking -----------------------------------------------------------------------------

    def live_writers(self) -> Iterator[tuple[str, Writer[Any]]]:
        """Every writer that has claimed and whose partition is still its own."""
        for (context, number), worker in self._owners.items():
            life = worker.lives.get(number)
            if life is not None and life.current is not None and life.current.is_writing:
                yield context, life.current

    def places(self, name: str) -> Iterator[tuple[str, Place]]:
        """Every partition of a kind of topic, with its context; `name` is "journal", say."""
        for context in CONTEXTS:
            for number in range(self.partitions):
                yield context, (f"{context}.{name}", number)

    def _is_idle(self) -> bool:
        writers = {
            (context, writer.partition.number): writer for context, writer in self.live_writers()
        }
        return (
            self.scheduler.is_quiet
            and len(writers) == len(CONTEXTS) * self.partitions
            and all(self._is_settled(writers[each]) for each in writers)
            and self.read_models.is_settled()
        )

    def _is_settled(self, writer: Writer[Any]) -> bool:
        partition = writer.partition
        return (
            writer.is_published
            and partition.source_offset + 1 == len(self.broker.records(partition.inbox))
            and partition.next_offset <= len(self.broker.records(partition.journal))
        )

    def replayed(self, context: str, number: int) -> Partition[Any]:
        """The partition's state folded from its journal alone."""
        partition = self.anew(context, number)
        for record in self.broker.records(partition.journal):
            partition.replay(record)
        return partition

    def anew(self, context: str, number: int) -> Partition[Any]:
        """A partition without history, which only counts what it would send."""
        partition = Partition(DECIDERS[context], number, self.broker.partitions.__getitem__)
        partition.resend_from = _ALL
        return partition


def place_of(topic: str, key: str, broker: Broker) -> Place:
    """Where a client's producer puts a key."""
    return topic, partition_of(key, broker.partitions[topic])
