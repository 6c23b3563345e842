"""DynamoDB and the in-memory table give the same answers to the same questions."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from runtime.dynamodb import DynamoTable, create_tables, open_dynamodb
from runtime.memory_table import MemoryTable
from runtime.projection import Index, TableSpec
from runtime.settings import Settings
from runtime.table import (
    Beyond,
    Checkpoint,
    ConditionFailed,
    Delete,
    Merge,
    Put,
    Readable,
    Row,
    Span,
    Stem,
)

NUMBERED = TableSpec("numbered", "owner", "n", "N", (Index("by-word", "word", "S"),))
PLAIN = TableSpec("plain", "key")
WORDS = ("ant", "antler", "bee", "bear", "cat", "cow", "dog", "doe", "eel", "elk")
MINE = {"owner": "me"}


@pytest.fixture(params=["dynamodb", "memory"])
async def store(
    request: pytest.FixtureRequest, dynamodb_endpoint: str, namespace: str
) -> AsyncIterator[Readable]:
    if request.param == "memory":
        yield MemoryTable((NUMBERED, PLAIN))
        return
    settings = Settings(dynamodb_endpoint=dynamodb_endpoint, namespace=namespace)
    async with open_dynamodb(settings) as client:
        for _ in range(2):  # again changes nothing
            await create_tables(client, settings, (NUMBERED, PLAIN))
        yield DynamoTable(client, settings)


def row(n: int, owner: str = "me") -> Row:
    word = {} if n == 7 else {"word": WORDS[n]}  # one that is not in the index
    return {"owner": owner, "n": n, "is_even": n % 2 == 0, "wide_e8": 10**30 + n, **word}


def checkpoints(offset: int, before: int | None) -> list[Checkpoint]:
    """Two, as of two read models."""
    expected = None if before is None else {"offset": before, "epoch": 1}
    return [
        Checkpoint("plain", {"key": f"checkpoint/{n}", "offset": offset, "epoch": 1}, expected)
        for n in range(2)
    ]


@pytest.fixture
async def filled(store: Readable) -> Readable:
    changes = [Put("numbered", row(n, owner)) for owner in ("me", "you") for n in range(10)]
    await store.transact(changes, checkpoints=checkpoints(1, None))
    return store


async def ns(store: Readable, **question: Any) -> list[int]:  # any question
    return [each["n"] for each in await store.query("numbered", MINE, **question)]


async def test_a_transaction_writes_all_or_nothing(filled: Readable) -> None:
    with pytest.raises(ConditionFailed):
        await filled.transact([Put("numbered", row(3, "late"))], checkpoints=checkpoints(2, None))
    with pytest.raises(ConditionFailed):
        await filled.transact([Put("numbered", row(3, "late"))], checkpoints=checkpoints(2, 0))
    first, second = checkpoints(2, 1)
    with pytest.raises(ConditionFailed):
        await filled.transact(
            [Put("numbered", row(3, "late"))],
            checkpoints=[first, second._replace(expected={"offset": 0, "epoch": 1})],
        )
    assert await filled.get("numbered", {"owner": "late", "n": 3}) is None
    await filled.transact(
        [Delete("numbered", {"owner": "me", "n": 0}), Put("numbered", row(3, "late"))],
        checkpoints=checkpoints(2, 1),
    )
    assert await filled.get("numbered", {"owner": "late", "n": 3}) == row(3, "late")
    assert await filled.get("numbered", {"owner": "me", "n": 0}) is None
    for each in checkpoints(2, 1):
        assert await filled.get("plain", {"key": each.row["key"]}) == each.row


async def test_a_merge_sets_what_it_names_and_leaves_the_rest(filled: Readable) -> None:
    changed = {"word": "size", "held/BTC": "1"}
    merges = [Merge("numbered", {"owner": "me", "n": n}, changed) for n in (3, 12)]
    await filled.transact(merges, checkpoints=checkpoints(2, 1))
    assert await filled.get("numbered", {"owner": "me", "n": 3}) == {**row(3), **changed}
    assert await filled.get("numbered", {"owner": "me", "n": 12}) == {**merges[1].key, **changed}
    found = await ns(filled, index="by-word", where=Span("word", "size", "size"))
    assert sorted(found) == [3, 12]


async def test_rows_are_read_by_key(filled: Readable) -> None:
    keys = [{"owner": "me", "n": n} for n in (4, 99, 2)]
    assert await filled.batch_get("numbered", keys) == [row(4), None, row(2)]
    many = [{"owner": "me", "n": n} for n in range(150)]
    assert len([each for each in await filled.batch_get("numbered", many) if each]) == 10


async def test_partitions_are_read_in_order(filled: Readable) -> None:
    assert await ns(filled) == list(range(10))
    assert await ns(filled, newest_first=True, limit=3) == [9, 8, 7]
    assert await ns(filled, where=Span("n", 3, 5)) == [3, 4, 5]
    assert await ns(filled, where=Beyond("n", 7)) == [8, 9]
    assert await ns(filled, where=Beyond("n", 2, below=True), newest_first=True) == [1, 0]
    assert await ns(filled, start_after={"owner": "me", "n": 6}) == [7, 8, 9]
    assert await filled.query("numbered", {"owner": "nobody"}) == []


async def test_pages_skip_and_limit(filled: Readable) -> None:
    assert await ns(filled, offset=4, limit=3) == [4, 5, 6]
    assert await ns(filled, offset=8, limit=3) == [8, 9]
    assert await ns(filled, offset=10, limit=3) == []
    assert await ns(filled, offset=99, limit=3) == []
    assert await ns(filled, offset=2, newest_first=True, limit=2) == [7, 6]


async def test_rows_that_match_are_kept(filled: Readable) -> None:
    assert await ns(filled, matching={"is_even": True}) == [0, 2, 4, 6, 8]
    assert await ns(filled, matching={"is_even": True}, offset=1, limit=2) == [2, 4]
    assert await ns(filled, matching={"is_even": True}, newest_first=True, limit=1) == [8]
    assert await filled.count("numbered", MINE, matching={"is_even": True}) == 5
    assert await filled.count("numbered", MINE, where=Beyond("n", 7)) == 2


async def test_an_index_sorts_by_another_attribute_and_gives_whole_rows(filled: Readable) -> None:
    found = await filled.query("numbered", MINE, index="by-word", where=Stem("word", "an"))
    assert found == [row(0), row(1)]
    assert await ns(filled, index="by-word", limit=4) == [0, 1, 3, 2]
    assert await filled.count("numbered", MINE, index="by-word") == 9


async def test_a_row_is_put_only_where_none_is(store: Readable) -> None:
    assert isinstance(store, DynamoTable | MemoryTable)
    await store.put("plain", {"key": "a", "n": 1}, unless_exists=True)
    with pytest.raises(ConditionFailed):
        await store.put("plain", {"key": "a", "n": 2}, unless_exists=True)
    await store.put("plain", {"key": "a", "n": 3})
    assert await store.get("plain", {"key": "a"}) == {"key": "a", "n": 3}
    await store.delete("plain", {"key": "a"})
    assert await store.get("plain", {"key": "a"}) is None


async def test_pages_beyond_a_megabyte_are_read_on(dynamodb_endpoint: str, namespace: str) -> None:
    settings = Settings(dynamodb_endpoint=dynamodb_endpoint, namespace=namespace)
    async with open_dynamodb(settings) as client:
        await create_tables(client, settings, (NUMBERED, PLAIN))
        table = DynamoTable(client, settings)
        for n in range(12):
            await table.put("numbered", row(n % 10) | {"n": n, "text": "x" * 200_000})
        assert len(await table.query("numbered", MINE)) == 12
        assert [each["n"] for each in await table.query("numbered", MINE, offset=9)] == [9, 10, 11]
        assert await table.count("numbered", MINE) == 12


async def test_the_pointer_says_which_generation_is_live(
    dynamodb_endpoint: str, namespace: str
) -> None:
    settings = Settings(dynamodb_endpoint=dynamodb_endpoint, namespace=namespace)
    async with open_dynamodb(settings) as client:
        await create_tables(client, settings, (PLAIN,))
        first = DynamoTable(client, settings)
        await first.put("plain", {"key": "a"})
        await first.put("read-models", {"read_model": "plain", "generation": 2})
        await create_tables(client, settings, (PLAIN,))
        assert await DynamoTable(client, settings).get("plain", {"key": "a"}) is None
        pinned = DynamoTable(client, settings, pinned={"plain": 1})
        assert await pinned.get("plain", {"key": "a"}) == {"key": "a"}
