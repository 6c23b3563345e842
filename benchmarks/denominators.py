"""The bare loops that the benchmarks divide by: the least that could do the same work.

Each does the same bytes, headers, batches and poll sizes as what it is compared with, over the
same client libraries with the same settings, and nothing else: it neither decodes nor decides,
and everything that it sends was made before the clock started.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import uvicorn
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from benchmarks.measure import Cost, Stopwatch
from runtime.log import NewRecord, Place
from runtime.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

POLL_RECORDS_MAX: Final = 500
"""As runtime.kafka_log polls."""
_BATCH_BYTES_MAX: Final = 3 * 1_048_576
_WAIT_MS: Final = 200


class Portion(NamedTuple):
    """What the worker wrote for some inbox records that it took from one poll."""

    inbox_records: int
    journal: Sequence[NewRecord]
    published: Mapping[Place, Sequence[NewRecord]]


async def consume_and_append(
    settings: Settings, inbox: Place, journal: Place, portions: Sequence[Portion]
) -> Cost:
    """Consume the inbox, and for each portion append its journal batch, then what it published.

    As the worker does, it waits for each journal batch, and publishes while it goes on.
    """
    producer, consumer = _producer(settings), _consumer(settings)
    await asyncio.gather(producer.start(), consumer.start())
    try:
        partition = TopicPartition(settings.topic(inbox[0]), inbox[1])
        consumer.assign([partition])
        consumer.seek(partition, 0)
        for place in {place for each in portions for place in (*each.published, journal)}:
            await producer.partitions_for(settings.topic(place[0]))
        watch = Stopwatch()
        await _consume_and_append(settings, producer, consumer, partition, journal, portions)
        return watch.cost(sum(each.inbox_records for each in portions))
    finally:
        await asyncio.gather(producer.stop(), consumer.stop())


async def _consume_and_append(  # noqa: PLR0913, PLR0917  # one loop in one piece
    settings: Settings,
    producer: AIOKafkaProducer,
    consumer: AIOKafkaConsumer,
    inbox: TopicPartition,
    journal: Place,
    portions: Sequence[Portion],
) -> None:
    publishing: asyncio.Future[Any] | None = None
    consumed = wanted = 0
    for portion in portions:
        wanted += portion.inbox_records
        while consumed < wanted:
            polled = await consumer.getmany(
                inbox, timeout_ms=_WAIT_MS, max_records=POLL_RECORDS_MAX
            )
            consumed += len(polled.get(inbox, ()))
        await _append(settings, producer, journal, portion.journal)
        if publishing is not None:
            await publishing
        publishing = asyncio.gather(
            *(_append(settings, producer, *each) for each in portion.published.items())
        )
    if publishing is not None:
        await publishing


async def _append(
    settings: Settings, producer: AIOKafkaProducer, place: Place, records: Sequence[NewRecord]
) -> None:
    builder = producer.create_batch()
    for each in records:
        builder.append(timestamp=None, key=each.key, value=each.value, headers=each.headers)
    builder.close()
    topic, partition = settings.topic(place[0]), place[1]
    await (await producer.send_batch(builder, topic, partition=partition))


async def append_one(settings: Settings, place: Place, value: bytes, count: int) -> list[float]:
    """Milliseconds of each of `count` idempotent acks=all appends of one message, one at a time."""
    producer = _producer(settings)
    await producer.start()
    topic, partition = settings.topic(place[0]), place[1]
    try:
        took_ms: list[float] = []
        for _ in range(count):
            watch = Stopwatch()
            await producer.send_and_wait(topic, value, partition=partition)
            took_ms.append(watch.cost(1).wall_s * 1000)
        return took_ms
    finally:
        await producer.stop()


async def transact(
    client: "DynamoDBClient", transactions: Sequence[Sequence[dict[str, Any]]]
) -> Cost:
    """Write prepared transactions one after another."""
    watch = Stopwatch()
    for items in transactions:
        await client.transact_write_items(TransactItems=items)  # type: ignore[arg-type]
    return watch.cost(sum(map(len, transactions)))


def _producer(settings: Settings) -> AIOKafkaProducer:
    return AIOKafkaProducer(
        bootstrap_servers=settings.kafka_bootstrap,
        enable_idempotence=True,
        acks="all",
        max_batch_size=_BATCH_BYTES_MAX,
        max_request_size=_BATCH_BYTES_MAX + 65_536,
    )


def _consumer(settings: Settings) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
    )


async def _echo(request: Request) -> JSONResponse:
    return JSONResponse(await request.json(), status_code=201)


def serve_echo(port: int) -> None:
    """Serve a bare Starlette echo of JSON bodies on the gateway's path, as the gateway is served.

    It reads the same requests (path, token, body) and checks nothing.
    """
    app = Starlette(routes=[Route("/api/v1/orders", _echo, methods=["POST"])])
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        http="httptools",
        loop="uvloop",
        proxy_headers=False,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
    )
    uvicorn.Server(config).run()
