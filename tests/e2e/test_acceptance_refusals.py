"""What is refused says why and changes nothing."""

from typing import Any

import pytest
from traders import Gateways, Json, Trader, check_problem, order

from runtime.devstack.background import Stack

LIMIT = {"order_type": "limit_buy", "asset_id": "BTC"}
DECIDED = [
    (
        "sell-without-holdings",
        {"order_type": "market_sell", "asset_id": "SOL", "quantity": "1"},
        "insufficient-holdings",
    ),
    (
        "sell-more-than-held",
        {"order_type": "market_sell", "quantity": "0.011"},
        "insufficient-holdings",
    ),
    (
        "sell-what-is-locked",
        {"order_type": "limit_sell", "quantity": "0.006", "price": "900000"},
        "insufficient-holdings",
    ),
    ("overspend", {"asset_id": "BTC", "quantity": "0.05"}, "insufficient-funds"),
    (
        "overspend-what-is-locked",
        LIMIT | {"quantity": "0.09", "price": "10000.01"},
        "insufficient-funds",
    ),
    ("over-cap-lying-low", {"asset_id": "BTC", "quantity": "5", "price": "1"}, "order-value"),
    ("over-cap-lying-limit", LIMIT | {"quantity": "5", "price": "0.01"}, "order-value"),
    (
        "over-cap-lying-sell",
        {"order_type": "market_sell", "asset_id": "BTC", "quantity": "9", "price": "0.01"},
        "order-value",
    ),
    ("over-cap-by-limit", LIMIT | {"quantity": "0.011", "price": "1000000"}, "order-value"),
    ("off-the-tick", LIMIT | {"quantity": "0.01", "price": "100.001"}, "tick-size"),
    ("off-the-lot", {"asset_id": "BTC", "quantity": "0.001001"}, "lot-size"),
    ("unknown-asset", {"asset_id": "NOPE"}, "unknown-asset"),
]
INVALID: list[tuple[str, Json]] = [
    *(("/orders", order(quantity=each)) for each in ("0", 0, "-1", -0.5, "0.000999999")),
    *(("/orders", order(quantity=each)) for each in ("1.000000001", "NaN", "1e-3", None, True)),
    *(
        ("/orders", order(**LIMIT, quantity="0.01", price=each))
        for each in ("0", "-100", -1, "1000000.01", "100.000000001", "Infinity")
    ),
    *(
        (f"/balance/{verb}", {"amount": each})
        for verb in ("deposit", "withdraw")
        for each in ("0", 0, "-5", -0.01, "0.001", "1000000.01", 1e300)
    ),
]
MONEY = [
    ("/balance/deposit", "9000.01", "deposit-limit"),
    ("/balance/withdraw", "901", "insufficient-funds"),
    ("/balance/withdraw", "5000.01", "withdrawal-limit"),
]


async def _standing(trader: Trader) -> Json:
    """Everything that a refusal must leave alone, as either gateway tells it."""
    found: Json = {}
    for through in (0, 1):
        balance = await trader.read("/balance", through=through)
        portfolio = await trader.read("/portfolio", through=through)
        page = await trader.read("/balance/transactions", through=through)
        found[f"{through}"] = {
            "balance": {key: each for key, each in balance.items() if key != "as_of"},
            "held": {each["asset_id"]: each["quantity"] for each in portfolio["assets"]},
            "cash": portfolio["cash"],
            "movements": page["total_count"],
            "orders": (await trader.read("/orders?limit=100", through=through))["data"],
            "open": (await trader.read("/orders?status=NEW", through=through))["data"],
        }
    return found


async def _somebody(gateways: Gateways) -> Trader:
    """Cash and ETH, both partly locked by resting orders."""
    trader = await gateways.trader()
    await trader.move("deposit", "1000")
    await trader.order(quantity="0.01")
    await trader.order(order_type="limit_buy", asset_id="BTC", quantity="0.1", price="1000")
    await trader.order(order_type="limit_sell", quantity="0.005", price="900000")
    return trader


async def test_a_refused_order_changes_nothing_and_is_listed_only_as_rejected(
    stack: Stack,
) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await _somebody(gateways)
        before = await _standing(trader)
        assert len(before["0"]["open"]) == 2
        assert before["0"]["balance"]["locked"] == "100"
        refused: list[str] = []
        for number, (name, changes, code) in enumerate(DECIDED):
            answer = await trader.send("POST", "/orders", through=number, json=order(**changes))
            assert answer.status_code == 422, f"{name} {answer.text}"
            check_problem(answer, code)
            listed = await trader.read("/orders?status=REJECTED", through=number + 1)
            newest = listed["data"][0]
            assert (newest["status"], newest["reject_reason"]) == ("REJECTED", code), name
            assert newest["filled_quantity"] == "0"
            refused.append(newest["order_id"])
        assert await _standing(trader) == before
        kept = await trader.read("/orders?status=REJECTED&limit=100")
        assert [each["order_id"] for each in kept["data"]] == refused[::-1]
        assert len(set(refused)) == len(DECIDED)
        shown = {each["order_id"] for each in before["0"]["orders"]}
        assert shown.isdisjoint(refused)


async def test_amounts_that_are_none_change_nothing(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await _somebody(gateways)
        before = await _standing(trader)
        for number, (path, body) in enumerate(INVALID):
            answer = await trader.send("POST", path, through=number, json=body)
            assert answer.status_code == 422, f"{body} {answer.text}"
            check_problem(answer, "validation-failed")
            assert answer.json()["errors"], body
        assert await _standing(trader) == before
        assert (await trader.read("/orders?status=REJECTED"))["data"] == []


@pytest.mark.parametrize(("path", "amount", "code"), MONEY)
async def test_money_beyond_limits_or_funds_does_not_move(
    stack: Stack, path: str, amount: Any, code: str
) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await _somebody(gateways)
        before = await _standing(trader)
        answer = await trader.send("POST", path, through=1, json={"amount": amount})
        assert answer.status_code == 422, answer.text
        check_problem(answer, code)
        assert await _standing(trader) == before
