"""Puts clients' commands on the log: one idempotent producer, and the broker's clock."""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any, Final, NamedTuple, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from producers.envelopes import command_headers
from runtime.errors import Unavailable
from runtime.kafka_clients import stop_within
from runtime.kafka_options import kafka_options
from runtime.settings import Settings
from schemas.codec import Message, encode
from schemas.envelope import Headers, ReplyRoute

_LOG: Final = logging.getLogger(__name__)
_BATCH_BYTES_MAX: Final = 256 * 1024
_REQUEST_MS: Final = 5_000
_RETRY_MS: Final = 50
_SAMPLE_S: Final = 30.0
_ERROR_MS_MAX: Final = 1_000


class Published(NamedTuple):
    """Where the broker put a command, and when by its own clock."""

    partition: int
    offset: int
    time_ms: int


Acknowledgement = asyncio.Future[Published]


class BrokerClock:
    """How far the broker's clock is ahead of ours, by its acknowledgements' timestamps (C2).

    A record got its timestamp between our sending it and our reading the acknowledgement, so the
    quickest acknowledgement of the last 30 s knows best; one that waited long knows too little.
    """

    def __init__(self) -> None:
        self._ahead_ms = 0.0
        self._error_ms = float("inf")
        self._sampled_s = float("-inf")

    def now_ms(self) -> int:
        """The broker's time as well as we know it."""
        return round(time.time() * 1000 + self._ahead_ms)

    def observe(self, broker_ms: int, *, sent_ms: float, acknowledged_ms: float) -> None:
        """Learn from one acknowledgement; the latter two are our own clock's."""
        error_ms = (acknowledged_ms - sent_ms) / 2
        if error_ms > _ERROR_MS_MAX:
            return
        now_s = acknowledged_ms / 1000
        if error_ms <= self._error_ms or now_s - self._sampled_s > _SAMPLE_S:
            self._ahead_ms = broker_ms - (sent_ms + acknowledged_ms) / 2
            self._error_ms, self._sampled_s = error_ms, now_s


class CommandPublisher:
    """Appends commands to inboxes; what is sent at the same time shares batches by itself."""

    def __init__(self, settings: Settings, *, producer: str = "gateway") -> None:
        self._settings: Final = settings
        self._name: Final = producer
        self._kafka: AIOKafkaProducer | None = None
        self._renewal: asyncio.Task[None] | None = None
        self.clock: Final = BrokerClock()

    async def start(self) -> None:
        """Connect.

        Raises:
            Unavailable: the broker does not answer.
        """
        self._kafka = await self._connected()

    async def stop(self) -> None:
        """Give what was sent a few seconds to arrive, and disconnect."""
        if self._renewal is not None:
            self._renewal.cancel()
        kafka, self._kafka = self._kafka, None
        if kafka is not None:
            await stop_within(kafka)

    async def partitions(self, topic: str) -> int:
        """How many partitions a topic has.

        Raises:
            Unavailable: it is not there, or the broker does not answer.
        """
        if self._kafka is None:
            raise Unavailable("the command publisher is not connected")
        try:
            return len(await self._kafka.partitions_for(self._settings.topic(topic)))
        except KafkaError as error:
            raise Unavailable(f"{topic} is not known") from error

    async def publish(  # noqa: PLR0913  # one keyword per header
        self,
        topic: str,
        key: str | None,
        command: Message,
        *,
        command_id: str,
        expires_at_ms: int,
        retain_until_ms: int | None = None,
        user_id: str | None = None,
        user_role: str | None = None,
        fingerprint: str | None = None,
        reply_to: ReplyRoute | None = None,
        correlation_id: str | None = None,
        traceparent: str | None = None,
        partition: int | None = None,
    ) -> Acknowledgement:
        """Send a command; the result is done once the broker has it.

        Its key places it, unless `partition` does. Times are broker milliseconds.
        The result raises `Unavailable` when the broker refused.

        Raises:
            Unavailable: it could not even be sent.
        """
        headers = command_headers(
            command,
            producer=self._name,
            command_id=command_id,
            time_ms=self.clock.now_ms(),
            expires_at_ms=expires_at_ms,
            retain_until_ms=retain_until_ms,
            user_id=user_id,
            user_role=user_role,
            fingerprint=fingerprint,
            reply_to=reply_to,
            correlation_id=correlation_id,
            traceparent=traceparent,
        )
        return await self._send(topic, key, encode(command), headers, partition)

    async def _send(
        self, topic: str, key: str | None, value: bytes, headers: Headers, partition: int | None
    ) -> Acknowledgement:
        if self._kafka is None:
            raise Unavailable("the command publisher is not connected")
        sent_ms = time.time() * 1000
        try:
            pending = await self._kafka.send(  # pyright: ignore[reportUnknownVariableType]
                self._settings.topic(topic),
                value,
                key=None if key is None else key.encode(),
                headers=headers,
                partition=partition,
            )
        except KafkaError as error:
            self._renew()
            raise Unavailable(f"{topic} cannot be written") from error
        acknowledged: Acknowledgement = asyncio.get_running_loop().create_future()
        acknowledged.add_done_callback(_retrieved)

        def acknowledge(done: asyncio.Future[Any]) -> None:
            self._acknowledge(done, acknowledged, sent_ms)

        cast("asyncio.Future[Any]", pending).add_done_callback(acknowledge)
        return acknowledged

    def _acknowledge(
        self, done: asyncio.Future[Any], acknowledged: Acknowledgement, sent_ms: float
    ) -> None:
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        if error is not None:
            if not getattr(error, "retriable", False):
                self._renew()
            if not acknowledged.cancelled():
                acknowledged.set_exception(Unavailable("the broker did not take the command"))
            return
        place = done.result()
        self.clock.observe(place.timestamp, sent_ms=sent_ms, acknowledged_ms=time.time() * 1000)
        if not acknowledged.cancelled():
            acknowledged.set_result(Published(place.partition, place.offset, place.timestamp))

    def _renew(self) -> None:
        """Replace a producer that failed for good, which aiokafka never heals."""
        if self._kafka is not None and (self._renewal is None or self._renewal.done()):
            self._renewal = asyncio.create_task(self._renewed())

    async def _renewed(self) -> None:
        old = self._kafka
        with suppress(Unavailable):
            self._kafka = await self._connected()
            _LOG.warning("the command publisher started anew")
            if old is not None:
                await stop_within(old)

    async def _connected(self) -> AIOKafkaProducer:
        kafka = AIOKafkaProducer(
            **kafka_options(self._settings),
            client_id=f"cnop-{self._name}",
            enable_idempotence=True,
            acks="all",
            max_batch_size=_BATCH_BYTES_MAX,
            request_timeout_ms=_REQUEST_MS,
            retry_backoff_ms=_RETRY_MS,
        )
        try:
            await kafka.start()
        except KafkaError as error:
            await stop_within(kafka)
            raise Unavailable(f"Kafka at {self._settings.kafka_bootstrap}") from error
        return kafka


def _retrieved(future: Acknowledgement) -> None:
    if not future.cancelled():
        future.exception()
