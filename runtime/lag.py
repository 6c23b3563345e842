"""How far every consumer group is behind, in messages and in seconds.

A group's position is what it committed. Deciding workers, projectors and the auditor keep their
true position elsewhere (journal, checkpoint items, memory) and commit it only to be seen here.
A group that the registry expects and that has committed nothing is behind by all there is.
"""

# What aiokafka leaves untyped:
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

import time
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from runtime import metrics
from runtime.errors import Unavailable
from runtime.kafka_clients import stopped
from runtime.kafka_options import kafka_options
from runtime.settings import Settings
from schemas.acls import FALL_BEHIND

_FETCH_MS: Final = 1_000


class Lag(NamedTuple):
    """One group's lag on one partition; `position` is None when it has committed nothing.

    `seconds` is the age of the oldest record that the group has not consumed, 0 when there is none.
    """

    group: str
    topic: str
    partition: int
    position: int | None
    end: int
    messages: int
    seconds: float


class Span(NamedTuple):
    """Offsets of a partition: the oldest still there, and the one the next record gets."""

    start: int
    end: int


def lag_of(place: tuple[str, TopicPartition], position: int | None, span: Span) -> Lag:
    """The lag in messages; what retention removed no longer counts."""
    group, (topic, partition) = place
    next_offset = span.start if position is None else max(position, span.start)
    messages = max(0, span.end - next_offset)
    return Lag(group, topic, partition, position, span.end, messages, 0.0)


class Observer:
    """Asks the broker; one for as long as one looks."""

    def __init__(
        self, settings: Settings, admin: AIOKafkaAdminClient, consumer: AIOKafkaConsumer
    ) -> None:
        self._settings: Final = settings
        self._admin: Final = admin
        self._consumer: Final = consumer

    async def measure(self) -> Sequence[Lag]:
        """The lag of every group of this namespace on every partition, ordered by name.

        Raises:
            Unavailable: the broker does not answer.
        """
        try:
            return await self._measure()
        except KafkaError as error:
            raise Unavailable(f"Kafka at {self._settings.kafka_bootstrap}: {error!r}") from error

    async def _measure(self) -> Sequence[Lag]:
        described = await self._admin.describe_topics()
        known = {each["topic"]: len(each["partitions"]) for each in described}
        positions = await self._positions(known)
        spans = await self._spans({place for _, place in positions})
        lags = [
            lag_of(key, position, spans[key[1]])
            for key, position in sorted(positions.items())
            if key[1] in spans
        ]
        times = await self._timestamps({_oldest(each, spans) for each in lags if each.messages})
        now_ms = time.time_ns() // 1_000_000
        return [
            each._replace(seconds=_age_s(times.get(_oldest(each, spans)), now_ms))
            if each.messages
            else each
            for each in lags
        ]

    async def _positions(
        self, known: Mapping[str, int]
    ) -> dict[tuple[str, TopicPartition], int | None]:
        expected = {
            (self._settings.topic(group), self._settings.topic(topic))
            for group, topic in FALL_BEHIND
        }
        positions: dict[tuple[str, TopicPartition], int | None] = {
            (group, TopicPartition(topic, partition)): None
            for group, topic in expected
            if topic in known
            for partition in range(known[topic])
        }
        for group in {group for group, _ in expected} | await self._groups():
            committed = await self._admin.list_consumer_group_offsets(group)
            positions |= {
                (group, place): offset.offset
                for place, offset in committed.items()
                if place.topic in known
            }
        return positions

    async def _groups(self) -> set[str]:
        groups = await self._admin.list_consumer_groups()
        return {name for name, *_ in groups if name.startswith(self._settings.namespace)}

    async def _spans(self, places: set[TopicPartition]) -> Mapping[TopicPartition, Span]:
        if not places:
            return {}
        starts = await self._consumer.beginning_offsets(list(places))
        ends = await self._consumer.end_offsets(list(places))
        return {place: Span(starts[place], ends[place]) for place in places}

    async def _timestamps(
        self, wanted: set[tuple[TopicPartition, int]]
    ) -> Mapping[tuple[TopicPartition, int], int]:
        """Broker times of records, in rounds of one record per partition."""
        times: dict[tuple[TopicPartition, int], int] = {}
        left = set(wanted)
        while left:
            round_ = dict(left)  # one offset of each partition
            self._consumer.assign(list(round_))
            for place, offset in round_.items():
                self._consumer.seek(place, offset)
            for place, offset in round_.items():
                found = await self._consumer.getmany(place, timeout_ms=_FETCH_MS, max_records=1)
                for record in found.get(place, ()):
                    times[place, offset] = record.timestamp
            left -= set(round_.items())
        return times


@asynccontextmanager
async def observer(settings: Settings) -> AsyncGenerator[Observer]:
    """An observer of this namespace's groups.

    Raises:
        Unavailable: the broker does not answer.
    """
    admin = AIOKafkaAdminClient(**kafka_options(settings))
    consumer = AIOKafkaConsumer(
        **kafka_options(settings),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=65_536,  # one record is wanted
    )
    try:
        await admin.start()
        await consumer.start()
    except KafkaError as error:
        await admin.close()
        await stopped(consumer)
        raise Unavailable(f"Kafka at {settings.kafka_bootstrap}: {error!r}") from error
    try:
        yield Observer(settings, admin, consumer)
    finally:
        await stopped(consumer)
        await admin.close()


def export(lags: Iterable[Lag]) -> None:
    """Set the metrics to this measurement; what is no longer there disappears."""
    for gauge in (metrics.LAG_MESSAGES, metrics.LAG_SECONDS, metrics.GROUP_OFFSET):
        gauge.clear()
    for each in lags:
        labels = (each.group, each.topic, str(each.partition))
        metrics.LAG_MESSAGES.labels(*labels).set(each.messages)
        metrics.LAG_SECONDS.labels(*labels).set(each.seconds)
        if each.position is not None:
            metrics.GROUP_OFFSET.labels(*labels).set(each.position)
        metrics.TOPIC_END_OFFSET.labels(each.topic, str(each.partition)).set(each.end)


def _oldest(lag: Lag, spans: Mapping[TopicPartition, Span]) -> tuple[TopicPartition, int]:
    place = TopicPartition(lag.topic, lag.partition)
    return place, spans[place].end - lag.messages


def _age_s(timestamp_ms: int | None, now_ms: int) -> float:
    return max(0, now_ms - timestamp_ms) / 1000 if timestamp_ms is not None else 0.0
