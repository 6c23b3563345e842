"""DynamoDB behind the `Table` port: one client, own serialisation, errors named by the reaction."""

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, ClientError

from runtime.breaker import Breaker, BreakerOpen
from runtime.dynamodb_items import (
    Item,
    absent,
    action,
    checkpoint_action,
    from_item,
    question,
    to_item,
)
from runtime.errors import Unavailable
from runtime.projection import TableSpec
from runtime.settings import Settings
from runtime.table import Change, Checkpoint, ConditionFailed, Row, Where

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb.client import DynamoDBClient

LIVE: Final = TableSpec("read-models", "read_model")
"""Which generation of each read-model table is live; a rebuild moves it."""
PERMANENT: Final = frozenset({LIVE.name, "vault"})
"""Tables that are no read models: they have no generations."""

_TRANSIENT: Final = frozenset(
    {
        "InternalServerError",
        "ItemCollectionSizeLimitExceeded",
        "LimitExceededException",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "ServiceUnavailable",
        "ThrottlingError",
        "ThrottlingException",
        "TransactionConflict",
        "TransactionConflictException",
        "TransactionInProgressException",
    }
)
_CHECK_FAILED: Final = "ConditionalCheckFailed"
_GENERATION_CACHED_S: Final = 5.0
_BATCH_GET_KEYS: Final = 100
_ACTIVE_WAIT_S: Final = 60.0

T = TypeVar("T")


@asynccontextmanager
async def open_dynamodb(
    settings: Settings, *, answer_s: float = 10
) -> "AsyncGenerator[DynamoDBClient]":
    """The process's one client; a named endpoint gets made-up credentials.

    A request that takes longer than `answer_s` is sent once more and then fails. Retries within it
    are few: callers back off on `Unavailable` themselves.
    """
    local = settings.dynamodb_endpoint is not None
    session = aioboto3.Session(
        aws_access_key_id="local" if local else None,
        aws_secret_access_key="local" if local else None,  # DynamoDB Local takes any
        region_name=settings.aws_region,
    )
    config = AioConfig(
        parameter_validation=False,
        max_pool_connections=100,
        connect_timeout=2,
        read_timeout=answer_s,
        retries={"mode": "standard", "total_max_attempts": 2},
    )
    async with session.client(
        "dynamodb", endpoint_url=settings.dynamodb_endpoint, config=config
    ) as client:
        yield client


