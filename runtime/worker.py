"""A deciding worker: group membership on the inbox, and one writer for each partition it gets."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream import FastStream
from faststream.kafka import KafkaBroker

from runtime import metrics
from runtime.errors import Fenced, Halted, Unavailable
from runtime.journal.context import Context
from runtime.journal.life import keep_writing
from runtime.journal.writer import Writer
from runtime.kafka_log import KafkaLog
from runtime.kafka_options import kafka_options, kafka_security
from runtime.log import Log
from runtime.membership import leave_at_once
from runtime.settings import Settings, settings
from schemas.topics import inbox_of

_LOG: Final = logging.getLogger(__name__)
_COMMIT_S_MAX: Final = 3.0
_HINT_EVERY_S: Final = 1.0
_STOP_S_MAX: Final = 6.0
_CANCELED_MS: Final = 500


def worker_app(context: Context[Any]) -> FastStream:
    """The FastStream application that runs a context's writers."""

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        worker = Worker(context, settings(), on_failure=app.exit)
        await worker.start()
        try:
            yield
        finally:
            await worker.stop()
        if worker.failure is not None:
            raise worker.failure

    # A FastStream application wants a broker, though the writers have clients of their own.
    broker = KafkaBroker(
        settings().kafka_bootstrap,
        security=kafka_security(settings()),
        allow_auto_create_topics=False,
        logger=_LOG,
    )
    app = FastStream(broker, lifespan=lifespan)
    return app


class PartitionLife:
    """Surrounds the writers of one partition in production."""

    def __init__(self, worker: "Worker", number: int) -> None:
        self._worker: Final = worker
        self._number: Final = number
        self._stopping = asyncio.Event()
        self._writer: Writer[Any] | None = None
        self.task: Final = asyncio.ensure_future(self._live())

    @property
    def next_source_offset(self) -> int | None:
        """The inbox offset that is decided next; None while the writer starts."""
        if self._writer is None or not self._writer.is_writing:
            return None
        return self._writer.partition.source_offset + 1

    def stop(self) -> None:
        """Ask the writer to finish."""
        self._stopping.set()

    async def _live(self) -> None:
        """Keep writing, also when a Kafka client cancels a future of its own under a writer.

        aiokafka does that when its broker dies; nobody cancels a life before it is stopping.
        """
        while True:
            try:
                return await keep_writing(self)
            except asyncio.CancelledError:
                if self.is_stopping():
                    raise
                _LOG.warning("writer starts again: a client canceled it", exc_info=True)
            await self.sleep(_CANCELED_MS)

    # --- runtime.journal.life.Life -----------------------------------------------------------

    async def open_log(self) -> Log:
        """Fresh clients."""
        return await KafkaLog.open(self._worker.settings)

    def writer(self, log: Log) -> Writer[Any]:
        """A writer without state, which checks membership before it claims."""
        self._writer = Writer(
            self._worker.context,
            self._number,
            log,
            commit_hint=self._commit_hint,
            round_every_records=self._worker.settings.snapshot_every_records,
        )
        return self._writer

    def is_stopping(self) -> bool:
        """Whether the partition went to another process, or this one ends."""
        return self._stopping.is_set()

    async def sleep(self, duration_ms: int) -> None:
        """Back off, unless asked to stop."""
        metrics.JOURNAL_FENCED.labels(self._worker.context.name, self._number).inc()
        with suppress(TimeoutError):
            async with asyncio.timeout(duration_ms / 1000):
                await self._stopping.wait()

    def halted(self, problem: Halted) -> None:
        """Say it loudly and stay halted (W8)."""
        metrics.JOURNAL_HALTED.labels(self._worker.context.name, self._number).set(1)
        _LOG.critical("partition %s halted: %s", self._number, problem)

    async def _commit_hint(self, offset: int) -> None:
        await self._worker.commit({self._number: offset})


