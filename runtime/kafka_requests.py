"""The Kafka requests that the protocol needs, each sent once, over one connection.

aiokafka's producer and consumer retry, queue and prefetch behind one's back; a writer's life ends
with the first error instead (W5). So the log speaks through aiokafka's client, with its request
and record classes: one request out, one answer back (ADR 13 says what that saves).
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import GroupLoadInProgressError, KafkaError, for_code
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.offset import OffsetRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest

from runtime.errors import Unavailable
from runtime.kafka_options import kafka_options
from runtime.settings import Settings

ANSWER_S_MAX: Final = 5.0
OLDEST: Final = -2
"""Asked for instead of a time: the oldest offset that is still there."""
END: Final = -1
"""Asked for instead of a time: the offset that the next record will get."""
_ANSWER_MS_MAX: Final = int(ANSWER_S_MAX * 1000)
_LOADING_S: Final = 0.05
_ACKS_ALL: Final = -1
_ANY_REPLICA: Final = -1
_READ_UNCOMMITTED: Final = 0
_FETCH_BYTES_MAX: Final = 1_048_576


class ProducerId(NamedTuple):
    """Who an idempotent producer is to the broker."""

    number: int
    epoch: int


class KafkaRequests:
    """A connection to each broker that leads what is asked for.

    A broker answers the requests of a connection one after another, and a fetch waits at a
    partition's end: fetches go over a connection of their own.
    """

    def __init__(self, settings: Settings) -> None:
        self._client: Final[Any] = AIOKafkaClient(  # its methods are typed in part only
            **kafka_options(settings),
            request_timeout_ms=_ANSWER_MS_MAX,
            retry_backoff_ms=20,
        )

    async def start(self) -> None:
        """Connect."""
        await self._client.bootstrap()

    async def close(self) -> None:
        """Close the connections, whatever is under way on them."""
        await self._client.close()

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        await self._client.add_topic(topic)
        return len(self._client.cluster.partitions_for_topic(topic) or ())

    async def new_producer(self) -> ProducerId:
        """A fresh producer id, whose sequences start at 0 in each partition.

        A broker that has just started has none yet; waiting for it is the caller's to bound.
        """
        no_transactions: Any = None
        request = InitProducerIdRequest(no_transactions, _ANSWER_MS_MAX)
        while True:
            answer = await self._client.send(self._client.get_random_node(), request)
            if answer.error_code != GroupLoadInProgressError.errno:
                _check(answer.error_code)
                return ProducerId(answer.producer_id, answer.producer_epoch)
            await asyncio.sleep(_LOADING_S)

    async def offset(self, place: TopicPartition, which: int) -> int:
        """The `OLDEST` or `END` offset of a partition."""
        request = OffsetRequest(
            _ANY_REPLICA, _READ_UNCOMMITTED, [(place.topic, [(place.partition, which)])]
        )
        answer = await self._client.send(await self._leader(place), request)
        ((_, ((_, error, _, offset),)),) = answer.topics
        _check(error)
        return offset

    async def fetch(self, place: TopicPartition, offset: int, *, wait_ms: int) -> bytes:
        """Record batches from the one with `offset` on; empty when none came within `wait_ms`."""
        request = FetchRequest(
            wait_ms,
            1,
            _FETCH_BYTES_MAX,
            _READ_UNCOMMITTED,
            [(place.topic, [(place.partition, offset, _FETCH_BYTES_MAX)])],
        )
        answer = await self._client.send(await self._leader(place), request)
        ((_, ((_, error, *_, batches),)),) = answer.topics
        _check(error)
        return batches or b""

    async def produce(self, batches: Mapping[TopicPartition, bytes]) -> list[int]:
        """Append one batch to each partition; the base offsets, once all replicas have them."""
        by_leader: dict[int, dict[TopicPartition, bytes]] = {}
        for place, batch in batches.items():
            by_leader.setdefault(await self._leader(place), {})[place] = batch
        appended: dict[TopicPartition, int] = {}
        for leader, led in by_leader.items():
            appended |= await self._produce(leader, led)
        return [appended[place] for place in batches]

    async def _produce(
        self, leader: int, batches: Mapping[TopicPartition, bytes]
    ) -> dict[TopicPartition, int]:
        topics: dict[str, list[tuple[int, bytes]]] = {}
        for place, batch in batches.items():
            topics.setdefault(place.topic, []).append((place.partition, batch))
        request = ProduceRequest(
            transactional_id=None,
            required_acks=_ACKS_ALL,
            timeout=_ANSWER_MS_MAX,
            topics=list(topics.items()),
        )
        answer = await self._client.send(leader, request)
        appended: dict[TopicPartition, int] = {}
        for topic, partitions in answer.topics:
            for partition, error, offset, *_ in partitions:
                _check(error)
                appended[TopicPartition(topic, partition)] = offset
        return appended

    async def _leader(self, place: TopicPartition) -> int:
        leader = self._client.cluster.leader_for_partition(place)
        if leader is None:
            await self._client.add_topic(place.topic)
            leader = self._client.cluster.leader_for_partition(place)
        if leader is None or leader < 0:
            self._client.force_metadata_update()
            raise Unavailable(f"{place.topic}/{place.partition} has no leader")
        return leader


def _check(error_code: int) -> None:
    if error_code:
        error: type[KafkaError] = for_code(error_code)
        raise error
