"""How long an order lives, that it never takes, and how an open one changes: over HTTP."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from traders import Gateways, Json, check_problem, until

from runtime.devstack.background import Stack

RESTING: Json = {
    "asset_id": "BTC",
    "order_type": "limit_buy",
    "quantity": "0.01",
    "price": "1000",
}


def in_the_future(**distance: int) -> str:
    """This far ahead, to the second."""
    moment = datetime.now(UTC) + timedelta(**distance)
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


async def test_a_day_order_names_the_end_of_its_day_and_a_gtd_order_the_time_asked_for(
    stack: Stack,
) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        day = await trader.order(**RESTING, time_in_force="DAY")
        assert (day["status"], day["time_in_force"]) == ("NEW", "DAY")
        ends = datetime.fromisoformat(day["expires_at"])
        assert (ends.hour, ends.minute, ends.second, ends.microsecond) == (0, 0, 0, 0)
        begun = datetime.fromisoformat(day["created_at"])
        assert timedelta() < ends - begun <= timedelta(days=1)
        asked = in_the_future(days=2)
        dated = await trader.order(**RESTING, time_in_force="GTD", expires_at=asked)
        assert datetime.fromisoformat(dated["expires_at"]) == datetime.fromisoformat(asked)
        shown = await trader.read(f"/orders/{dated['order_id']}", through=1)
        assert shown["data"] == dated


async def test_a_gtd_order_ends_by_itself_and_gives_its_lock_back(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        order = await trader.order(
            **RESTING, time_in_force="GTD", expires_at=in_the_future(seconds=3)
        )
        assert order["status"] == "NEW"
        assert await trader.cash() == ("990", "10")

        async def has_ended() -> bool:
            shown = await trader.read(f"/orders/{order['order_id']}")
            return shown["data"]["status"] == "EXPIRED"

        await until(has_ended, limit_s=30)
        assert await trader.cash(through=1) == ("1000", "0")


async def test_times_that_cannot_be_are_refused(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        for changes in (
            {"time_in_force": "GTD"},
            {"time_in_force": "GTD", "expires_at": "2020-01-01T00:00:00Z"},
            {"time_in_force": "GTD", "expires_at": in_the_future(days=4000)},
            {"time_in_force": "GTC", "expires_at": in_the_future(days=1)},
        ):
            answer = await trader.send("POST", "/orders", json=RESTING | changes)
            assert answer.status_code == 422, changes
            check_problem(answer, "invalid-expiry")
        for text in ("tomorrow", "2030-01-01T00:00:00", 1_900_000_000, "2030-13-01T00:00:00Z"):
            body = RESTING | {"time_in_force": "GTD", "expires_at": text}
            answer = await trader.send("POST", "/orders", json=body)
            assert answer.status_code == 422, text
            check_problem(answer, "validation-failed")
            assert [each["field"] for each in answer.json()["errors"]] == ["expires_at"]
        assert await trader.cash() == ("1000", "0")


async def test_a_fok_order_fills_whole_or_not_at_all(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        filled = await trader.order(order_type="market_buy", time_in_force="FOK")
        assert (filled["status"], filled["filled_quantity"]) == ("FILLED", "0.001")
        before = await trader.cash()
        hopeless = await trader.order(**RESTING, time_in_force="FOK")
        assert (hopeless["status"], hopeless["filled_quantity"]) == ("EXPIRED", "0")
        assert hopeless["reject_reason"] == "no-liquidity"
        assert await trader.cash() == before


async def test_a_post_only_order_rests_and_never_takes(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        resting = await trader.order(**RESTING, post_only=True)
        assert (resting["status"], resting["post_only"]) == ("NEW", True)
        asset = (await trader.read("/inventory/assets/ETH"))["data"]
        price = Decimal(str(asset["price_usd"])) * Decimal("1.02")
        crossing = {
            "asset_id": "ETH",
            "order_type": "limit_buy",
            "quantity": "0.01",
            "price": f"{price:.2f}",
            "post_only": True,
        }
        placed = await trader.order(**crossing)

        async def has_ended() -> bool:
            shown = (await trader.read(f"/orders/{placed['order_id']}"))["data"]
            return shown["status"] == "EXPIRED" and shown["reject_reason"] == "post-only"

        await until(has_ended, limit_s=10)
        assert await trader.cash() == ("990", "10")
        both = await trader.send(
            "POST", "/orders", json=RESTING | {"post_only": True, "time_in_force": "IOC"}
        )
        check_problem(both, "invalid-time-in-force")


async def test_an_open_order_changes_and_its_lock_with_it(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        order = await trader.order(**RESTING)
        path = f"/orders/{order['order_id']}"
        key = {"Idempotency-Key": "more"}
        changed = (
            await trader.ask("PATCH", path, json={"quantity": "0.02", "price": "900"}, headers=key)
        )["data"]
        assert (changed["quantity"], changed["price"], changed["status"]) == ("0.02", "900", "NEW")
        assert await trader.cash(through=1) == ("982", "18")
        assert (await trader.read(path, through=1))["data"] == changed
        again = await trader.send(
            "PATCH", path, through=1, json={"quantity": "0.02", "price": "900"}, headers=key
        )
        assert again.json()["data"] == changed
        assert again.headers["idempotency-replayed"] == "true"
        less = (await trader.ask("PATCH", path, json={"quantity": "0.01"}))["data"]
        assert (less["quantity"], less["price"]) == ("0.01", "900")
        assert await trader.cash() == ("991", "9")


async def test_changes_that_cannot_be_leave_the_order_as_it_is(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader, other = await gateways.funded(), await gateways.funded()
        order = await trader.order(**RESTING)
        path = f"/orders/{order['order_id']}"
        for body, code in (
            ({}, "validation-failed"),
            ({"quantity": None, "price": None}, "validation-failed"),
            ({"quantity": "0"}, "validation-failed"),
            ({"price": "900.001"}, "tick-size"),
            ({"quantity": "0.010001"}, "lot-size"),
            ({"quantity": "0.011", "price": "100000"}, "insufficient-funds"),
        ):
            answer = await trader.send("PATCH", path, json=body)
            assert answer.status_code == 422, (body, answer.text)
            check_problem(answer, code)
        assert (await other.send("PATCH", path, json={"price": "900"})).status_code == 404
        assert (await trader.read(path))["data"] == order
        assert await trader.cash() == ("990", "10")
        await trader.ask("DELETE", path)
        ended = await trader.send("PATCH", path, json={"price": "900"})
        assert ended.status_code == 409
        check_problem(ended, "order-final")


async def test_all_orders_are_canceled_or_those_of_one_asset(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader, other = await gateways.funded(), await gateways.funded()
        bitcoins = [(await trader.order(**RESTING))["order_id"] for _ in range(3)]
        ether = (await trader.order(**RESTING | {"asset_id": "ETH"}))["order_id"]
        kept = (await other.order(**RESTING))["order_id"]
        answer = await trader.ask("DELETE", "/orders?asset_id=btc")
        assert [each["order_id"] for each in answer["data"]] == bitcoins

        async def are_open(*expected: str) -> bool:
            page = await trader.read("/orders?status=NEW")
            return {each["order_id"] for each in page["data"]} == set(expected)

        await until(lambda: are_open(ether), limit_s=10)
        answer = await trader.ask("DELETE", "/orders", through=1)
        assert [each["order_id"] for each in answer["data"]] == [ether]
        await until(are_open, limit_s=10)
        assert await trader.cash() == ("1000", "0")
        assert (await trader.ask("DELETE", "/orders"))["data"] == []
        assert (await other.read(f"/orders/{kept}"))["data"]["status"] == "NEW"
