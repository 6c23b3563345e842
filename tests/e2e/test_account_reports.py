"""What a trader is told afterwards: how orders were filled, over HTTP and to the last 1e-8."""

import csv
import time
from collections import Counter
from datetime import datetime
from decimal import Decimal

from traders import Gateways, Json, Trader, check_problem, total, until

from runtime.devstack.background import Stack
from schemas.money import E8, parse_e8


async def read(trader: Trader, path: str, *, through: int = 0) -> Json:
    """What is told once the read models are there: what it says counts here, not how soon."""
    answer = await trader.send("GET", path, through=through)

    async def is_fresh() -> bool:
        nonlocal answer
        if answer.status_code != 503 and "x-stale" not in answer.headers:
            return True
        answer = await trader.send("GET", path, through=through)
        return False

    await until(is_fresh, limit_s=30)
    assert answer.status_code == 200, f"{path} {answer.text}"
    return answer.json()


async def test_an_orders_executions_are_its_fills_oldest_first(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader, other = await gateways.funded(), await gateways.funded()
        order = await trader.order(quantity="0.002")
        assert order["status"] == "FILLED"
        path = f"/orders/{order['order_id']}/executions"
        for through in (0, 1):
            answer = await read(trader, path, through=through)
            fills = answer["data"]
            assert total([each["quantity"] for each in fills]) == Decimal("0.002")
            spent = total([each["notional"] for each in fills] + [each["fee"] for each in fills])
            assert spent == Decimal(order["total_amount"])
            assert {each["liquidity"] for each in fills} == {"TAKER"}
            assert {each["fee_asset"] for each in fills} == {"USD"}
            assert len({each["trade_id"] for each in fills}) == len(fills)
            assert [each["time"] for each in fills] == sorted(each["time"] for each in fills)
            assert answer["next_cursor"] is None
            assert answer["as_of"]["version"] >= order["version"]
        after = await read(trader, f"{path}?cursor={10**18 - 1}")
        assert (after["data"], after["next_cursor"]) == ([], None)
        foreign = await other.send("GET", path)
        assert foreign.status_code == 404
        check_problem(foreign, "unknown-order")
        assert (await trader.send("GET", "/orders/a-b/executions")).status_code == 422


async def test_a_portfolios_profits_are_equity_less_what_was_deposited(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        await trader.order(quantity="0.003")
        await trader.order(quantity="0.002", asset_id="BTC")
        await trader.order(quantity="0.001", order_type="market_sell")
        await trader.order(quantity="0.002", asset_id="BTC", order_type="market_sell")
        await trader.move("withdraw", "100")
        shown = await read(trader, "/portfolio", through=1)
        (ether,) = shown["assets"]
        assert (ether["asset_id"], ether["quantity"]) == ("ETH", "0.002")
        profits = [shown["total_realized_pl"], shown["total_unrealized_pl"]]
        assert total(profits) == Decimal(shown["equity"]) - 900
        assert total([ether["market_value"], shown["cash"]]) == Decimal(shown["equity"])
        assert shown["total_unrealized_pl"] == ether["unrealized_pl"]
        basis = total([ether["cost_basis"], ether["unrealized_pl"]])
        assert basis == Decimal(ether["market_value"])
        average = Decimal(ether["avg_entry_price"]) * Decimal(ether["quantity"])
        assert abs(average - Decimal(ether["cost_basis"])) < Decimal("0.00000001")


def opening(statement: Json) -> Counter[str]:
    """What was there."""
    return Counter({each["asset_id"]: parse_e8(each["balance"]) for each in statement["opening"]})


def check_statement(statement: Json) -> Counter[str]:
    """What was there and what moved is what is there; answers what is there, in 1e-8."""
    held = opening(statement)
    for each in statement["movements"]:
        held[each["asset_id"]] += parse_e8(each["amount"])
        assert held[each["asset_id"]] == parse_e8(each["balance"])
    closing = {each["asset_id"]: parse_e8(each["balance"]) for each in statement["closing"]}
    assert held == Counter(closing)
    return held


async def test_a_statement_adds_up_whole_and_cut_at_any_movement(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        await trader.order(quantity="0.003")
        await trader.order(quantity="0.002", asset_id="BTC")
        await trader.order(quantity="0.001", order_type="market_sell")
        await trader.order(order_type="limit_buy", quantity="0.01", price="1000")
        await trader.move("withdraw", "100")
        path = "/account/statement"
        whole = await read(trader, path, through=1)
        cash = (await read(trader, "/balance"))["current_balance"]
        expected = Counter(USD=parse_e8(cash), ETH=E8 // 500, BTC=E8 // 500)
        assert check_statement(whole) == expected
        for moment in {each["time"] for each in whole["movements"]}:
            before = await read(trader, f"{path}?to={moment}")
            after = await read(trader, f"{path}?from={moment}", through=1)
            assert check_statement(before) == opening(after)
            assert before["movements"] + after["movements"] == whole["movements"]
            assert check_statement(after) == expected
        for asked in (
            await trader.send("GET", path, headers={"Accept": "text/csv"}),
            await trader.send("GET", f"{path}?format=csv"),
        ):
            assert asked.headers["content-type"].startswith("text/csv")
            rows = list(csv.DictReader(asked.text.splitlines()))
            amounts = [each["amount"] for each in rows if each["amount"]]
            assert amounts == [each["amount"] for each in whole["movements"]]
            assert {each["type"] for each in rows} >= {"opening", "closing"}


async def test_the_past_is_told_as_it_was_told_then(stack: Stack) -> None:
    paths = ("/balance", "/portfolio", "/orders", "/orders?status=NEW")
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        told: dict[int, list[Json]] = {}

        async def tell() -> None:
            answers = [await read(trader, each) for each in paths]
            told[max(each["as_of"]["version"] for each in answers)] = answers

        await tell()
        resting = await trader.order(order_type="limit_buy", quantity="0.01", price="1000")
        await tell()
        await trader.order(quantity="0.003")
        await tell()
        body = {"quantity": "0.02"}
        await trader.ask("PATCH", f"/orders/{resting['order_id']}", json=body)
        await tell()
        await trader.ask("DELETE", f"/orders/{resting['order_id']}")
        await tell()
        assert len(told) == 5
        for version, answers in told.items():
            for path, then in zip(paths, answers, strict=True):
                query = f"{path}{'&' if '?' in path else '?'}as_of={version}"
                now = await read(trader, query, through=1)
                assert now["as_of"]["version"] == version
                assert timeless(now) == timeless(then)
        for point in (await read(trader, "/account/equity?interval=1m"))["data"][::33]:
            then = await read(trader, f"/portfolio?as_of={point['time']}", through=1)
            assert (point["cash"], point["realized_pl"]) == (
                then["cash"],
                then["total_realized_pl"],
            )
        (newest, *_) = sorted(told, reverse=True)
        for moment, status in ((newest + 1, 409), ("2999-01-01T00:00:00Z", 409), ("then", 422)):
            answer = await trader.send("GET", f"/balance?as_of={moment}")
            assert answer.status_code == status
            check_problem(answer)


def timeless(shown: Json) -> Json:
    """Without what prices move."""
    kept = {"current_balance", "available", "locked", "updated_at", "cash", "data", "has_more"}
    kept |= {"total_cost_basis", "total_realized_pl"}
    held = [
        {name: each[name] for name in ("asset_id", "quantity")} for each in shown.get("assets", ())
    ]
    return {name: each for name, each in shown.items() if name in kept} | {"assets": held}


async def test_a_statement_wants_times_in_order(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        for query in (
            "from=yesterday",
            "to=2030-01-01",
            "from=0001-01-01T00:00:00%2B14:00",
            "from=2030-01-02T00:00:00Z&to=2030-01-01T00:00:00Z",
            "format=pdf",
        ):
            answer = await trader.send("GET", f"/account/statement?{query}")
            assert answer.status_code == 422, query
            check_problem(answer, "validation-failed")


async def test_an_order_is_checked_without_being_placed(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        body = {"asset_id": "BTC", "order_type": "limit_buy", "quantity": "0.01", "price": "1000"}
        key = {"Idempotency-Key": "perhaps"}
        checked = await trader.ask("POST", "/orders/test", json=body, headers=key)
        assert checked["data"]["worst_price"] == "1000"
        assert (checked["data"]["locked_asset"], checked["data"]["locked"]) == ("USD", "10")
        again = await trader.send("POST", "/orders/test", through=1, json=body, headers=key)
        assert (again.json(), again.headers["idempotency-replayed"]) == (checked, "true")
        assert (await read(trader, "/orders"))["data"] == []
        balance = await read(trader, "/balance")
        assert (balance["available"], balance["locked"]) == ("1000", "0")
        for changes, code in (
            ({"quantity": "0.1", "price": "50000"}, "insufficient-funds"),
            ({"order_type": "limit_sell"}, "insufficient-holdings"),
            ({"price": "1000.001"}, "tick-size"),
            ({"asset_id": "NOSUCH"}, "unknown-asset"),
        ):
            for path in ("/orders/test", "/orders"):
                refused = await trader.send("POST", path, json=body | changes)
                assert refused.status_code == 422, (path, changes)
                check_problem(refused, code)


async def test_everybody_may_ask_for_the_time(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        told = (await gateways.send("GET", "/time")).json()
        moment = datetime.fromisoformat(told["time"])
        assert round(moment.timestamp() * 1000) == told["epoch_ms"]
        assert abs(time.time() * 1000 - told["epoch_ms"]) < 60_000


async def test_insights_are_given_of_an_empty_portfolio_and_of_one_with_positions(
    stack: Stack,
) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.trader()
        empty = (await read(trader, "/insights/portfolio"))["data"]
        assert empty.keys() == {"summary", "generated_at", "model"}
        assert (empty["model"], "no assets" in empty["summary"]) == ("rules", True)
        await trader.move("deposit", "1000")
        await trader.order()
        assert "one asset" in (await read(trader, "/insights/portfolio"))["data"]["summary"]


async def test_before_the_first_movement_there_is_none(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        assert (await read(trader, "/balance/transactions?cursor=0"))["transactions"] == []


async def test_an_order_that_never_traded_has_no_executions(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        resting = await trader.order(order_type="limit_buy", quantity="0.01", price="1000")
        assert (await read(trader, f"/orders/{resting['order_id']}/executions"))["data"] == []
        await trader.ask("DELETE", f"/orders/{resting['order_id']}")
