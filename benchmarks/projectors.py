"""The projector of a journal against bare TransactWriteItems of the very same requests."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, cast

from benchmarks import denominators
from benchmarks.measure import Cost, Stopwatch
from read_models.activity.projection import ActivityProjection
from read_models.commands.projection import CommandsProjection
from read_models.orders.projection import OrdersProjection
from read_models.portfolio.projection import PortfolioProjection
from runtime.dynamodb import DynamoTable, create_tables, open_dynamodb
from runtime.kafka_log import KafkaLog
from runtime.log import Record
from runtime.projecting import STEP_RECORDS_MAX
from runtime.projection import Projection
from runtime.projector import Projector
from runtime.settings import Settings
from schemas.topics import ACCOUNTS_JOURNAL

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

PROJECTIONS: Final[tuple[Projection, ...]] = (
    OrdersProjection(),
    PortfolioProjection(),
    ActivityProjection(),
    CommandsProjection(),
)
"""The read models of the accounts journal."""
_PINNED: Final = {spec.name: 1 for each in PROJECTIONS for spec in each.tables}


async def project(settings: Settings, journal: Settings, count: int) -> Cost:
    """Project the journal's first records into fresh tables; counts items, checkpoints too."""
    polls = await _polls(journal, count)
    async with _fresh_tables(settings) as client:
        counting = _Counting(client)
        table = DynamoTable(cast("DynamoDBClient", counting), settings, pinned=_PINNED)
        watch = Stopwatch()
        await _project(table, polls)
        return watch.cost(counting.items)


async def transact(settings: Settings, journal: Settings, count: int) -> Cost:
    """Write the requests that `project` sends, into fresh tables."""
    polls = await _polls(journal, count)
    recording = _Recording()
    table = DynamoTable(cast("DynamoDBClient", recording), settings, pinned=_PINNED)
    await _project(table, polls)
    async with _fresh_tables(settings) as client:
        return await denominators.transact(client, recording.transactions)


async def _project(table: DynamoTable, polls: Sequence[Sequence[Record]]) -> None:
    projector = Projector(PROJECTIONS, ACCOUNTS_JOURNAL, 0, table)
    for records in polls:
        await projector.step(records, now_s=monotonic())


async def _polls(journal: Settings, count: int) -> list[Sequence[Record]]:
    log = await KafkaLog.open(journal)
    try:
        records: list[Record] = []
        while len(records) < count:
            records += await log.read((ACCOUNTS_JOURNAL, 0), len(records), wait_ms=1_000)
    finally:
        await log.close()
    return [records[at : at + STEP_RECORDS_MAX] for at in range(0, count, STEP_RECORDS_MAX)]


@asynccontextmanager
async def _fresh_tables(settings: Settings) -> "AsyncGenerator[DynamoDBClient]":
    async with open_dynamodb(settings) as client:
        await create_tables(
            client, settings, [spec for each in PROJECTIONS for spec in each.tables]
        )
        try:
            yield client
        finally:
            await drop_tables(client, settings)


async def drop_tables(client: "DynamoDBClient", settings: Settings) -> None:
    """Delete every table of the namespace."""
    async for page in client.get_paginator("list_tables").paginate():
        for name in page["TableNames"]:
            if name.startswith(settings.table("")):
                await client.delete_table(TableName=name)


class _Counting:
    """Hands everything on and counts the items of transactions."""

    def __init__(self, client: "DynamoDBClient") -> None:
        self.items = 0
        self.get_item = client.get_item
        self._transact = client.transact_write_items

    async def transact_write_items(self, **request: Any) -> object:  # noqa: ANN401  # botocore's
        self.items += len(request["TransactItems"])
        return await self._transact(**request)


class _Recording:
    """Keeps the transactions of a projector that starts from nothing."""

    def __init__(self) -> None:
        self.transactions: list[list[dict[str, Any]]] = []

    async def get_item(self, **_request: Any) -> dict[str, Any]:  # noqa: ANN401  # botocore's
        return {}

    async def transact_write_items(self, **request: Any) -> None:  # noqa: ANN401  # botocore's
        self.transactions.append(request["TransactItems"])
