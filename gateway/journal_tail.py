"""Follows journals to their ends: which decisions of an account are acknowledged, projected or not.

Memory is bounded by what is not projected yet: entries behind the projectors' lowest checkpoint
are forgotten every few seconds.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from gateway.tasks import Tasks
from runtime.bounded import Bounded
from runtime.errors import Unavailable
from runtime.journal.claims import NO_EPOCH, Claims
from runtime.kafka_clients import stop_within
from runtime.kafka_options import kafka_options
from runtime.projector import Position
from runtime.settings import Settings
from schemas.codec import PoisonMessage
from schemas.envelope import (
    CE_TYPE,
    ENTITY_ID,
    ENTITY_VERSION,
    LOGICAL_TIME,
    WRITER_EPOCH,
    header_map,
)

_LOG: Final = logging.getLogger(__name__)
_POLL_MS: Final = 1_000
_REST_S: Final = 0.1
_BACKOFF_S: Final = 0.5
_FORGET_EACH_S: Final = 5.0
_VERSIONS_MAX: Final = 100_000
"""Entities per partition whose newest version is remembered when it is projected already."""
_UNREADABLE: Final = (KeyError, ValueError, TypeError, AttributeError, PoisonMessage)
"""What a record raises that lacks a header, or has one that is null or no text."""


Batches = Mapping[TopicPartition, list[Any]]


class Newest(NamedTuple):
    """An entity's newest acknowledged record that concerns a read model; times are broker ms."""

    version: int
    offset: int
    time_ms: int


class Followed(NamedTuple):
    """A journal to follow.

    `concerns` maps event types to the read models that project them, `positions` gives where
    those models' projectors stand, the lowest of all for each partition.
    """

    topic: str
    concerns: Mapping[str, tuple[str, ...]]
    positions: Callable[[int], Awaitable[tuple[Position, ...]]]
    watched: Mapping[str, Callable[[bytes], None]] = {}
    """What else wants to see the bodies of which event types."""


class _Partition:
    """What is known of one journal partition."""

    def __init__(self, start: Position) -> None:
        self.position = start.offset
        self.claims = Claims(start.epoch or NO_EPOCH)
        self.newest: dict[tuple[str, str], Newest] = {}
        self.versions: Final[Bounded[str, Newest]] = Bounded(_VERSIONS_MAX)
        self.waiting: list[tuple[int, asyncio.Future[None]]] = []

    def wake(self) -> None:
        """Let those go on whose offset is reached."""
        still: list[tuple[int, asyncio.Future[None]]] = []
        for offset, future in self.waiting:
            if future.done():
                continue  # who waited gave up
            if offset > self.position:
                still.append((offset, future))
            else:
                future.set_result(None)
        self.waiting = still

    def note(self, entity: str, newest: Newest, models: Iterable[str]) -> None:
        """Take an entity's newest record in."""
        for model in models:
            self.newest[model, entity] = newest
        self.versions.put(entity, newest)

    def forget_before(self, offset: int) -> None:
        """Drop what is projected."""
        if self.newest:
            self.newest = {
                key: newest for key, newest in self.newest.items() if newest.offset >= offset
            }


