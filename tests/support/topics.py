"""Whole topics of a running system, read and written as they lie on the broker."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from runtime.admin import partitions_of
from runtime.kafka_options import kafka_options
from runtime.settings import Settings
from schemas.topics import REGISTRY

_READ_S_MAX: Final = 60.0

Place = tuple[str, int, int]
"""Registry topic name, partition, offset."""


class Stored(NamedTuple):
    """A record as it lies there; the topic as the registry names it."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    def header(self, name: str) -> str:
        """One header's text."""
        return (dict(self.headers)[name] or b"").decode()

    def parts(self) -> Iterable[bytes]:
        """Every byte that somebody chose: key, value, names and values of headers."""
        yield self.key or b""
        yield self.value or b""
        for name, value in self.headers:
            yield name.encode()
            yield value or b""


async def read_topics(settings: Settings, names: Iterable[str]) -> list[Stored]:
    """All records of these topics from their start to where they end now."""
    consumer = AIOKafkaConsumer(**kafka_options(settings), auto_offset_reset="none", group_id=None)
    await consumer.start()
    try:
        async with asyncio.timeout(_READ_S_MAX):
            return [each async for each in _records(consumer, settings, sorted(names))]
    finally:
        await consumer.stop()


async def _records(
    consumer: AIOKafkaConsumer, settings: Settings, names: list[str]
) -> AsyncIterator[Stored]:
    topics = {settings.topic(each): each for each in names}
    places = [
        TopicPartition(topic, each)
        for topic, name in topics.items()
        for each in range(partitions_of(REGISTRY[name], settings))
    ]
    consumer.assign(places)
    begins: Any = await consumer.beginning_offsets(places)
    ends: Any = await consumer.end_offsets(places)
    for place in places:
        consumer.seek(place, begins[place])
    unread = {place for place in places if begins[place] < ends[place]}
    while unread:
        found: Any = await consumer.getmany(*unread, timeout_ms=1_000, max_records=5_000)
        for place, records in found.items():
            for record in records:
                if record.offset < ends[place]:
                    yield Stored(
                        topics[place.topic],
                        place.partition,
                        record.offset,
                        record.key,
                        record.value,
                        tuple(record.headers),
                    )
        for place in list(unread):
            if await consumer.position(place) >= ends[place]:
                unread.discard(place)
                consumer.pause(place)


@asynccontextmanager
async def producing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A producer that tells where each record went."""
    producer = AIOKafkaProducer(**kafka_options(settings), acks="all")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()
