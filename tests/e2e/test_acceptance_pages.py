"""Pages over many rows: exact ends, no row twice, none left out."""

import asyncio

import pytest
from traders import Gateways, Json, Trader

from runtime.devstack.background import Stack

ROWS = 131
AT_ONCE = 16


async def _all(trader: Trader, path: str, limit: int) -> list[Json]:
    """All rows by offset, with `has_more` checked against the known number."""
    rows: list[Json] = []
    while True:
        page = await trader.read(f"{path}&limit={limit}&offset={len(rows)}", through=len(rows))
        rows += page["data"]
        if not page["has_more"]:
            return rows
        assert len(page["data"]) == limit


async def _gathered(trader: Trader, number: int) -> None:
    """So many limit orders, every third of them a sell; and a deposit for each."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(each: int) -> None:
        async with places:
            await trader.move("deposit", "1", through=each)
            if each % 3:
                await trader.order(
                    order_type="limit_buy", quantity="0.001", price="1000", through=each
                )
            else:
                await trader.order(
                    order_type="limit_sell", quantity="0.001", price="90000", through=each
                )

    async with asyncio.TaskGroup() as group:
        for each in range(number):
            group.create_task(one(each))


@pytest.mark.timeout(120)
async def test_pages_of_orders_and_transactions_are_exact(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.trader()
        await trader.move("deposit", "3000")
        await trader.order(quantity="0.2")
        await _gathered(trader, ROWS - 1)

        rows = await _all(trader, "/orders?asset_id=ETH", 100)
        ids = [each["order_id"] for each in rows]
        assert len(ids) == len(set(ids)) == ROWS
        moments = [each["created_at"] for each in rows]
        assert moments == sorted(moments, reverse=True)
        for limit in (7, 50, 65):
            paged = await _all(trader, "/orders?", limit)
            assert [each["order_id"] for each in paged] == ids
        for offset, limit, more in (
            (0, 100, True),
            (ROWS - 100, 100, False),
            (ROWS - 101, 100, True),
            (ROWS - 1, 1, False),
            (ROWS - 2, 1, True),
            (ROWS, 1, False),
            (100_000, 100, False),
        ):
            page = await trader.read(f"/orders?offset={offset}&limit={limit}", through=offset)
            assert [each["order_id"] for each in page["data"]] == ids[offset : offset + limit]
            assert page["has_more"] is more, (offset, limit)
        for query, kept in (
            ("order_type=limit_sell", lambda each: each["order_type"] == "limit_sell"),
            ("status=NEW", lambda each: each["status"] == "NEW"),
            ("status=FILLED", lambda each: each["status"] == "FILLED"),
            ("asset_id=BTC", lambda each: each["asset_id"] == "BTC"),
        ):
            found = await _all(trader, f"/orders?{query}", 11)
            assert [x["order_id"] for x in found] == [x["order_id"] for x in rows if kept(x)], query

        await _transactions_are_exact(trader, ROWS + 1)


async def _transactions_are_exact(trader: Trader, number: int) -> None:
    listed: list[list[str]] = []
    for limit in (7, 50, 66, 100):
        cursor, ids = "", []
        while True:
            page = await trader.read(
                f"/balance/transactions?limit={limit}{cursor}", through=len(ids)
            )
            assert page["total_count"] == number
            ids += [each["transaction_id"] for each in page["transactions"]]
            if page["next_cursor"] is None:
                break
            assert len(page["transactions"]) == limit
            cursor = f"&cursor={page['next_cursor']}"
        assert len(ids) == len(set(ids)) == number
        listed.append(ids)
    assert all(each == listed[0] for each in listed)
