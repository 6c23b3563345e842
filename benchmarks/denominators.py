"""The bare loops that the benchmarks divide by: the least that could do the same work.

Each does the same bytes, headers, batches and poll sizes as what it is compared with, over the
same client libraries with the same settings, and nothing else: it neither checks nor
decides, and what it can send was made before the clock started.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import uvicorn
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.measure import Cost, Stopwatch
from runtime.kafka_options import kafka_options
from runtime.log import NewRecord, Place
from runtime.process import collect_rarely
from runtime.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

POLL_RECORDS_MAX: Final = 500
"""As runtime.kafka_log polls."""
_BATCH_BYTES_MAX: Final = 3 * 1_048_576
_WAIT_MS: Final = 200
FLOOR_INBOX: Final[Place] = ("accounts.commands.dlq", 0)
"""The bare loops write where nobody reads: topics of the registry that no run uses otherwise."""
FLOOR_JOURNAL: Final[Place] = ("accounts.commands.dlq", 1)
FLOOR_REPLIES: Final[Place] = ("accounts.commands.dlq", 2)
REQUESTS: Final[Place] = ("markets.commands.dlq", 0)
ANSWERS: Final[Place] = ("identity.commands.dlq", 0)
_ORDERS_PATH: Final = "/api/v1/orders"
_ASKED: Final = "asked"


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
        **kafka_options(settings),
        enable_idempotence=True,
        acks="all",
        max_batch_size=_BATCH_BYTES_MAX,
        max_request_size=_BATCH_BYTES_MAX + 65_536,
    )


def _consumer(settings: Settings) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        **kafka_options(settings),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
    )


# --- the echo and the one-append floor ---------------------------------------------------------


async def _echo(request: Request) -> JSONResponse:
    return JSONResponse(await request.json(), status_code=201)


def serve_echo(port: int) -> None:
    """Serve a bare Starlette echo of JSON bodies on the gateway's path, as the gateway is served.

    It reads the same requests (path, token, body) and checks nothing.
    """
    _serve(Starlette(routes=[Route(_ORDERS_PATH, _echo, methods=["POST"])]), port)


class BareOrder(msgspec.Struct, frozen=True):
    """An order as the floor reads it."""

    asset_id: str
    order_type: str
    quantity: str


class BareAccepted(msgspec.Struct, frozen=True):
    """What the floor decides: the order, numbered."""

    number: int
    order: BareOrder


class _Asking:
    """Sends each order to the inbox and answers with the reply."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._orders: msgspec.json.Decoder[BareOrder] = msgspec.json.Decoder(BareOrder)
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._asked = 0
        self._producer: AIOKafkaProducer

    @asynccontextmanager
    async def connected(self, _app: Starlette) -> AsyncGenerator[None]:
        self._producer = _producer(self._settings)
        await self._producer.start()
        consumer = await _reading(self._settings, FLOOR_REPLIES)
        listening = asyncio.create_task(self._listen(consumer))
        try:
            yield
        finally:
            listening.cancel()
            await asyncio.gather(consumer.stop(), self._producer.stop())

    async def post(self, request: Request) -> Response:
        order = self._orders.decode(await request.body())
        self._asked += 1
        name = b"%d" % self._asked
        future = self._waiting[name] = asyncio.get_running_loop().create_future()
        await self._producer.send(
            self._settings.topic(FLOOR_INBOX[0]),
            msgspec.json.encode(order),
            headers=[(_ASKED, name)],
            partition=FLOOR_INBOX[1],
        )
        body = await future
        del self._waiting[name]
        return Response(body, status_code=201, media_type="application/json")

    async def _listen(self, consumer: AIOKafkaConsumer) -> None:
        async for records in _batches(consumer):
            for record in records:
                if (future := self._waiting.get(dict(record.headers)[_ASKED])) is not None:
                    future.set_result(record.value)


def serve_one_append(port: int, settings: Settings) -> None:
    """Serve orders by the bare path of one decision: inbox, worker, journal, reply."""
    collect_rarely()
    asking = _Asking(settings)
    routes = [Route(_ORDERS_PATH, asking.post, methods=["POST"])]
    _serve(Starlette(routes=routes, lifespan=asking.connected), port)


def decide_one_append(settings: Settings) -> None:
    """Be the floor's worker: decode, number, append a batch to the journal, reply."""
    collect_rarely()
    uvloop.run(_decide_one_append(settings))


async def _decide_one_append(settings: Settings) -> None:
    producer = _producer(settings)
    await producer.start()
    consumer = await _reading(settings, FLOOR_INBOX)
    orders = msgspec.json.Decoder(BareOrder)
    replying: asyncio.Future[Any] | None = None
    number = 0
    async for records in _batches(consumer):
        decided: list[NewRecord] = []
        for record in records:
            number += 1
            accepted = BareAccepted(number, orders.decode(record.value))
            decided.append(NewRecord(msgspec.json.encode(accepted), list(record.headers)))
        await _append(settings, producer, FLOOR_JOURNAL, decided)
        if replying is not None:
            await replying
        replying = asyncio.ensure_future(_append(settings, producer, FLOOR_REPLIES, decided))


# --- request and reply -------------------------------------------------------------------------


def answer_all(settings: Settings) -> None:
    """Send whatever comes to the one topic back on the other."""
    collect_rarely()
    uvloop.run(_answer_all(settings))


async def _answer_all(settings: Settings) -> None:
    producer = _producer(settings)
    await producer.start()
    topic, partition = settings.topic(ANSWERS[0]), ANSWERS[1]
    async for records in _batches(await _reading(settings, REQUESTS)):
        for record in records:
            await producer.send(topic, record.value, partition=partition)


async def ask_one(settings: Settings, value: bytes, count: int) -> list[float]:
    """Milliseconds of `count` requests to `answer_all`, each sent after the reply before it."""
    producer = _producer(settings)
    consumer = await _reading(settings, ANSWERS)
    await producer.start()
    topic, partition = settings.topic(REQUESTS[0]), REQUESTS[1]
    try:
        await consumer.seek_to_end()
        took_ms: list[float] = []
        for _ in range(count):
            watch = Stopwatch()
            await producer.send(topic, value, partition=partition)
            await consumer.getone()
            took_ms.append(watch.cost(1).wall_s * 1000)
        return took_ms
    finally:
        await asyncio.gather(producer.stop(), consumer.stop())


async def _reading(settings: Settings, place: Place) -> AIOKafkaConsumer:
    """A consumer of one partition from its start."""
    consumer = _consumer(settings)
    await consumer.start()
    partition = TopicPartition(settings.topic(place[0]), place[1])
    consumer.assign([partition])
    consumer.seek(partition, 0)
    return consumer


async def _batches(consumer: AIOKafkaConsumer) -> AsyncGenerator[Sequence[Any]]:
    while True:
        polled = await consumer.getmany(timeout_ms=_WAIT_MS, max_records=POLL_RECORDS_MAX)
        for records in polled.values():
            yield records


def _serve(app: Starlette, port: int) -> None:
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        http="httptools",
        loop="uvloop",
        proxy_headers=False,
        access_log=False,
        log_config=None,
        server_header=False,
    )
    uvicorn.Server(config).run()
