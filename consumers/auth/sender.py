"""What auth writes: commands to identity, answers to gateways, dead letters."""

import asyncio
import logging
from typing import Final, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime.errors import Unavailable
from runtime.kafka_clients import stop_within
from runtime.kafka_options import kafka_options
from runtime.settings import Settings
from schemas.envelope import Headers

_LOG: Final = logging.getLogger(__name__)
_ANSWER_S_MAX: Final = 5.0
_BACKOFF_S: Final = 0.5


class Sender:
    """One idempotent producer; one that failed is replaced, because aiokafka never heals it."""

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._kafka: AIOKafkaProducer | None = None
        self._connecting: Final = asyncio.Lock()
        self._stopping: Final[set[asyncio.Task[None]]] = set()

    async def start(self) -> None:
        """Wait until the broker answers."""
        while True:
            try:
                await self._connected()
            except Unavailable as error:
                _LOG.warning("no broker yet: %s", error)
                await asyncio.sleep(_BACKOFF_S)
            else:
                return

    async def stop(self) -> None:
        """Disconnect; what was sent gets a few seconds."""
        if self._kafka is not None:
            await stop_within(self._kafka)
        if self._stopping:
            await asyncio.wait(self._stopping)

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has.

        Raises:
            Unavailable: the broker does not say.
        """
        kafka = await self._connected()
        try:
            async with asyncio.timeout(_ANSWER_S_MAX):
                return len(await kafka.partitions_for(self._settings.topic(topic)))
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable(f"{topic}: {error!r}") from error

    async def send(
        self,
        topic: str,
        value: bytes | None,
        headers: Headers,
        *,
        key: bytes | None = None,
        partition: int | None = None,
    ) -> None:
        """Append and wait for the acknowledgement; the key places it unless `partition` does.

        Raises:
            Unavailable: the broker did not take it, as far as known.
        """
        kafka = await self._connected()
        try:
            async with asyncio.timeout(_ANSWER_S_MAX):
                sending = cast(
                    "asyncio.Future[object]",
                    await kafka.send(
                        self._settings.topic(topic),
                        value,
                        key=key,
                        partition=partition,
                        headers=headers,
                    ),
                )
                await asyncio.shield(sending)
        except (KafkaError, OSError, TimeoutError, AssertionError) as error:
            self._drop(kafka)
            raise Unavailable(f"{topic}: {error!r}") from error

    async def deliver(
        self,
        topic: str,
        value: bytes | None,
        headers: Headers,
        *,
        key: bytes | None = None,
        partition: int | None = None,
    ) -> None:
        """Send again and again until the broker acknowledges it; it may then have it twice."""
        while True:
            try:
                await self.send(topic, value, headers, key=key, partition=partition)
            except Unavailable as error:
                _LOG.warning("a record waits: %s", error)
                await asyncio.sleep(_BACKOFF_S)
            else:
                return

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._kafka is None:
                self._kafka = await self._connect()
            return self._kafka

    async def _connect(self) -> AIOKafkaProducer:
        kafka = AIOKafkaProducer(
            **kafka_options(self._settings),
            client_id="cnop-auth",
            enable_idempotence=True,
            acks="all",
            max_batch_size=256 * 1024,
            max_request_size=3 * 1024 * 1024,
            request_timeout_ms=int(_ANSWER_S_MAX * 1_000),
            retry_backoff_ms=50,
        )
        try:
            await kafka.start()
        except (KafkaError, OSError) as error:
            await stop_within(kafka)
            raise Unavailable(f"Kafka at {self._settings.kafka_bootstrap}") from error
        return kafka

    def _drop(self, kafka: AIOKafkaProducer) -> None:
        if self._kafka is kafka:
            self._kafka = None
            task = asyncio.create_task(stop_within(kafka))
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)
