"""What everybody sees of the markets: rules, trades, the book, without a token."""

from decimal import Decimal
from typing import Any

from traders import Gateways, Json, Trader, check_problem, until

from runtime.devstack.background import Stack


async def told(gateways: Gateways, path: str, *, through: int = 0, **parameters: Any) -> Json:
    """What somebody without a token is told."""
    answer = await gateways.send("GET", path, through=through, params=parameters)
    assert answer.status_code == 200, f"{path} {answer.text}"
    return answer.json()


async def funded(gateways: Gateways) -> Trader:
    trader = await gateways.trader()
    await trader.move("deposit", "9000")
    return trader


async def test_markets_are_listed_with_their_rules_and_quotes(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        listed = await told(gateways, "/markets")
        assert listed["total_count"] == len(listed["data"]) >= 5
        by_symbol = {each["symbol"]: each for each in listed["data"]}
        assert list(by_symbol) == sorted(by_symbol)
        bitcoin = by_symbol["BTC-USD"]
        assert (bitcoin["asset_id"], bitcoin["quote_asset_id"]) == ("BTC", "USD")
        assert bitcoin["status"] == "open"
        assert bitcoin["rules"] == {
            "tick_size": "0.01",
            "lot_size": "0.00001",
            "min_notional": "1",
            "maker_fee_rate": "0",
            "taker_fee_rate": "0",
            "collar": "0.01",
            "stale_after_ms": 5000,
        }
        one = (await told(gateways, "/markets/btc-usd", through=1))["data"]
        assert one["rules"] == bitcoin["rules"]
        quote = one["quote"]
        assert Decimal(quote["bid"]) < Decimal(quote["ask"])
        assert quote["simulated"] is False


async def test_a_trade_is_in_the_list_of_its_market(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await funded(gateways)
        order = await trader.order(asset_id="SOL", quantity="0.777")
        assert order["status"] == "FILLED"

        async def is_listed() -> bool:
            page = await told(gateways, "/markets/SOL-USD/trades", limit=5)
            return any(each["quantity"] == "0.777" for each in page["data"])

        await until(is_listed, limit_s=10)
        page = await told(gateways, "/markets/SOL-USD/trades", through=1)
        trade = next(each for each in page["data"] if each["quantity"] == "0.777")
        assert trade["price"] == order["average_price"]
        assert trade["notional"] == order["total_amount"]
        assert trade["taker_side"] == "BUY"
        assert set(trade) == {"trade_id", "price", "quantity", "notional", "taker_side", "time"}


async def test_trades_come_in_pages(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await funded(gateways)
        for _ in range(3):
            await trader.order(asset_id="DOGE", quantity="10")

        async def are_listed() -> bool:
            return len((await told(gateways, "/markets/DOGE-USD/trades"))["data"]) >= 3

        await until(are_listed, limit_s=10)
        whole = (await told(gateways, "/markets/DOGE-USD/trades", limit=100))["data"]
        listed: list[Json] = []
        page = await told(gateways, "/markets/DOGE-USD/trades", limit=1)
        while True:
            assert len(page["data"]) == 1
            listed += page["data"]
            if page["next_cursor"] is None:
                break
            page = await told(
                gateways, "/markets/DOGE-USD/trades", limit=1, cursor=page["next_cursor"]
            )
        assert listed == whole


async def test_a_resting_order_is_in_the_book_until_it_is_canceled(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await funded(gateways)
        resting = {"asset_id": "BTC", "order_type": "limit_buy", "price": "1234.5"}
        first = await trader.order(**resting, quantity="0.01")
        await trader.order(**resting, quantity="0.02")

        async def level() -> Json | None:
            book = (await told(gateways, "/markets/BTC-USD/book", depth=100))["data"]
            return next((each for each in book["bids"] if each["price"] == "1234.5"), None)

        async def rest_both() -> bool:
            found = await level()
            return found == {"price": "1234.5", "quantity": "0.03", "orders": 2, "house": False}

        async def rests_one() -> bool:
            found = await level()
            return found == {"price": "1234.5", "quantity": "0.02", "orders": 1, "house": False}

        async def rests_none() -> bool:
            return await level() is None

        await until(rest_both, limit_s=10)
        await trader.ask("DELETE", f"/orders/{first['order_id']}")
        await until(rests_one, limit_s=10)
        await trader.ask("DELETE", "/orders")
        await until(rests_none, limit_s=10)


async def test_the_book_shows_the_house_and_is_sorted(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        book: Json = {}

        async def has_both_sides() -> bool:
            book.update((await told(gateways, "/markets/ETH-USD/book"))["data"])
            return all(any(e["house"] for e in book[side]) for side in ("bids", "asks"))

        await until(has_both_sides, limit_s=10)
        bids, asks = ([Decimal(e["price"]) for e in book[side]] for side in ("bids", "asks"))
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert bids[0] < asks[0]
        shallow = (await told(gateways, "/markets/ETH-USD/book", depth=1))["data"]
        assert [len(shallow[side]) for side in ("bids", "asks")] == [1, 1]


async def test_what_cannot_be_asked_is_a_problem(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        for tail in ("", "/trades", "/book"):
            await refused(gateways, f"/markets/NOPE-USD{tail}", "not-found", 404)
            await refused(gateways, f"/markets/b_c{tail}", "validation-failed", 422)
        for query in ("trades?limit=0", "trades?limit=101", "trades?cursor=x", "book?depth=101"):
            await refused(gateways, f"/markets/BTC-USD/{query}", "validation-failed", 422)


async def refused(gateways: Gateways, path: str, code: str, status: int) -> None:
    answer = await gateways.send("GET", path)
    assert answer.status_code == status, path
    check_problem(answer, code)