class DynamoTable:
    """Rows in DynamoDB, addressed by the tables' short names.

    `pinned` fixes the generation of tables (a rebuild, a projector's life); of the others the
    live one is looked up and remembered for seconds. With a `breaker`, requests count for it, and
    while it is open none is sent.
    """

    def __init__(
        self,
        client: "DynamoDBClient",
        settings: Settings,
        *,
        pinned: Mapping[str, int] | None = None,
        breaker: Breaker | None = None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._pinned = pinned or {}
        self._breaker = breaker
        self._live: dict[str, tuple[float, int]] = {}

    async def get(self, table: str, key: Row) -> Row | None:
        """The row with this key, read consistently."""
        answer = await self._asked(
            self._client.get_item(
                TableName=await self._physical(table), Key=to_item(key), ConsistentRead=True
            )
        )
        item = answer.get("Item")
        return None if item is None else from_item(cast("Item", item))

    async def put(self, table: str, row: Row, *, unless_exists: bool = False) -> None:
        """Write a row outside of any projection.

        Raises:
            ConditionFailed: one with this key is there and `unless_exists` was asked for.
        """
        request: Item = {"TableName": await self._physical(table), "Item": to_item(row)}
        if unless_exists:
            request |= absent(row)
        await self._asked(self._client.put_item(**request))

    async def delete(self, table: str, key: Row) -> None:
        """Remove a row outside of any projection."""
        await self._asked(
            self._client.delete_item(TableName=await self._physical(table), Key=to_item(key))
        )

    async def transact(
        self, changes: Sequence[Change], *, checkpoints: Sequence[Checkpoint]
    ) -> None:
        """Write changes and checkpoints, at most 100 together, all or nothing.

        Raises:
            ConditionFailed: another checkpoint is there.
        """
        names = {each.table for each in (*changes, *checkpoints)}
        physical = {each: await self._physical(each) for each in names}
        actions: list[Any] = [checkpoint_action(each, physical[each.table]) for each in checkpoints]
        actions += [action(each, physical[each.table]) for each in changes]
        try:
            await self._asked(self._client.transact_write_items(TransactItems=actions))
        except ConditionFailed:
            for each in names:  # a rebuild may have moved the tables
                self._live.pop(each, None)
            raise

    async def batch_get(self, table: str, keys: Sequence[Row]) -> Sequence[Row | None]:
        """The rows with these keys, in their order; None where there is none."""
        name = await self._physical(table)
        found: dict[tuple[Any, ...], Row] = {}
        for start in range(0, len(keys), _BATCH_GET_KEYS):
            wanted = [to_item(each) for each in keys[start : start + _BATCH_GET_KEYS]]
            async for row in self._batches(name, wanted):
                found[tuple(row[each] for each in keys[0])] = row
        return [found.get(tuple(key[each] for each in keys[0])) for key in keys]

    async def query(  # noqa: PLR0913  # each one is a part of one question
        self,
        table: str,
        partition: Row,
        *,
        where: Where | None = None,
        matching: Row | None = None,
        index: str | None = None,
        newest_first: bool = False,
        offset: int = 0,
        limit: int | None = None,
        start_after: Row | None = None,
        consistent: bool = True,
    ) -> Sequence[Row]:
        """Rows of one partition in the order of the sort key (of `index`, where named).

        `partition` is `{key attribute: value}`. `matching` keeps rows with equal attributes; it
        filters after reading, so it costs what it skips. `offset` counts kept rows; without
        `matching` they are skipped inside DynamoDB.
        """
        request = question(await self._physical(table), partition, where, matching, index) | {
            "ScanIndexForward": not newest_first,
            "ConsistentRead": consistent,
        }
        if start_after is not None:
            request["ExclusiveStartKey"] = to_item(start_after)
        if offset and matching is None:
            _, last = await self._skip(request, offset)
            if last is None:
                return []
            request["ExclusiveStartKey"] = last
            offset = 0
        wanted = None if limit is None else offset + limit
        rows = await self._rows(request, wanted, filtered=matching is not None)
        return rows[offset:]

    async def count(
        self,
        table: str,
        partition: Row,
        *,
        where: Where | None = None,
        matching: Row | None = None,
        index: str | None = None,
    ) -> int:
        """How many rows `query` would give."""
        request = question(await self._physical(table), partition, where, matching, index)
        request |= {"ConsistentRead": True}
        total, _ = await self._skip(request, None)
        return total

    async def generation(self, table: str) -> int:
        """The generation of a read-model table that this object reads and writes."""
        if table in self._pinned:
            return self._pinned[table]
        now_s = asyncio.get_running_loop().time()
        read_s, generation = self._live.get(table, (-_GENERATION_CACHED_S, 1))
        if now_s - read_s < _GENERATION_CACHED_S:
            return generation
        with suppress(_MissingTable):
            row = await self.get(LIVE.name, {LIVE.partition_key: table})
            generation = 1 if row is None else row["generation"]
        self._live[table] = (now_s, generation)
        return generation

    async def _physical(self, table: str) -> str:
        if table in PERMANENT:
            return self._settings.table(table)
        return self._settings.table(f"{table}-g{await self.generation(table)}")

    async def _asked(self, call: Awaitable[T]) -> T:
        if self._breaker is None:
            return await _asked(call)
        try:
            guard = self._breaker.call()
        except BreakerOpen:
            cast("Coroutine[Any, Any, T]", call).close()
            raise
        with guard:
            return await _asked(call)

    async def _batches(self, name: str, wanted: list[Item]) -> AsyncIterator[Row]:
        while wanted:
            answer = await self._asked(
                self._client.batch_get_item(
                    RequestItems={name: {"Keys": wanted, "ConsistentRead": True}}
                )
            )
            for item in answer.get("Responses", {}).get(name, ()):
                yield from_item(cast("Item", item))
            unprocessed = cast("Item", answer.get("UnprocessedKeys", {}))
            left: list[Item] = unprocessed.get(name, {}).get("Keys", [])
            if len(left) == len(wanted):
                raise Unavailable("BatchGetItem is throttled")
            wanted = left

    async def _rows(self, request: Item, wanted: int | None, *, filtered: bool) -> list[Row]:
        rows: list[Row] = []
        while wanted is None or len(rows) < wanted:
            page = dict(request)
            if wanted is not None and not filtered:
                page["Limit"] = wanted - len(rows)
            answer = await self._asked(self._client.query(**page))
            rows += [from_item(cast("Item", item)) for item in answer["Items"]]
            if (last := answer.get("LastEvaluatedKey")) is None:
                break
            request = request | {"ExclusiveStartKey": last}
        return rows if wanted is None else rows[:wanted]

    async def _skip(self, request: Item, most: int | None) -> tuple[int, Item | None]:
        """Count up to `most` rows; where to go on behind them, None at the end."""
        passed = 0
        page: Item = {**request, "Select": "COUNT"}
        while most is None or passed < most:
            if most is not None:
                page["Limit"] = most - passed
            answer = await self._asked(self._client.query(**page))
            passed += answer["Count"]
            if (last := answer.get("LastEvaluatedKey")) is None:
                return passed, None
            page["ExclusiveStartKey"] = last
        return passed, page.get("ExclusiveStartKey")


class _MissingTable(Unavailable):
    """The table is not there (yet)."""


class _TableExists(Unavailable):
    """The table is there or being made."""


async def create_tables(
    client: "DynamoDBClient", settings: Settings, specs: Iterable[TableSpec]
) -> None:
    """Create what is missing of the tables' live generations and wait until all are active.

    Raises:
        Unavailable: they did not become active within a minute.
    """
    await _create(client, settings.table(LIVE.name), LIVE)
    await _wait_active(client, settings.table(LIVE.name))
    names: list[str] = []
    for spec in specs:
        names.append(await _live_name(client, settings, spec.name))
        await _create(client, names[-1], spec)
    for name in names:
        await _wait_active(client, name)


async def _live_name(client: "DynamoDBClient", settings: Settings, table: str) -> str:
    if table in PERMANENT:
        return settings.table(table)
    store = DynamoTable(client, settings)
    with suppress(ConditionFailed):
        pointer = {LIVE.partition_key: table, "generation": 1}
        await store.put(LIVE.name, pointer, unless_exists=True)
    return settings.table(f"{table}-g{await store.generation(table)}")


async def _create(client: "DynamoDBClient", name: str, spec: TableSpec) -> None:
    types = {spec.partition_key: "S"}
    if spec.sort_key is not None:
        types[spec.sort_key] = spec.sort_type
    types |= {each.sort: each.sort_type for each in spec.indexes}
    request: Item = {
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": each, "AttributeType": kind} for each, kind in types.items()
        ],
        "KeySchema": _key_schema(spec.partition_key, spec.sort_key),
    }
    if spec.indexes:
        request["LocalSecondaryIndexes"] = [
            {
                "IndexName": each.name,
                "KeySchema": _key_schema(spec.partition_key, each.sort),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
            for each in spec.indexes
        ]
    with suppress(_TableExists):
        await _asked(client.create_table(**request))


def _key_schema(partition_key: str, sort_key: str | None) -> list[dict[str, str]]:
    keys = [{"AttributeName": partition_key, "KeyType": "HASH"}]
    if sort_key is not None:
        keys.append({"AttributeName": sort_key, "KeyType": "RANGE"})
    return keys


async def _wait_active(client: "DynamoDBClient", name: str) -> None:
    deadline = asyncio.get_running_loop().time() + _ACTIVE_WAIT_S
    while asyncio.get_running_loop().time() < deadline:
        with suppress(_MissingTable):
            answer = await _asked(client.describe_table(TableName=name))
            if answer["Table"].get("TableStatus") == "ACTIVE":
                return
        await asyncio.sleep(0.1)
    raise Unavailable(f"table {name} is not active after {_ACTIVE_WAIT_S:.0f} s")


async def _asked(call: Awaitable[T]) -> T:
    try:
        return await call
    except ClientError as error:
        raise _reaction(error) from error
    except (BotoCoreError, TimeoutError, OSError) as error:
        raise Unavailable(f"DynamoDB: {type(error).__name__}") from error


def _reaction(error: ClientError) -> Exception:
    answer = cast("Item", error.response)
    code = str(answer.get("Error", {}).get("Code"))
    if code == "TransactionCanceledException":
        return _canceled(answer, error)
    if code == "ConditionalCheckFailedException":
        return ConditionFailed(code)
    if code == "ResourceNotFoundException":
        return _MissingTable(f"DynamoDB: {code}")
    if code == "ResourceInUseException":
        return _TableExists(f"DynamoDB: {code}")
    status = int(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _TRANSIENT or status >= 500:  # noqa: PLR2004  # a server error
        return Unavailable(f"DynamoDB: {code}")
    return error


def _canceled(answer: Item, error: ClientError) -> Exception:
    """Only checkpoints carry conditions."""
    reasons = answer.get("CancellationReasons", ())
    codes = [str(each.get("Code")) for each in reasons]
    if _CHECK_FAILED in codes:
        return ConditionFailed("another checkpoint is there")
    if any(each in _TRANSIENT for each in codes):
        return Unavailable(f"DynamoDB: {', '.join(sorted({*codes} & _TRANSIENT))}")
    return error
