"""The projectors' process: a FastStream batch subscriber per journal, for all its read models.

So a record is fetched and decoded once, and the rows that it means for several read models share
a transaction.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from aiokafka import TopicPartition
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER
from faststream.kafka.message import KafkaMessage as Received

from runtime.dynamodb import DynamoTable, create_tables, open_dynamodb
from runtime.kafka_options import kafka_security
from runtime.projecting import Lanes, RawRecord
from runtime.projection import Projection
from runtime.projector import Projector
from runtime.settings import Settings, settings
from runtime.table import Table
from schemas.topics import MARKETS_JOURNAL, group_of_read_models

READ_MODELS: Final = ("orders", "portfolio", "activity", "commands", "users", "markets")
_POLL_MS: Final = 15
"""FastStream sleeps as long again when nothing came, so a record is taken after 15 ms at most."""
_RECORDS_MAX: Final = 2_000
_REST_S: Final = 0.01
"""Between polls, so that records share a fetch; below what a lane lingers anyway."""
_MARKETS_REST_S: Final = 0.5
"""Nobody waits for a price, and a newer one replaces it: most need not be written."""


def projections(names: Iterable[str]) -> tuple[Projection, ...]:
    """The projections of these read models: `PROJECTION` of their modules."""
    modules = [f"read_models.{each}.projection" for each in names]
    return tuple(import_module(each).PROJECTION for each in modules if find_spec(each))


def read_models_app(config: Settings, chosen: Sequence[Projection]) -> FastStream:
    """The application that keeps the chosen read models' tables."""
    logger = logging.getLogger("faststream")
    broker = KafkaBroker(
        config.kafka_bootstrap,
        security=kafka_security(config),
        apply_types=False,  # a typed parameter costs a hop to a thread and back for each batch
        allow_auto_create_topics=False,
        logger=logger,
        log_level=logging.DEBUG,
    )
    store: list[Table] = []
    journals = sorted({journal for each in chosen for journal in each.journals})
    lanes = [
        _subscribe(broker, config, journal, [e for e in chosen if journal in e.journals], store)
        for journal in journals
    ]

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(open_dynamodb(config))
            specs = [spec for each in chosen for spec in each.tables]
            await create_tables(client, config, specs)
            unpinned = DynamoTable(client, config)
            pinned = {each.name: await unpinned.generation(each.name) for each in specs}
            store.append(DynamoTable(client, config, pinned=pinned))
            for each in lanes:
                stack.push_async_callback(each.stop)
            yield

    app = FastStream(broker, lifespan=lifespan, logger=logger)
    for each in lanes:
        app.on_shutdown(each.leave_at_once)
    return app


def group_of(config: Settings, journal: str) -> str:
    """The consumer group of a journal's read models."""
    return config.namespace + group_of_read_models(journal)


def _subscribe(
    broker: KafkaBroker,
    config: Settings,
    journal: str,
    chosen: Sequence[Projection],
    store: Sequence[Table],
) -> Lanes:
    def projector(place: TopicPartition) -> Projector:
        return Projector(chosen, journal, place.partition, store[0])

    lanes = Lanes(lambda: subscriber.consumer, projector)
    subscriber = broker.subscriber(
        config.topic(journal),
        group_id=group_of(config, journal),
        group_instance_id=config.instance,
        batch=True,
        batch_timeout_ms=_POLL_MS,
        max_records=_RECORDS_MAX,
        ack_policy=AckPolicy.MANUAL,  # the checkpoint is the acknowledgement
        auto_offset_reset="earliest",
        listener=lanes,
        parser=_unparsed,
        decoder=_raw,
        title=group_of_read_models(journal),
    )

    rest_s = _MARKETS_REST_S if journal == MARKETS_JOURNAL else _REST_S

    @subscriber
    async def project(records: Sequence[RawRecord]) -> None:
        lanes.offer(records)
        await asyncio.sleep(rest_s)

    return lanes


async def _unparsed(records: Any) -> Received:  # noqa: ANN401  # FastStream's raw batch
    """Leave headers and bodies alone: the projector reads what it needs."""
    return Received(raw_message=records, body=b"", consumer=FAKE_CONSUMER)


async def _raw(message: Received) -> Any:  # noqa: ANN401  # FastStream's raw batch
    return message.raw_message


app: Final = read_models_app(settings(), projections(READ_MODELS))