class Worker(ConsumerRebalanceListener):
    """Lives as long as the process; rebalances only start and stop writers (W1)."""

    def __init__(
        self, context: Context[Any], settings: Settings, *, on_failure: Callable[[], None]
    ) -> None:
        self.context: Final = context
        self.failure: BaseException | None = None
        self._on_failure: Final = on_failure
        self.settings: Final = settings
        self._inbox: Final = settings.topic(inbox_of(context.name))
        self._lives: dict[int, PartitionLife] = {}
        self._ending: set[asyncio.Future[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self._membership: Final = AIOKafkaConsumer(
            **kafka_options(settings),
            group_id=f"{settings.namespace}{context.name}",
            group_instance_id=settings.instance,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            session_timeout_ms=10_000,
            heartbeat_interval_ms=1_000,
            max_poll_interval_ms=300_000,
        )

    async def start(self) -> None:
        """Join the group; writers start with the assignment."""
        await _until_answered(self._membership)
        self._membership.subscribe([self._inbox], listener=self)
        self._loops = [
            asyncio.create_task(self._poll()),
            asyncio.create_task(self._commit_hints()),
        ]
        for loop in self._loops:
            loop.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Let every writer finish, then leave the group."""
        self._stop_all_but(frozenset())
        if self._ending:
            await asyncio.wait(self._ending, timeout=_STOP_S_MAX)
        for loop in self._loops:
            loop.cancel()
        leave_at_once(self._membership)
        with suppress(TimeoutError):
            async with asyncio.timeout(_COMMIT_S_MAX):
                await self._membership.stop()

    async def commit(self, offsets: dict[int, int]) -> None:
        """Commit hints of lag; it fails where a partition is not ours any more.

        Raises:
            Fenced: the group goes on without us.
            Unavailable: no answer in time.
        """
        named = {TopicPartition(self._inbox, number): at for number, at in offsets.items()}
        try:
            async with asyncio.timeout(_COMMIT_S_MAX):
                await self._membership.commit(named)
        except (CommitFailedError, IllegalStateError) as error:
            raise Fenced(f"no longer a member for {sorted(offsets)}") from error
        except (KafkaError, TimeoutError) as error:
            raise Unavailable(f"hint not committed: {error!r}") from error

    # --- ConsumerRebalanceListener -----------------------------------------------------------

    async def on_partitions_revoked(  # pyright: ignore[reportIncompatibleMethodOverride]  # aiokafka awaits it
        self, revoked: Iterable[TopicPartition]
    ) -> None:
        """Nothing: a partition that comes back keeps its writer."""

    async def on_partitions_assigned(  # pyright: ignore[reportIncompatibleMethodOverride]  # aiokafka awaits it
        self, assigned: Iterable[TopicPartition]
    ) -> None:
        """Keep, start and stop writers; the membership itself reads nothing."""
        partitions = list(assigned)
        self._membership.pause(*partitions)
        numbers = frozenset(each.partition for each in partitions)
        self._stop_all_but(numbers)
        for number in sorted(numbers - self._lives.keys()):
            life = self._lives[number] = PartitionLife(self, number)
            life.task.add_done_callback(self._ended)

    def _stop_all_but(self, numbers: frozenset[int]) -> None:
        for number in self._lives.keys() - numbers:
            life = self._lives.pop(number)
            life.stop()
            self._ending.add(life.task)
            life.task.add_done_callback(self._ending.discard)

    def _ended(self, task: "asyncio.Future[None]") -> None:
        """End the process when a task of it fails for no reason that it knows."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.critical("a task failed", exc_info=error)
            self.failure = error
            self._on_failure()

    # --- loops -------------------------------------------------------------------------------

    async def _poll(self) -> None:
        while True:
            try:
                await self._membership.getmany(timeout_ms=500)
            except KafkaError as error:
                _LOG.warning("membership: %r", error)
                await asyncio.sleep(_HINT_EVERY_S)

    async def _commit_hints(self) -> None:
        committed: dict[int, int] = {}
        while True:
            await asyncio.sleep(_HINT_EVERY_S)
            offsets = {
                number: offset
                for number, life in self._lives.items()
                if (offset := life.next_source_offset) is not None
                and committed.get(number) != offset
            }
            if offsets:
                with suppress(Fenced, Unavailable):
                    await self.commit(offsets)
                    committed.update(offsets)


async def _until_answered(consumer: AIOKafkaConsumer) -> None:
    while True:
        try:
            await consumer.start()
        except KafkaError as error:
            _LOG.warning("no broker yet: %r", error)
            await asyncio.sleep(_HINT_EVERY_S)
        else:
            return
