"""Decisions that come back: futures by command id, over a reply partition of this process.

A consumer group shares the reply partitions among the gateways. Its member reads nothing: one of
the partitions it owns is read from the end by a consumer of its own, which a rebalance does not
touch, so no reply is lost while gateways come and go.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple, cast

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import KafkaError

from gateway.tasks import Tasks
from runtime.errors import Unavailable
from runtime.kafka_clients import stop_within
from runtime.kafka_options import kafka_options
from runtime.settings import Settings
from schemas import accounts, auth, identity, markets
from schemas.acls import GATEWAY_REPLIES_GROUP
from schemas.codec import Codec, Message, PoisonMessage
from schemas.envelope import (
    CE_TYPE,
    COMMAND_ID,
    ENTITY_VERSION,
    FINGERPRINT,
    LOGICAL_TIME,
    header_map,
)
from schemas.journal import JOURNAL
from schemas.topics import GATEWAY_REPLIES

_LOG: Final = logging.getLogger(__name__)
_START_S: Final = 30.0
_POLL_MS: Final = 1_000
_BACKOFF_S: Final = 0.2
_GRACE_S: Final = 30.0
"""How long a reply partition that moved to another gateway is still read."""
WAITING_MAX: Final = 20_000
"""Commands that may wait at the same time; more are refused as unavailable."""

DECISIONS: Final = Codec(
    *accounts.EVENTS.types.values(),
    *identity.EVENTS.types.values(),
    *auth.ANSWERS.types.values(),
    markets.MarketHalted,
    markets.MarketResumed,
    markets.CommandRefused,
    *JOURNAL.types.values(),
)


class Reply(NamedTuple):
    """A decision with the version of the entity it belongs to, at its logical time."""

    event: Message
    version: int
    time_ms: int


class _Waiter(NamedTuple):
    future: asyncio.Future[Reply]
    fingerprint: bytes | None


class Waiters:
    """Who waits for which command in this process."""

    def __init__(self) -> None:
        self._waiting: Final[dict[str, _Waiter]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def expect(self, command_id: str, fingerprint: str | None = None) -> asyncio.Future[Reply]:
        """A new future for this command.

        With an Idempotency-Key another gateway may wait for the same id with another body, on the
        same partition: a reply to another `fingerprint` is not ours.

        Raises:
            Unavailable: too many commands wait already.
        """
        if len(self._waiting) >= WAITING_MAX:
            raise Unavailable("too many commands wait for their decisions")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        expected = None if fingerprint is None else fingerprint.encode()
        self._waiting[command_id] = _Waiter(future, expected)
        return future

    def forget(self, command_id: str) -> None:
        """Wait no longer."""
        self._waiting.pop(command_id, None)

    def resolve(self, command_id: str, headers: Mapping[str, bytes], body: bytes) -> None:
        """Hand a reply to whoever waits for it; nobody may."""
        waiter = self._waiting.get(command_id)
        if waiter is None or waiter.future.done():
            return
        answered = headers.get(FINGERPRINT, waiter.fingerprint)
        if waiter.fingerprint is not None and answered != waiter.fingerprint:
            return
        try:
            event = DECISIONS.decode(headers[CE_TYPE].decode(), body)
            version, time_ms = (
                int(headers.get(ENTITY_VERSION, 0)),
                int(headers.get(LOGICAL_TIME, 0)),
            )
        except (PoisonMessage, KeyError, ValueError, TypeError, AttributeError) as error:
            _LOG.error("a reply to %s cannot be read: %s", command_id, error)
            return
        waiter.future.set_result(Reply(event, version, time_ms))


class Replies:
    """The reply partition of this process; `waiters` are resolved as replies arrive."""

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._topic: Final = settings.topic(GATEWAY_REPLIES)
        self._tasks: Final = Tasks()
        self._owned: Final = _Owned()
        self._partition: int | None = None
        self._readers: Final[dict[int, asyncio.Task[None]]] = {}
        self.waiters: Final = Waiters()

    @property
    def partition(self) -> int:
        """Where replies to this process go.

        Raises:
            Unavailable: not known yet.
        """
        if self._partition is None:
            raise Unavailable("this gateway has no reply partition yet")
        return self._partition

    @property
    def is_ready(self) -> bool:
        """Whether replies can arrive."""
        return self._partition is not None and not self._tasks.has_failed

    async def start(self) -> None:
        """Join the group and read one of its partitions from the end.

        Raises:
            Unavailable: the broker does not answer.
        """
        joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks.start(self._member(joined), name="reply-group")
        try:
            await asyncio.wait_for(joined, _START_S)
            await asyncio.wait_for(self._owned.changed.wait(), _START_S)
        except (TimeoutError, KafkaError) as error:
            raise Unavailable("the group of reply partitions cannot be joined") from error
        await self._follow()
        self._tasks.start(self._following(), name="reply-partitions")

    async def stop(self) -> None:
        """Leave the group."""
        await self._tasks.stop()

    async def _member(self, joined: asyncio.Future[None]) -> None:
        """Keep the membership alive; what it is assigned stays paused."""
        consumer = AIOKafkaConsumer(
            **kafka_options(self._settings),
            group_id=f"{self._settings.namespace}{GATEWAY_REPLIES_GROUP}",
            partition_assignment_strategy=(StickyPartitionAssignor,),
            auto_offset_reset="latest",
            enable_auto_commit=False,
        )
        self._owned.consumer = consumer
        consumer.subscribe([self._topic], listener=self._owned)
        async with _running(consumer):
            joined.set_result(None)
            while True:
                await _polled(consumer)

    async def _following(self) -> None:
        while True:
            await self._owned.changed.wait()
            with suppress(Unavailable):
                await self._follow()

    async def _follow(self) -> None:
        """Keep the present partition while it is ours, else move to another one of ours."""
        self._owned.changed.clear()
        mine = self._owned.partitions
        if self._partition in mine or not (mine or self._partition is None):
            return
        chosen = min(mine, default=0)  # more gateways than partitions: share one
        before, ready = self._partition, asyncio.Event()
        if chosen not in self._readers:
            self._readers[chosen] = self._tasks.start(
                self._read(chosen, ready), name=f"replies-{chosen}"
            )
            await asyncio.wait_for(ready.wait(), _START_S)
        self._partition = chosen
        if before is not None:
            self._tasks.start(self._leave(before), name=f"leave-replies-{before}")

    async def _leave(self, partition: int) -> None:
        """Stop to read a partition once nobody can wait for a reply there any more."""
        await asyncio.sleep(_GRACE_S)
        if partition != self._partition and (reader := self._readers.pop(partition, None)):
            reader.cancel()

    async def _read(self, partition: int, ready: asyncio.Event) -> None:
        place = TopicPartition(self._topic, partition)
        consumer = AIOKafkaConsumer(
            **kafka_options(self._settings),
            auto_offset_reset="latest",
            enable_auto_commit=False,
        )
        async with _running(consumer):
            consumer.assign([place])
            await consumer.seek_to_end(place)
            await consumer.position(place)
            ready.set()
            while True:
                for records in (await _polled(consumer)).values():
                    self._take(records)

    def _take(self, records: Iterable[Any]) -> None:
        for record in records:
            headers = header_map(record.headers)
            if (command_id := headers.get(COMMAND_ID)) is not None:
                self.waiters.resolve(
                    command_id.decode("ascii", "replace"), headers, record.value or b""
                )


class _Owned(ConsumerRebalanceListener):
    """The reply partitions that the group gave to this process."""

    def __init__(self) -> None:
        self.consumer: AIOKafkaConsumer | None = None
        self.partitions: frozenset[int] = frozenset()
        self.changed: Final = asyncio.Event()

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Nothing: until the next assignment the present partition stays in use."""

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note them; nothing is read through the member."""
        places = tuple(assigned)
        if self.consumer is not None:
            self.consumer.pause(*places)
        self.partitions = frozenset(each.partition for each in places)
        self.changed.set()


@asynccontextmanager
async def _running(consumer: AIOKafkaConsumer) -> AsyncGenerator[None]:
    try:
        await consumer.start()
        yield
    finally:
        await stop_within(consumer)


async def _polled(consumer: AIOKafkaConsumer) -> dict[TopicPartition, list[Any]]:
    try:
        batches = await consumer.getmany(timeout_ms=_POLL_MS)  # pyright: ignore[reportUnknownVariableType]
    except KafkaError as error:
        _LOG.warning("reading replies: %r", error)
        await asyncio.sleep(_BACKOFF_S)
        return {}
    return cast("dict[TopicPartition, list[Any]]", batches)
