"""Tells `security.audit` what happened, without ever delaying or failing what it tells of.

Events wait in a bounded buffer for one task that appends them through a producer of its own; what
finds the buffer full is dropped and counted, and so is what the broker does not take.
"""

import asyncio
import logging
import secrets
import time
from typing import Final, NamedTuple, Protocol, cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from runtime import metrics
from runtime.errors import Unavailable
from runtime.kafka_clients import stop_within
from runtime.settings import Settings
from schemas.audit import SecurityEvent
from schemas.codec import encode
from schemas.envelope import CORRELATION_ID, X_SOURCE, Headers, cloud_event
from schemas.topics import SECURITY_AUDIT

_LOG: Final = logging.getLogger(__name__)
_WAITING_MAX: Final = 1_000
_TOGETHER_MAX: Final = 100
"""Events that are appended at the same time, so that they share batches."""
_ANSWER_S_MAX: Final = 5.0


class Appends(Protocol):
    """Where security events go."""

    async def append(self, key: str, body: bytes, headers: Headers) -> None:
        """Append a record and wait until it stands; raises `Unavailable`."""
        ...

    async def stop(self) -> None:
        """Disconnect."""
        ...


class _Told(NamedTuple):
    event_id: str
    event: SecurityEvent


class Audit:
    """The audit trail of one process; `process` is its name in the topic registry."""

    def __init__(self, process: str, log: Appends) -> None:
        self._process: Final = process
        self._log: Final = log
        self._waiting: Final[asyncio.Queue[_Told]] = asyncio.Queue(_WAITING_MAX)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to append what is told."""
        self._task = asyncio.create_task(self._run(), name="audit")

    async def stop(self, *, patience_s: float = 1.0) -> None:
        """Give what waits a moment to be appended."""
        if self._task is None:
            return
        try:
            async with asyncio.timeout(patience_s):
                await self._waiting.join()
        except TimeoutError:
            _LOG.warning("%s security events were not told any more", self._waiting.qsize())
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._log.stop()

    def tell(self, event: SecurityEvent, *, event_id: str | None = None) -> None:
        """Have the event appended soon; returns at once, whatever the broker does.

        Processes that tell of the same thing give it the same id: readers then show it once.
        """
        try:
            self._waiting.put_nowait(_Told(event_id or secrets.token_hex(16), event))
        except asyncio.QueueFull:
            metrics.AUDIT_DROPPED.labels("full").inc()

    async def _run(self) -> None:
        while True:
            events = [await self._waiting.get()]
            while len(events) < _TOGETHER_MAX and not self._waiting.empty():
                events.append(self._waiting.get_nowait())
            await asyncio.gather(*map(self._appended, events))
            for _ in events:
                self._waiting.task_done()

    async def _appended(self, told: _Told) -> None:
        event = told.event
        try:
            await self._log.append(event.user or told.event_id, encode(event), self._headers(told))
        except Unavailable as error:
            metrics.AUDIT_DROPPED.labels("unavailable").inc()
            _LOG.warning("a security event is lost: %s", error)
        else:
            metrics.AUDIT_EVENTS.labels(event.happened).inc()

    def _headers(self, told: _Told) -> Headers:
        event = told.event
        headers = cloud_event(
            event_id=told.event_id,
            event_type=event.TYPE,
            source=f"cnop/{self._process}",
            time_ms=int(time.time() * 1_000),
        )
        headers.append((X_SOURCE, self._process.encode()))
        if event.request_id is not None:
            headers.append((CORRELATION_ID, event.request_id.encode()))
        return headers


class AuditLog:
    """`security.audit` on Kafka; it connects when there is something to tell."""

    def __init__(self, settings: Settings) -> None:
        self._settings: Final = settings
        self._connecting: Final = asyncio.Lock()
        self._kafka: AIOKafkaProducer | None = None

    async def append(self, key: str, body: bytes, headers: Headers) -> None:
        """Append a record and wait for its acknowledgement.

        Raises:
            Unavailable: the broker did not take it in time.
        """
        try:
            async with asyncio.timeout(_ANSWER_S_MAX):
                kafka = await self._connected()
                sending = cast(
                    "asyncio.Future[object]",
                    await kafka.send(
                        self._settings.topic(SECURITY_AUDIT),
                        body,
                        key=key.encode(),
                        headers=headers,
                    ),
                )
                await sending
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable(f"{SECURITY_AUDIT}: {error!r}") from error

    async def stop(self) -> None:
        """Disconnect."""
        kafka, self._kafka = self._kafka, None
        if kafka is not None:
            await stop_within(kafka)

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._kafka is None:
                kafka = AIOKafkaProducer(
                    bootstrap_servers=self._settings.kafka_bootstrap,
                    client_id="cnop-audit",
                    acks="all",
                    request_timeout_ms=round(_ANSWER_S_MAX * 1_000),
                    retry_backoff_ms=50,
                )
                try:
                    await kafka.start()
                except BaseException:
                    await stop_within(kafka)
                    raise
                self._kafka = kafka
            return self._kafka
