"""The projectors' process: FastStream batch subscribers that hand journals to projections.

Runs every read model, or those named in CNOP_READ_MODELS (a comma list).
"""

import asyncio
import logging
import os
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
from runtime.projecting import Lanes, RawRecord
from runtime.projection import Projection
from runtime.projector import Projector
from runtime.settings import Settings, settings
from runtime.table import Table

READ_MODELS: Final = ("orders", "portfolio", "activity", "commands", "users", "markets")
_POLL_MS: Final = 15
"""FastStream sleeps as long again when nothing came, so a record is taken after 15 ms at most."""
_RECORDS_MAX: Final = 2_000
_REST_S_PER_RECORD: Final = 0.002
_REST_S_MAX: Final = 0.05
_REST_S: Final = {"markets": 0.5}
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
        apply_types=False,  # a typed parameter costs a hop to a thread and back for each batch
        allow_auto_create_topics=False,
        logger=logger,
        log_level=logging.DEBUG,
    )
    store: list[Table] = []
    lanes = [_subscribe(broker, config, each, store) for each in chosen]

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


def group_of(config: Settings, projection: Projection) -> str:
    """The consumer group of a read model."""
    return f"{config.namespace}read-model-{projection.name}"


def _subscribe(
    broker: KafkaBroker, config: Settings, projection: Projection, store: Sequence[Table]
) -> Lanes:
    journals = {config.topic(each): each for each in projection.journals}

    def projector(place: TopicPartition) -> Projector:
        return Projector(projection, journals[place.topic], place.partition, store[0])

    lanes = Lanes(lambda: subscriber.consumer, projector)
    subscriber = broker.subscriber(
        *journals,
        group_id=group_of(config, projection),
        group_instance_id=config.instance,
        batch=True,
        batch_timeout_ms=_POLL_MS,
        max_records=_RECORDS_MAX,
        ack_policy=AckPolicy.MANUAL,  # the checkpoint is the acknowledgement
        auto_offset_reset="earliest",
        listener=lanes,
        parser=_unparsed,
        decoder=_raw,
        title=f"read-model-{projection.name}",
    )

    @subscriber
    async def project(records: Sequence[RawRecord]) -> None:
        lanes.offer(records)
        await asyncio.sleep(rest_s(projection.name, len(records)))

    return lanes


def rest_s(name: str, records: int) -> float:
    """How long a read model polls nothing after so many records, in seconds.

    The busier it is, the longer: more records then share a poll and a transaction, while one that
    comes alone is projected at once.
    """
    return _REST_S.get(name, min(_REST_S_MAX, _REST_S_PER_RECORD * records))


async def _unparsed(records: Any) -> Received:  # noqa: ANN401  # FastStream's raw batch
    """Leave headers and bodies alone: the projector reads what it needs."""
    return Received(raw_message=records, body=b"", consumer=FAKE_CONSUMER)


async def _raw(message: Received) -> Any:  # noqa: ANN401  # FastStream's raw batch
    return message.raw_message


app: Final = read_models_app(
    settings(),
    projections(filter(None, os.environ.get("CNOP_READ_MODELS", ",".join(READ_MODELS)).split(","))),
)
