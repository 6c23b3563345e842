"""The protocol's log on Kafka: each life has its own connections and producer id (W5).

A broker answers the requests of a connection one after another, and a fetch at a partition's end
waits there. So what is read comes over a connection for itself.
"""

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, Final, Self, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords

from runtime.errors import Halted, InvariantBroken, Unavailable
from runtime.kafka_requests import ANSWER_S_MAX, END, OLDEST, KafkaRequests, ProducerId
from runtime.log import Batch, Place, Record
from runtime.settings import Settings

T = TypeVar("T")

BATCH_BYTES_MAX: Final = 3 * 1_048_576
"""The bound of a record batch; above the writer's cut, below the topics' limit (W4)."""
_READ_RECORDS_MAX: Final = 500
_SEQUENCES: Final = 1 << 31
"""After so many records a producer's sequence in a partition starts again at 0."""


class KafkaLog:
    """One life's connections; nothing of them is shared with another life."""

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._asking: Final = KafkaRequests(settings)
        self._reading: Final = KafkaRequests(settings)
        self._producer: ProducerId
        self._sequences: Final[dict[TopicPartition, int]] = {}
        self._tail: _Tail | None = None

    @classmethod
    async def open(cls, settings: Settings, *, writes: bool = True) -> Self:
        """Connect; who only reads needs no right to write anything.

        Raises:
            Unavailable: no broker answers.
        """
        log = cls(settings)
        try:
            await _answered(log._asking.start())
            await _answered(log._reading.start())
            if writes:
                log._producer = await _answered(log._asking.new_producer())
        except BaseException:
            await log.close()
            raise
        return log

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        count = await _answered(self._asking.partitions(self._settings.topic(topic)))
        if not count:
            raise Unavailable(f"topic {topic} is not there")
        return count

    async def start_offset(self, place: Place) -> int:
        """The oldest offset still there."""
        return await _answered(self._asking.offset(self._partition(place), OLDEST))

    async def end_offset(self, place: Place) -> int:
        """The offset that the next record will get."""
        return await _answered(self._asking.offset(self._partition(place), END))

    async def read(self, place: Place, offset: int, *, wait_ms: int = 0) -> Sequence[Record]:
        """Records from `offset` on; one place is followed at a time.

        Raises:
            Halted: the offset is not there (any more).
        """
        tail = self._tail
        if tail is None or tail.place != place or tail.next_offset != offset:
            tail = self._tail = _Tail(place, offset)
        if not tail.fetched:
            fetching = self._reading.fetch(
                self._partition(place), tail.fetch_offset, wait_ms=wait_ms
            )
            try:
                tail.add(await _answered(fetching))
            except OffsetOutOfRangeError as error:
                raise Halted(f"{place} has no offset {offset}") from error
        return tail.take(_READ_RECORDS_MAX)

    async def append(self, place: Place, batch: Batch) -> int:
        """Append as one record batch and return its base offset."""
        (offset,) = await self._append({place: batch})
        return offset

    def publish(self, batches: Mapping[Place, Sequence[Batch]]) -> Awaitable[None]:
        """Append each place's batches in order, the places side by side."""
        return asyncio.ensure_future(self._publish(batches))

    async def close(self) -> None:
        """Close all connections; one that does not close in time ends the process (W5)."""
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                await asyncio.gather(self._asking.close(), self._reading.close())
        except TimeoutError as error:
            raise InvariantBroken("a fenced Kafka client does not stop") from error

    async def _publish(self, batches: Mapping[Place, Sequence[Batch]]) -> None:
        for nth in range(max(map(len, batches.values()))):
            await self._append(
                {place: each[nth] for place, each in batches.items() if nth < len(each)}
            )

    async def _append(self, batches: Mapping[Place, Batch]) -> Sequence[int]:
        """Append these at once; what is under way when this is canceled may still arrive."""
        encoded: dict[TopicPartition, bytes] = {}
        for place, batch in batches.items():
            partition = self._partition(place)
            encoded[partition] = self._encoded(partition, batch)
        offsets = await _answered(self._asking.produce(encoded))
        if min(offsets) < 0:
            raise Unavailable("an append was acknowledged without an offset")
        return offsets

    def _encoded(self, partition: TopicPartition, batch: Batch) -> bytes:
        """The batch in Kafka's record format, with this producer's next sequence there."""
        sequence = self._sequences.get(partition, 0)
        self._sequences[partition] = (sequence + len(batch)) % _SEQUENCES
        builder: Any = DefaultRecordBatchBuilder(  # its types allow less than it takes
            magic=2,
            compression_type=0,
            is_transactional=False,
            producer_id=self._producer.number,
            producer_epoch=self._producer.epoch,
            base_sequence=sequence,
            batch_size=BATCH_BYTES_MAX,
        )
        now_ms = int(time.time() * 1000)
        for n, each in enumerate(batch):
            if builder.append(n, now_ms, each.key, each.value, each.headers) is None:
                raise InvariantBroken(f"a batch for {partition} is over {BATCH_BYTES_MAX} bytes")
        return bytes(builder.build())

    def _partition(self, place: Place) -> TopicPartition:
        return TopicPartition(self._settings.topic(place[0]), place[1])


class _Tail:
    """What was fetched of a place and not taken yet."""

    def __init__(self, place: Place, offset: int) -> None:
        self.place: Final = place
        self.next_offset = offset
        self.fetch_offset = offset
        self.fetched: list[Record] = []

    def add(self, batches: bytes) -> None:
        """Take a fetch's answer in; batches that compaction emptied move the offset on too."""
        first = self.fetch_offset
        records: Any = MemoryRecords(batches)  # its types allow more than a log holds
        while records.has_next():
            batch = records.next_batch()
            if not batch.validate_crc():
                raise Unavailable(f"{self.place} gave a broken batch after {self.fetch_offset}")
            self.fetch_offset = max(self.fetch_offset, batch.next_offset)
            self.fetched += [
                Record(each.offset, each.timestamp, each.key, each.value, each.headers)
                for each in batch
            ]
        if self.fetched and self.fetched[0].offset < first:  # a batch comes whole
            self.fetched = [each for each in self.fetched if each.offset >= first]

    def take(self, count: int) -> list[Record]:
        """The next records, at most `count`."""
        taken, self.fetched = self.fetched[:count], self.fetched[count:]
        if taken:
            self.next_offset = taken[-1].offset + 1
        return taken


async def _answered(awaitable: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(ANSWER_S_MAX):
            return await awaitable
    except OffsetOutOfRangeError:
        raise
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(repr(error)) from error
