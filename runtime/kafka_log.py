"""The protocol's log on Kafka: each life has its own producer and group-less consumers (W5).

A broker answers the requests of a connection one after another, and a fetch at a partition's end
waits there for half a second. So what is read has a consumer for itself, a new one for each place,
and questions about offsets go through another.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, Final, Self, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError

from runtime.errors import Halted, InvariantBroken, Unavailable
from runtime.kafka_clients import Client, stopped
from runtime.log import Batch, Place, Record
from runtime.settings import Settings

T = TypeVar("T")

BATCH_BYTES_MAX: Final = 3 * 1_048_576
"""aiokafka's bound of a record batch; above the writer's cut, below the topics' limit (W4)."""
_ANSWER_S_MAX: Final = 5.0
_READ_RECORDS_MAX: Final = 500


class KafkaLog:
    """One life's clients; nothing of them is shared with another life."""

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._producer: Final[Client] = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap,
            enable_idempotence=True,
            acks="all",
            max_batch_size=BATCH_BYTES_MAX,
            max_request_size=BATCH_BYTES_MAX + 65_536,
            request_timeout_ms=int(_ANSWER_S_MAX * 1000),
            retry_backoff_ms=20,
        )
        self._offsets: Final = _consumer(settings)
        self._reader: Client | None = None
        self._reading: TopicPartition | None = None
        self._position = -1

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Connect.

        Raises:
            Unavailable: no broker answers.
        """
        log = cls(settings)
        try:
            await _answered(log._producer.start())
            await _answered(log._offsets.start())
        except BaseException:
            await log.close()
            raise
        return log

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        return len(await _answered(self._producer.partitions_for(self._settings.topic(topic))))

    async def start_offset(self, place: Place) -> int:
        """The oldest offset still there."""
        partition = self._partition(place)
        return (await _answered(self._offsets.beginning_offsets([partition])))[partition]

    async def end_offset(self, place: Place) -> int:
        """The offset that the next record will get."""
        partition = self._partition(place)
        return (await _answered(self._offsets.end_offsets([partition])))[partition]

    async def read(self, place: Place, offset: int, *, wait_ms: int = 0) -> Sequence[Record]:
        """Records from `offset` on; one place is followed at a time.

        Raises:
            Halted: the offset is not there (any more).
        """
        partition = self._partition(place)
        reader = await self._reader_of(partition)
        if self._position != offset:
            reader.seek(partition, offset)
            self._position = offset
        try:
            fetched = await reader.getmany(
                partition, timeout_ms=wait_ms, max_records=_READ_RECORDS_MAX
            )
        except (OffsetOutOfRangeError, NoOffsetForPartitionError) as error:
            raise Halted(f"{place} has no offset {offset}: {error!r}") from error
        except KafkaError as error:
            raise Unavailable(f"read of {place}: {error!r}") from error
        records = [
            Record(each.offset, each.timestamp, each.key, each.value, each.headers)
            for each in fetched.get(partition, ())
        ]
        if records:
            self._position = records[-1].offset + 1
        return records

    async def append(self, place: Place, batch: Batch) -> int:
        """Append as one record batch and return its base offset."""
        (offset,) = await _answered(self._append([(place, batch)]))
        return offset

    def publish(self, batches: Mapping[Place, Sequence[Batch]]) -> Awaitable[None]:
        """Append each place's batches in order, the places side by side."""
        return asyncio.ensure_future(self._publish(batches))

    async def close(self) -> None:
        """Stop both clients; one that does not stop in time ends the process (W5)."""
        try:
            async with asyncio.timeout(_ANSWER_S_MAX):
                clients = (self._producer, self._offsets, self._reader)
                await asyncio.gather(*(stopped(each) for each in clients if each is not None))
        except TimeoutError as error:
            raise InvariantBroken("a fenced Kafka client does not stop") from error

    async def _publish(self, batches: Mapping[Place, Sequence[Batch]]) -> None:
        for nth in range(max(map(len, batches.values()))):
            due = [(place, each[nth]) for place, each in batches.items() if nth < len(each)]
            await _answered(self._append(due))

    async def _append(self, batches: Iterable[tuple[Place, Batch]]) -> Sequence[int]:
        """Append these at once; what is under way when this is canceled may still arrive."""
        acknowledgements = await asyncio.gather(
            *[await self._sending(place, batch) for place, batch in batches]
        )
        for each in acknowledgements:
            if each is None or each.offset < 0:
                raise Unavailable("an append was acknowledged without an offset")
        return [each.offset for each in acknowledgements]

    async def _sending(self, place: Place, batch: Batch) -> asyncio.Future[Any]:
        topic, partition = self._partition(place)
        builder = self._producer.create_batch()
        for record in batch:
            if (
                builder.append(
                    timestamp=None, key=record.key, value=record.value, headers=record.headers
                )
                is None
            ):
                raise InvariantBroken(f"a batch for {place} is over {BATCH_BYTES_MAX} bytes")
        builder.close()
        return await self._producer.send_batch(builder, topic, partition=partition)

    async def _reader_of(self, partition: TopicPartition) -> Client:
        if self._reader is not None and self._reading == partition:
            return self._reader
        if self._reader is not None:
            await _answered(stopped(self._reader))
        reader = self._reader = _consumer(self._settings)
        self._reading, self._position = None, -1
        await _answered(reader.start())
        reader.assign([partition])
        self._reading = partition
        return reader

    def _partition(self, place: Place) -> TopicPartition:
        return TopicPartition(self._settings.topic(place[0]), place[1])


def _consumer(settings: Settings) -> Client:
    return AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        retry_backoff_ms=20,
        request_timeout_ms=int(_ANSWER_S_MAX * 1000),
    )


async def _answered(awaitable: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(_ANSWER_S_MAX):
            return await awaitable
    except (KafkaError, OSError, TimeoutError) as error:
        raise Unavailable(repr(error)) from error