class JournalTail:
    """One consumer that follows all partitions of some journals."""

    def __init__(
        self,
        settings: Settings,
        followed: Iterable[Followed],
        partitions: Callable[[str], Awaitable[int]],
    ) -> None:
        self._settings: Final = settings
        self._partitions_in: Final = partitions
        self._followed: Final = {settings.topic(each.topic): each for each in followed}
        self._partitions: dict[TopicPartition, _Partition] = {}
        self._counts: dict[str, int] = {}
        self._tasks: Final = Tasks()
        self._ends: Final = _Ends(settings)
        self._is_wanted: Final = asyncio.Event()
        self._has_caught_up = False

    @property
    def is_caught_up(self) -> bool:
        """Whether all that stood in the journals was read, and what comes is being read."""
        return self._has_caught_up and not self._tasks.has_failed

    async def start(self) -> None:
        """Connect what asks for end offsets, and start to follow in the background."""
        await self._ends.start()
        self._tasks.start(self._follow_always(), name="journal-tail")
        self._tasks.start(self._forget_always(), name="journal-tail-forget")

    async def stop(self) -> None:
        """Stop following."""
        await self._tasks.stop()
        await self._ends.stop()

    def partitions_of(self, topic: str) -> int:
        """How many partitions the journal has.

        Raises:
            Unavailable: not known yet.
        """
        count = self._counts.get(self._settings.topic(topic), 0)
        if not count:
            raise Unavailable(f"the tail of {topic} is not there yet")
        return count

    async def reach_end(self, topic: str, partition: int) -> None:
        """Wait until everything is read that is acknowledged now.

        Raises:
            Unavailable: the broker does not say where the end is, or nothing is followed yet.
        """
        place = TopicPartition(self._settings.topic(topic), partition)
        end = await self._ends.of(place)
        known = self._partitions.get(place)
        if known is None:
            raise Unavailable(f"the tail of {topic} is not there yet")
        if known.position < end:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            known.waiting.append((end, future))
            self._is_wanted.set()
            await future

    def newest(self, topic: str, partition: int, entity: str, model: str) -> Newest | None:
        """The entity's newest record that concerns the model; None when all may be projected."""
        known = self._partitions.get(TopicPartition(self._settings.topic(topic), partition))
        return None if known is None else known.newest.get((model, entity))

    def latest(self, topic: str, partition: int, entity: str) -> Newest | None:
        """The entity's newest record of any type, as long as it is remembered."""
        known = self._partitions.get(TopicPartition(self._settings.topic(topic), partition))
        return None if known is None else known.versions.get(entity)

    async def _follow_always(self) -> None:
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError, Unavailable) as error:
                _LOG.warning("the journal tail starts again: %r", error)
                self._has_caught_up = False
                await asyncio.sleep(_BACKOFF_S)

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            **kafka_options(self._settings),
            auto_offset_reset="none",
            enable_auto_commit=False,
        )
        try:
            await consumer.start()
            await self._assign(consumer)
            while True:
                self._take(cast("Batches", await consumer.getmany(timeout_ms=_POLL_MS)))
                if self.is_caught_up:
                    await self._rest()
                else:
                    await self._check_caught_up()
        finally:
            await stop_within(consumer)

    async def _rest(self) -> None:
        """Let records gather as long as nobody waits for one: few polls cost less than many."""
        if not any(each.waiting for each in self._partitions.values()):
            self._is_wanted.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(_REST_S):
                await self._is_wanted.wait()

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        """Start where every projector has been, whose epoch is known there (R1)."""
        starts: dict[TopicPartition, _Partition] = {}
        for topic, followed in self._followed.items():
            count = await self._partitions_in(followed.topic)
            positions = await followed.positions(count)
            self._counts[topic] = count
            for number, position in enumerate(positions):
                starts[TopicPartition(topic, number)] = _Partition(position)
        consumer.assign(list(starts))
        for place, partition in starts.items():
            consumer.seek(place, partition.position)
            if (before := self._partitions.get(place)) is not None:
                partition.waiting = before.waiting
        self._partitions = starts

    def _take(self, batches: Batches) -> None:
        for place, records in batches.items():
            partition, followed = self._partitions[place], self._followed[place.topic]
            for record in records:
                try:
                    _take_record(partition, followed, record)
                except _UNREADABLE as error:
                    _LOG.error("%s offset %s cannot be read: %r", place, record.offset, error)
            partition.position = records[-1].offset + 1
            partition.wake()

    async def _check_caught_up(self) -> None:
        ends = await asyncio.gather(*(self._ends.of(place) for place in self._partitions))
        self._has_caught_up = all(
            partition.position >= end
            for partition, end in zip(self._partitions.values(), ends, strict=True)
        )

    async def _forget_always(self) -> None:
        while True:
            await asyncio.sleep(_FORGET_EACH_S)
            with suppress(Unavailable):
                for topic, followed in self._followed.items():
                    await self._forget(topic, followed)

    async def _forget(self, topic: str, followed: Followed) -> None:
        mine = {
            place.partition: partition
            for place, partition in self._partitions.items()
            if place.topic == topic
        }
        if not any(each.newest for each in mine.values()):
            return
        for number, position in enumerate(await followed.positions(len(mine))):
            mine[number].forget_before(position.offset)


def _take_record(partition: _Partition, followed: Followed, record: Any) -> None:  # noqa: ANN401  # aiokafka's
    headers = header_map(record.headers)
    event_type = headers[CE_TYPE].decode()
    if not partition.claims.admits(event_type, int(headers[WRITER_EPOCH]), record.offset):
        return
    version = headers.get(ENTITY_VERSION)
    if version is None:
        return
    newest = Newest(int(version), record.offset, int(headers[LOGICAL_TIME]))
    partition.note(headers[ENTITY_ID].decode(), newest, followed.concerns.get(event_type, ()))
    if (watcher := followed.watched.get(event_type)) is not None:
        watcher(record.value)


class _Ends:
    """Asks where partitions end, one request at a time for all that want to know.

    Whoever asks gets a request that was sent after they asked: one under way may be too old.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._wanted: set[TopicPartition] = set()
        self._next: asyncio.Task[dict[TopicPartition, int]] | None = None
        self._lock: Final = asyncio.Lock()

    async def start(self) -> None:
        """Connect.

        Raises:
            Unavailable: the broker does not answer.
        """
        self._consumer = AIOKafkaConsumer(**kafka_options(self._settings), request_timeout_ms=5_000)
        try:
            await self._consumer.start()
        except KafkaError as error:
            raise Unavailable(f"Kafka at {self._settings.kafka_bootstrap}") from error

    async def stop(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            await stop_within(self._consumer)

    async def of(self, place: TopicPartition) -> int:
        """The offset that the next record of the partition will get."""
        self._wanted.add(place)
        if self._next is None:
            self._next = asyncio.create_task(self._ask())
        return (await asyncio.shield(self._next))[place]

    async def _ask(self) -> dict[TopicPartition, int]:
        async with self._lock:
            wanted, self._wanted, self._next = self._wanted, set(), None
            try:
                ends = await self._connected().end_offsets(list(wanted))  # pyright: ignore[reportUnknownVariableType]
            except KafkaError as error:
                raise Unavailable("the broker does not say where journals end") from error
            return cast("dict[TopicPartition, int]", ends)

    def _connected(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise Unavailable("not connected")
        return self._consumer
