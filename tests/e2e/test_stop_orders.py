"""Orders that wait for the last price of their market: over HTTP."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from traders import Gateways, Json, Trader, check_problem, until

from runtime.devstack.background import Stack

FAR: Json = {
    "asset_id": "ETH",
    "order_type": "limit_buy",
    "quantity": "0.01",
    "price": "31000",
    "stop_price": "30000",
}


async def shown(trader: Trader, order: Json) -> Json:
    """The order as it is by now."""
    return (await trader.read(f"/orders/{order['order_id']}"))["data"]


async def last_price(trader: Trader) -> Decimal:
    """Of ETH, about."""
    return Decimal(str((await trader.read("/inventory/assets/ETH"))["data"]["price_usd"]))


async def test_a_stop_waits_with_its_lock_until_it_is_canceled(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        placed = await trader.order(**FAR)
        assert (placed["status"], placed["order_type"]) == ("NEW", "limit_buy")
        assert (placed["price"], placed["stop_price"]) == ("31000", "30000")
        assert await trader.cash() == ("690", "310")
        assert (await trader.read(f"/orders/{placed['order_id']}", through=1))["data"] == placed
        page = await trader.read("/orders?status=NEW")
        assert [each["order_id"] for each in page["data"]] == [placed["order_id"]]
        canceled = (await trader.ask("DELETE", f"/orders/{placed['order_id']}"))["data"]
        assert (canceled["status"], canceled["stop_price"]) == ("CANCELED", "30000")
        assert await trader.cash() == ("1000", "0")


async def test_a_stop_that_is_reached_already_is_answered_as_new_and_fills(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        placed = await trader.order(order_type="market_buy", stop_price="1")
        assert (placed["status"], placed["time_in_force"]) == ("NEW", "GTC")

        async def has_filled() -> bool:
            return (await shown(trader, placed))["status"] == "FILLED"

        await until(has_filled, limit_s=15)
        assert (await trader.cash())[1] == "0"
        sold = await trader.order(order_type="market_sell", stop_price="900000")
        assert sold["status"] == "NEW"

        async def has_sold() -> bool:
            return (await shown(trader, sold))["status"] == "FILLED"

        await until(has_sold, limit_s=15)


async def test_a_moving_price_triggers_the_stops_around_it(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        await trader.order(order_type="market_buy")
        price = await last_price(trader)
        step = price / 10_000
        above = await trader.order(order_type="market_buy", stop_price=f"{price + step:.2f}")
        below = await trader.order(order_type="market_sell", stop_price=f"{price - step:.2f}")

        async def has_triggered() -> bool:
            stops = [await shown(trader, each) for each in (above, below)]
            return any(each["status"] == "FILLED" for each in stops)

        await until(has_triggered, limit_s=60)


async def test_a_stop_that_is_never_reached_ends_on_time(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        moment = datetime.now(UTC) + timedelta(seconds=3)
        placed = await trader.order(
            **FAR, time_in_force="GTD", expires_at=f"{moment:%Y-%m-%dT%H:%M:%S}Z"
        )
        assert placed["status"] == "NEW"

        async def has_ended() -> bool:
            return (await shown(trader, placed))["status"] == "EXPIRED"

        await until(has_ended, limit_s=30)
        assert await trader.cash(through=1) == ("1000", "0")


async def test_a_waiting_stop_changes_its_quantity_and_limit(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        placed = await trader.order(**FAR)
        path = f"/orders/{placed['order_id']}"
        change = {"quantity": "0.02", "price": "30500"}
        changed = (await trader.ask("PATCH", path, json=change))["data"]
        assert (changed["quantity"], changed["price"], changed["stop_price"]) == (
            "0.02",
            "30500",
            "30000",
        )
        assert await trader.cash() == ("390", "610")


async def test_a_waiting_stop_gets_another_stop_price_and_a_triggered_one_does_not(
    stack: Stack,
) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        placed = await trader.order(**FAR)
        path = f"/orders/{placed['order_id']}"
        moved = (await trader.ask("PATCH", path, json={"stop_price": "30500"}))["data"]
        assert (moved["status"], moved["stop_price"], moved["price"]) == ("NEW", "30500", "31000")
        assert (await shown(trader, placed))["stop_price"] == "30500"
        low = {"price": "110", "stop_price": "100"}
        await trader.ask("PATCH", path, json=low)

        async def is_triggered() -> bool:
            answer = await trader.send("PATCH", path, json={"stop_price": "30000"})
            if answer.status_code != 409:
                return False
            check_problem(answer, "stop-triggered")
            return True

        await until(is_triggered, limit_s=15)
        resting = (await trader.ask("PATCH", path, json={"quantity": "0.02"}))["data"]
        assert (resting["status"], resting["quantity"]) == ("NEW", "0.02")
        limit = await trader.order(order_type="limit_buy", price="110", quantity="0.02")
        answer = await trader.send(
            "PATCH", f"/orders/{limit['order_id']}", json={"stop_price": "30000"}
        )
        check_problem(answer, "not-a-stop")


async def test_stops_that_cannot_be_are_refused(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        for changes, code in (
            ({"post_only": True}, "invalid-time-in-force"),
            ({"time_in_force": "FOK"}, "invalid-time-in-force"),
            ({"stop_price": "30000.001"}, "tick-size"),
            ({"stop_price": "0"}, "validation-failed"),
            ({"stop_price": "1000000.01"}, "validation-failed"),
            ({"order_type": "market_buy", "quantity": "0.04"}, "insufficient-funds"),
        ):
            answer = await trader.send("POST", "/orders", json=FAR | changes)
            assert answer.status_code == 422, (changes, answer.text)
            check_problem(answer, code)
        assert await trader.cash() == ("1000", "0")
