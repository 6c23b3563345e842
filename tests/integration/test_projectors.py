"""The projectors' process on real Kafka and DynamoDB: exactly once, whatever happens to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from journals import History

from read_models.activity.projection import PROJECTION as ACTIVITY
from read_models.app import group_of, read_models_app
from read_models.commands.projection import PROJECTION as COMMANDS
from read_models.orders.projection import PROJECTION as ORDERS
from read_models.portfolio.projection import PROJECTION as PORTFOLIO
from runtime.dynamodb import DynamoTable, create_tables, open_dynamodb
from runtime.kafka_options import kafka_options
from runtime.memory_table import MemoryTable
from runtime.projection import Projection
from runtime.projector import Projector, positions
from runtime.settings import Settings
from schemas.topics import ACCOUNTS_JOURNAL

DEADLINE_S = 90
ALL: tuple[Projection, ...] = (ORDERS, PORTFOLIO, ACTIVITY, COMMANDS)
MakeTopics = Callable[..., Awaitable[Settings]]


def _settings(settings: Settings, dynamodb_endpoint: str) -> Settings:
    return settings.model_copy(update={"dynamodb_endpoint": dynamodb_endpoint})


@pytest.fixture
async def config(make_topics: MakeTopics, dynamodb_endpoint: str) -> Settings:
    """Topics and tables of this test alone."""
    return await make_topics(dynamodb_endpoint=dynamodb_endpoint)


@pytest.fixture
async def table(config: Settings) -> AsyncIterator[DynamoTable]:
    async with open_dynamodb(config) as client:
        await create_tables(client, config, [spec for each in ALL for spec in each.tables])
        yield DynamoTable(client, config)


@asynccontextmanager
async def running(config: Settings, chosen: Sequence[Projection] = ALL) -> AsyncIterator[None]:
    """A projectors' process, within this one."""
    app, started = read_models_app(config, chosen), asyncio.Event()
    app.after_startup(started.set)
    task = asyncio.create_task(app.run())
    try:
        await asyncio.wait_for(started.wait(), DEADLINE_S)
        yield
    finally:
        app.exit()
        await asyncio.wait_for(task, DEADLINE_S)


async def append(config: Settings, histories: Sequence[History], start: int = 0) -> None:
    """Write the histories' records to the journal's partitions."""
    async with AIOKafkaProducer(
        **kafka_options(config), enable_idempotence=True, linger_ms=5
    ) as producer:
        for partition, history in enumerate(histories):
            for record in history.appended(start):
                await producer.send(
                    config.topic(ACCOUNTS_JOURNAL),
                    record.value,
                    partition=partition,
                    headers=record.headers,
                )
        await producer.flush()


async def until_projected(table: DynamoTable, histories: Sequence[History]) -> None:
    """Wait until every checkpoint stands at its journal's end."""
    ends = [len(each.records) for each in histories]
    async with asyncio.timeout(DEADLINE_S):
        while True:
            reached = [
                await positions(table, each.tables, ACCOUNTS_JOURNAL, len(histories))
                for each in ALL
            ]
            if all([at.offset for at in places] == ends for places in reached):
                return
            await asyncio.sleep(0.1)


async def folded(histories: Sequence[History]) -> MemoryTable:
    """What the tables must hold: each journal folded in one go."""
    memory = MemoryTable([spec for each in ALL for spec in each.tables])
    for projection in ALL:
        for partition, history in enumerate(histories):
            projector = Projector((projection,), ACCOUNTS_JOURNAL, partition, memory)
            await projector.step(history.records, now_s=0)
            await projector.step([], now_s=10)
    return memory


async def rows_of(table: DynamoTable, memory: MemoryTable, name: str) -> dict[Any, Any]:
    """The same keys, as DynamoDB has them."""
    keys = [
        {spec.partition_key: key[0]} | ({spec.sort_key: key[1]} if spec.sort_key else {})
        for spec in (each.tables[0] for each in ALL)
        if spec.name == name
        for key in memory.rows(name)
    ]
    found = await table.batch_get(name, keys)
    return dict(zip(memory.rows(name), found, strict=True))


async def test_tables_equal_the_fold_of_their_journals(
    config: Settings, table: DynamoTable
) -> None:
    histories = [History(seed, accounts=5).live(150) for seed in range(4)]
    async with running(config):
        await append(config, histories)
        await until_projected(table, histories)
    memory = await folded(histories)
    for projection in ALL:
        name = projection.tables[0].name
        assert await rows_of(table, memory, name) == memory.rows(name)
        assert len(memory.rows(name)) > 20


async def test_rebalances_zombies_and_stops_lose_and_double_nothing(
    config: Settings, table: DynamoTable
) -> None:
    histories = [History(seed + 10, accounts=4).live(60) for seed in range(4)]
    memory_start = [len(each.records) for each in histories]
    await append(config, histories)
    rogues = [
        asyncio.create_task(rogue(table, projection, histories, partition))
        for projection in ALL
        for partition in range(4)
    ]
    async with running(config):  # the second process takes over half, and gives it back
        async with running(config):
            grow(histories)
            await append_new(config, histories, memory_start)
        await until_projected(table, histories)
    memory_start = [len(each.records) for each in histories]
    grow(histories)
    await append_new(config, histories, memory_start)
    async with running(config):
        await until_projected(table, histories)
    await asyncio.gather(*rogues)
    memory = await folded(histories)
    for projection in ALL:
        name = projection.tables[0].name
        assert await rows_of(table, memory, name) == memory.rows(name)


async def test_the_group_offset_shows_how_far_the_tables_are(
    config: Settings, table: DynamoTable
) -> None:
    histories = [History(seed + 30).live(40) for seed in range(4)]
    await append(config, histories)
    ends = [len(each.records) for each in histories]
    async with running(config, [ORDERS]), asyncio.timeout(DEADLINE_S):
        while await hints(config) != ends:  # noqa: ASYNC110  # the broker has no event
            await asyncio.sleep(0.2)
    reached = await positions(table, ORDERS.tables, ACCOUNTS_JOURNAL, 4)
    assert [each.offset for each in reached] == ends


async def rogue(
    table: DynamoTable, projection: Projection, histories: Sequence[History], partition: int
) -> None:
    """Somebody else who projects the same partition, late and in other batches."""
    one = Projector((projection,), ACCOUNTS_JOURNAL, partition, table)
    records = list(histories[partition].records)
    for start in range(0, len(records), 17):
        await one.step(records[start : start + 23], now_s=0)


def grow(histories: Sequence[History]) -> None:
    for each in histories:
        each.live(60)


async def append_new(config: Settings, histories: Sequence[History], starts: Sequence[int]) -> None:
    async with AIOKafkaProducer(**kafka_options(config), enable_idempotence=True) as producer:
        for partition, history in enumerate(histories):
            for record in history.appended(starts[partition]):
                await producer.send_and_wait(
                    config.topic(ACCOUNTS_JOURNAL),
                    record.value,
                    partition=partition,
                    headers=record.headers,
                )


async def hints(config: Settings) -> list[int | None]:
    """The group's committed offsets of the accounts journal."""
    admin = AIOKafkaAdminClient(**kafka_options(config))
    await admin.start()
    try:
        committed = await admin.list_consumer_group_offsets(group_of(config, ACCOUNTS_JOURNAL))
    finally:
        await admin.close()
    places = [TopicPartition(config.topic(ACCOUNTS_JOURNAL), each) for each in range(4)]
    return [committed[each].offset if each in committed else None for each in places]
