"""The Kafka shell of the projector: partitions of one subscriber, each projected at its own pace.

The subscriber only hands records over. Where a partition goes on is its checkpoint, never the
group's offset: that is committed as a hint, so that lag can be seen.
"""

import asyncio
import logging
import os
import random
import signal
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from time import monotonic
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from runtime.errors import Halted, Unavailable
from runtime.log import Record
from runtime.membership import leave_at_once
from runtime.projector import Projector

QUEUED_RECORDS_MAX: Final = 5_000
"""A partition with more waiting is paused until half are projected."""
STEP_RECORDS_MAX: Final = 1_000
LINGER_S: Final = (0.02, 0.15)
"""How long a record waits for company: the least, which is what an order takes from its acceptance
to its end, and the most."""
_LINGER_S_PER_RECORD: Final = 0.001
_FULL_RECORDS: Final = 200
"""So many fill a transaction or two: they wait for nobody."""
_IDLE_S: Final = 1.0
_HINT_S: Final = 1.0
_BACK_OFF_S: Final = (0.05, 5.0)
_HALTED_S: Final = 30.0
_log: Final = logging.getLogger(__name__)

Kafka = AIOKafkaConsumer
RawRecord = ConsumerRecord[Any, Any]
NewProjector = Callable[[TopicPartition], Projector]


class Lane:
    """One assigned partition: a queue of records, and the task that projects them."""

    def __init__(self, place: TopicPartition, projector: Projector, consumer: Kafka) -> None:
        self.place = place
        self.projector = projector
        self._consumer = consumer
        self._queue: deque[Record] = deque()
        self._arrived = asyncio.Event()
        self._is_paused = False
        self._failures = 0
        self._taken_before = 0
        self._is_lost = True
        """Whether records come from elsewhere than the projector's position, as at the start."""

    def offer(self, records: Iterable[Record]) -> None:
        """Take records over; stop their fetching when too many wait."""
        self._queue.extend(records)
        self._arrived.set()
        if len(self._queue) > QUEUED_RECORDS_MAX and not self._is_paused:
            self._is_paused = True
            self._consumer.pause(self.place)

    async def run(self) -> None:
        """Project until canceled, or until the partition is somebody else's."""
        with suppress(IllegalStateError):
            await self._step([])
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._arrived.wait(), _IDLE_S)
                    await self._linger()
                await self._step(self._taken())

    async def _linger(self) -> None:
        """Let more records join a transaction, the longer the busier the partition is."""
        if len(self._queue) < _FULL_RECORDS:
            least_s, most_s = LINGER_S
            await asyncio.sleep(min(most_s, least_s + _LINGER_S_PER_RECORD * self._taken_before))

    def _taken(self) -> Sequence[Record]:
        count = min(len(self._queue), STEP_RECORDS_MAX)
        taken = [self._queue.popleft() for _ in range(count)]
        self._taken_before = count
        if not self._queue:
            self._arrived.clear()
        if self._is_paused and len(self._queue) < QUEUED_RECORDS_MAX // 2:
            self._is_paused = False
            self._consumer.resume(self.place)
        return taken

    async def _step(self, records: Sequence[Record]) -> None:
        try:
            await self.projector.step(records, now_s=monotonic())
        except Unavailable as error:
            await self._back_off(error)
        except Halted:
            _log.critical("projection halted", extra=self._where(), exc_info=True)
            self._is_lost = True
            await asyncio.sleep(_HALTED_S)
        else:
            self._failures = 0
        self._follow(records)

    async def _back_off(self, error: Unavailable) -> None:
        low_s, high_s = _BACK_OFF_S
        self._failures += 1
        if self._failures > 1:
            _log.warning("projection waits: %s", error, extra=self._where())
        pause_s = min(high_s, low_s * 2**self._failures)
        await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # only a jitter

    def _follow(self, records: Sequence[Record]) -> None:
        """Seek when records were given away in vain, or some were missing before them (R2)."""
        wanted = self.projector.next_offset
        if wanted is None:
            self._is_lost = True
        elif self._is_lost or (records and records[-1].offset >= wanted):
            self._is_lost = False
            self._queue.clear()
            self._arrived.clear()
            self._consumer.seek(self.place, wanted)

    def _where(self) -> dict[str, object]:
        return {
            "topic": self.place.topic,
            "partition": self.place.partition,
            "offset": self.projector.next_offset,
        }


class Lanes(ConsumerRebalanceListener):
    """The lanes of one subscriber's assignment; a rebalance stops and starts them."""

    def __init__(self, consumer: Callable[[], Kafka | None], projector: NewProjector) -> None:
        self._consumer = consumer
        self._projector = projector
        self._lanes: dict[TopicPartition, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._hinted: dict[TopicPartition, int] = {}

    def offer(self, records: Iterable[RawRecord]) -> None:
        """Hand a batch over, partition by partition."""
        for place, group in groupby(records, _place_of):
            if (lane := self._lanes.get(place)) is not None:
                lane.offer(map(_record, group))

    async def on_partitions_assigned(  # pyright: ignore[reportIncompatibleMethodOverride]  # aiokafka awaits it
        self, assigned: Iterable[TopicPartition]
    ) -> None:
        """Start a lane for each partition, at its checkpoint."""
        consumer = self._consumer()
        if consumer is None:
            raise RuntimeError("partitions were assigned before the consumer was there")
        for place in assigned:
            self._lanes[place] = lane = Lane(place, self._projector(place), consumer)
            self._start(lane.run())
        self._start(self._hint(consumer))

    async def on_partitions_revoked(  # pyright: ignore[reportIncompatibleMethodOverride]  # aiokafka awaits it
        self,
        revoked: Iterable[TopicPartition],  # noqa: ARG002  # all of them, always
    ) -> None:
        """Stop all lanes; those assigned again start at their checkpoints."""
        await self.stop()

    def leave_at_once(self) -> None:
        """Give the partitions back when the consumer stops, which it does on purpose."""
        leave_at_once(self._consumer())

    async def stop(self) -> None:
        """Stop all lanes; what is under way may still be written, which is harmless."""
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._lanes.clear()
        self._hinted.clear()

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.critical("a projection failed; the process ends", exc_info=error)
            os.kill(os.getpid(), signal.SIGTERM)

    async def _hint(self, consumer: Kafka) -> None:
        """Commit how far the tables are, for lag; nothing ever starts from it."""
        while True:
            await asyncio.sleep(_HINT_S)
            reached = {each.place: each.projector.stored_offset for each in self._lanes.values()}
            changed = {each: at for each, at in reached.items() if at != self._hinted.get(each)}
            if changed:
                with suppress(KafkaError):
                    await consumer.commit(changed)
                    self._hinted |= changed


def _place_of(record: RawRecord) -> TopicPartition:
    return TopicPartition(record.topic, record.partition)


def _record(record: RawRecord) -> Record:
    return Record(record.offset, record.timestamp, record.key, record.value, record.headers)
