"""The auditor's process: reads both journals from their start, exports what it finds.

Its state is memory, so it reads from offset 0 at each start (R1) and without a consumer group: two
auditors never share the work. What it has read it commits to the group `auditor` only as a
hint for `cnop lag`. The same process exports every group's lag, on the same port.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage
from prometheus_client import Counter as PrometheusCounter

from consumers.auditor.reader import JOURNALS, Reader, age_s
from runtime import lag, metrics
from runtime.errors import Unavailable
from runtime.kafka_options import kafka_options, kafka_security
from runtime.log import Record
from runtime.settings import Settings
from runtime.settings import settings as process_settings
from schemas.acls import AUDITOR_GROUP

PAGE: Final = "/audit"
_EXPORT_S: Final = 1.0
_LAG_S: Final = 5.0
_REST_S: Final = 0.25
_FULL_RECORDS: Final = 500
"""A batch of as many says that there is more to catch up with."""
_LOGGER: Final = logging.getLogger(__name__)


class Auditor:
    """The reader with its metrics; `page` is the last snapshot as JSON."""

    def __init__(self, settings: Settings) -> None:
        self.reader: Final = Reader()
        self.page = b"{}"
        self._settings: Final = settings
        self._counted: Counter[tuple[str, str]] = Counter()
        self.failure: Exception | None = None

    def take(self, records: Sequence["ConsumerRecord[bytes, bytes]"]) -> None:
        """Take in records as they came, in order within each partition.

        Raises:
            PoisonMessage: an event that this version does not know.
        """
        for each in records:
            place = (each.topic.removeprefix(self._settings.namespace), each.partition)
            record = Record(each.offset, each.timestamp, each.key, each.value, each.headers)
            if (fault := self.reader.take(place, record)) is not None:
                _LOGGER.error("%s at %s/%d/%d", fault, *place, each.offset)

    def export(self) -> None:
        """Set the metrics and the page to what the books say now."""
        now_ms = time.time_ns() // 1_000_000
        join = self.reader.join
        for asset, amount_e8 in join.imbalance_e8.items():
            metrics.AUDITOR_IMBALANCE_E8.labels(asset).set(amount_e8)
        for (symbol, asset), amount_e8 in join.clearing_e8.items():
            metrics.AUDITOR_CLEARING_E8.labels(symbol, asset).set(amount_e8)
        for what, waiting in (("trade", join.unmatched_trades()), ("leg", join.unmatched_legs())):
            metrics.AUDITOR_UNMATCHED.labels(what).set(waiting.number)
            metrics.AUDITOR_UNMATCHED_AGE_SECONDS.labels(what).set(age_s(waiting, now_ms))
        for (topic, partition), offset in self.reader.next_offsets.items():
            metrics.AUDITOR_NEXT_OFFSET.labels(topic, partition).set(offset)
        self._count(metrics.AUDITOR_TRADES_MATCHED, "matched", join.matched)
        self._count(metrics.AUDITOR_FAULTS, "fault", join.faults)
        self.page = msgspec.json.encode(self.reader.snapshot(now_ms))

    def _count(self, metric: PrometheusCounter, kind: str, totals: Counter[str]) -> None:
        for label, total in totals.items():
            metric.labels(label).inc(total - self._counted[kind, label])
            self._counted[kind, label] = total


def application(settings: Settings, auditor: Auditor) -> FastStream:
    """The FastStream application that feeds the auditor."""
    broker = KafkaBroker(
        settings.kafka_bootstrap,
        security=kafka_security(settings),
        apply_types=False,
        consumer_only=True,
        allow_auto_create_topics=False,
        logger=None,
    )
    app = FastStream(broker, logger=None, lifespan=_lifespan(settings, auditor))

    @broker.subscriber(
        *(settings.topic(name) for name in JOURNALS),
        batch=True,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.MANUAL,
        parser=_unparsed,
        decoder=_records,
    )
    async def audit(records: Sequence["ConsumerRecord[bytes, bytes]"]) -> None:  # pyright: ignore[reportUnusedFunction]  # FastStream calls it
        try:
            auditor.take(records)
        except Exception as error:  # FastStream would skip the records and go on: wrong books
            auditor.failure = error
            app.exit()
            raise
        if len(records) < _FULL_RECORDS:  # what it says is exported each second
            await asyncio.sleep(_REST_S)

    @app.after_shutdown
    def fail() -> None:  # pyright: ignore[reportUnusedFunction]  # FastStream calls it
        if auditor.failure is not None:
            raise auditor.failure

    return app


async def _unparsed(records: Any) -> KafkaMessage:  # noqa: ANN401  # FastStream's raw batch
    """Leave headers and bodies alone: FastStream would lose a record whose headers are no text."""
    return KafkaMessage(raw_message=records, body=b"", consumer=FAKE_CONSUMER)


async def _records(message: KafkaMessage) -> Any:  # noqa: ANN401  # FastStream's decoded message
    return message.raw_message


def _lifespan(own: Settings, auditor: Auditor) -> Any:  # noqa: ANN401  # FastStream's type
    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        tasks = [
            asyncio.create_task(_export(own, auditor)),
            asyncio.create_task(_export_lag(own)),
        ]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    return lifespan


async def _export(settings: Settings, auditor: Auditor) -> None:
    async with AIOKafkaConsumer(
        **kafka_options(settings),
        group_id=settings.topic(AUDITOR_GROUP),
        enable_auto_commit=False,
    ) as hints:
        hinted: dict[TopicPartition, int] = {}
        while True:
            await asyncio.sleep(_EXPORT_S)
            auditor.export()
            hinted = await _hint(hints, settings, auditor, hinted)


async def _hint(
    hints: AIOKafkaConsumer,
    settings: Settings,
    auditor: Auditor,
    hinted: dict[TopicPartition, int],
) -> dict[TopicPartition, int]:
    read = {
        TopicPartition(settings.topic(topic), partition): offset
        for (topic, partition), offset in auditor.reader.next_offsets.items()
    }
    if read == hinted:
        return hinted
    if read.keys() != hinted.keys():
        hints.assign(list(read))
        hints.pause(*read)
    try:
        await hints.commit(read)
    except KafkaError as error:
        _LOGGER.warning("the lag hint was not committed: %r", error)
        return hinted
    return read


async def _export_lag(settings: Settings) -> None:
    while True:
        try:
            async with lag.observer(settings) as observer:
                while True:
                    lag.export(await observer.measure())
                    await asyncio.sleep(_LAG_S)
        except Unavailable as error:
            _LOGGER.warning("lag is unknown: %s", error)
            await asyncio.sleep(_LAG_S)


_auditor: Final = Auditor(process_settings())
metrics.add_page(PAGE, lambda: _auditor.page)
app: Final = application(process_settings(), _auditor)
