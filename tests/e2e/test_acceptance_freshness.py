"""Every read sees what was acknowledged before it, through whichever gateway."""

import asyncio
from collections import Counter
from decimal import Decimal

import pytest
from traders import Gateways, Json, Trader

from runtime.devstack.background import Stack

TRADERS = 10
ROUNDS = 50
"""Each: a deposit, a withdrawal and an order."""


class Books:
    """What a trader has been told by the answers so far, against what can be read."""

    def __init__(self, trader: Trader) -> None:
        self.trader = trader
        self.cash = Decimal(0)
        self.held = Decimal(0)
        self.movements = 0
        self.orders = 0
        self.seen: Counter[str] = Counter()

    async def move(self, verb: str, amount: int, *, through: int) -> None:
        """Deposit or withdraw, then look through the other gateway."""
        answer = await self.trader.move(verb, str(amount), through=through)
        signed = amount if verb == "deposit" else -amount
        self.cash += signed
        self.movements += 1
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sees_cash(through + 1))
            group.create_task(
                self._sees_movement(
                    through + 1,
                    transaction_type=verb,
                    amount=str(signed),
                    transaction_id=answer["transaction_id"],
                )
            )
            group.create_task(self._sees_portfolio(through + 1))
        self.seen[verb] += 1

    async def order(self, kind: str, *, through: int) -> None:
        """Buy or sell at the market, then look everywhere through the other gateway."""
        order = await self.trader.order(order_type=kind, through=through)
        assert order["status"] == "FILLED", order
        is_buy = kind == "market_buy"
        paid = Decimal(order["total_amount"])
        self.cash += -paid if is_buy else paid
        self.held += Decimal(order["quantity"]) * (1 if is_buy else -1)
        self.movements += 1
        self.orders += 1
        movement = "order_payment" if is_buy else "order_sale"
        signed = f"-{order['total_amount']}" if is_buy else order["total_amount"]
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sees_cash(through + 1))
            group.create_task(
                self._sees_movement(through + 1, transaction_type=movement, amount=signed)
            )
            group.create_task(self._sees_portfolio(through + 1))
            group.create_task(self._sees_asset(through + 1))
            group.create_task(self._sees_order(through + 1, order))
            group.create_task(self._sees_execution(through + 1, order))
        self.seen[kind] += 1

    async def _read(self, path: str, *, through: int) -> Json:
        """A read; one that says that it is stale is counted and asked again."""
        while True:
            answer = await self.trader.send("GET", path, through=through)
            assert answer.status_code == 200, answer.text
            if "x-stale" not in answer.headers:
                return answer.json()
            self.seen["stale"] += 1

    async def _sees_cash(self, through: int) -> None:
        balance = await self._read("/balance", through=through)
        assert Decimal(balance["current_balance"]) == self.cash
        assert Decimal(balance["available"]) == self.cash
        assert balance["locked"] == "0"
        self.seen["reads"] += 1

    async def _sees_movement(self, through: int, **expected: str) -> None:
        page = await self._read("/balance/transactions?limit=1", through=through)
        (newest,) = page["transactions"]
        assert newest | expected == newest
        assert page["total_count"] == self.movements
        self.seen["reads"] += 1

    async def _sees_portfolio(self, through: int) -> None:
        portfolio = await self._read("/portfolio", through=through)
        held = {each["asset_id"]: Decimal(each["quantity"]) for each in portfolio["assets"]}
        assert held == ({"ETH": self.held} if self.held else {})
        assert Decimal(portfolio["cash"]) == self.cash
        self.seen["reads"] += 1

    async def _sees_asset(self, through: int) -> None:
        asset = await self._read("/balance/asset/ETH", through=through)
        assert Decimal(asset["quantity"]) == self.held
        self.seen["reads"] += 1

    async def _sees_order(self, through: int, order: Json) -> None:
        page = await self._read("/orders?limit=1", through=through)
        assert page["data"] == [order]
        assert page["has_more"] is (self.orders > 1)
        self.seen["reads"] += 1

    async def _sees_execution(self, through: int, order: Json) -> None:
        page = await self._read("/assets/ETH/transactions?limit=1", through=through)
        (newest,) = page["data"]
        assert newest["transaction_type"] == order["order_type"].removeprefix("market_").upper()
        assert (newest["quantity"], newest["price"]) == (order["quantity"], order["price"])
        assert page["has_more"] is (self.orders > 1)
        self.seen["reads"] += 1


async def _trade(books: Books) -> None:
    for each in range(ROUNDS):
        await books.move("deposit", 20, through=each)
        await books.move("withdraw", 3, through=each + 1)
        kind = "market_sell" if each % 3 == 2 else "market_buy"
        await books.order(kind, through=each)


@pytest.mark.timeout(480)
async def test_every_write_is_read_at_once_through_the_other_gateway(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        books = [Books(each) for each in await gateways.traders(TRADERS)]
        async with asyncio.TaskGroup() as group:
            for each in books:
                group.create_task(_trade(each))
    seen: Counter[str] = Counter()
    for each in books:
        seen.update(each.seen)
    rounds = TRADERS * ROUNDS
    assert (seen["deposit"], seen["withdraw"]) == (rounds, rounds)
    assert seen["market_buy"] + seen["market_sell"] == rounds == 500
    assert seen["market_sell"] >= 150
    assert seen["stale"] == 0, seen
    assert seen["reads"] == rounds * (3 + 3 + 6)
