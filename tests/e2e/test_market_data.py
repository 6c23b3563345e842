"""What everybody sees of the markets: rules, trades, candles, the book, without a token."""

from decimal import Decimal
from typing import Any

from traders import Gateways, Json, Trader, check_problem, total, until

from runtime.devstack.background import Stack

WAIT_S = 30
"""Read models of markets come last on a busy machine."""


async def told(gateways: Gateways, path: str, *, through: int = 0, **parameters: Any) -> Json:
    """What somebody without a token is told."""
    answer = await gateways.send("GET", path, through=through, params=parameters)
    assert answer.status_code == 200, f"{path} {answer.text}"
    return answer.json()


async def funded(gateways: Gateways) -> Trader:
    trader = await gateways.trader()
    await trader.move("deposit", "9000")
    return trader


async def until_quoted(gateways: Gateways, symbol: str) -> None:
    """Wait for the market's first candle."""

    async def has_candles() -> bool:
        answer = await gateways.send("GET", f"/markets/{symbol}/candles?source=feed")
        return answer.status_code == 200 and bool(answer.json()["data"])

    await until(has_candles, limit_s=WAIT_S)


async def test_markets_are_listed_with_their_rules_and_quotes(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        listed: Json = {}

        async def are_quoted() -> bool:
            listed.update(await told(gateways, "/markets"))
            return sum(each["quote"] is not None for each in listed["data"]) >= 5

        await until(are_quoted, limit_s=WAIT_S)
        assert listed["total_count"] == len(listed["data"])
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

        await until(is_listed, limit_s=WAIT_S)
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

        await until(are_listed, limit_s=WAIT_S)
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


async def test_candles_and_the_day_add_up_to_the_trades(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await funded(gateways)
        order = await trader.order(asset_id="XRP", quantity="12.5")
        assert order["status"] == "FILLED"
        found: Json = {}

        async def agree() -> bool:
            page = await told(gateways, "/markets/XRP-USD/trades", limit=100)
            assert page["next_cursor"] is None
            found["quantity"] = total([each["quantity"] for each in page["data"]])
            found["notional"] = total([each["notional"] for each in page["data"]])
            found["prices"] = [Decimal(each["price"]) for each in page["data"]]
            sums = {await volume(gateways, interval) for interval in ("1m", "5m", "1h", "1d")}
            return found["quantity"] > 0 and sums == {found["quantity"]}

        await until(agree, limit_s=WAIT_S)
        page = await told(gateways, "/markets/XRP-USD/candles", interval="1d", through=1)
        assert (page["symbol"], page["interval"], page["source"]) == ("XRP-USD", "1d", "trades")
        assert sum(each["count"] for each in page["data"]) == len(found["prices"])
        assert max(Decimal(each["high"]) for each in page["data"]) == max(found["prices"])
        assert min(Decimal(each["low"]) for each in page["data"]) == min(found["prices"])
        assert Decimal(page["data"][-1]["close"]) == found["prices"][0]
        assert not page["data"][-1]["complete"]
        day = (await told(gateways, "/markets/XRP-USD"))["data"]["last_24h"]
        assert Decimal(day["volume"]) == found["quantity"]
        assert Decimal(day["notional"]) == found["notional"]
        asset = (await told(gateways, "/inventory/assets/XRP"))["data"]
        assert Decimal(asset["total_volume_24h"]) == found["notional"]


async def volume(gateways: Gateways, interval: str) -> Decimal:
    """What the candles of the last two days say was traded."""
    page = await told(gateways, "/markets/XRP-USD/candles", interval=interval, limit=1_000)
    return total([each["volume"] for each in page["data"]])


async def test_a_feeds_candles_and_the_day_hold_its_last_price(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        for symbol, asset_id in (("BTC-USD", "BTC"), ("ETH-USD", "ETH")):
            await until_quoted(gateways, symbol)
            candles = (
                await told(gateways, f"/markets/{symbol}/candles", source="feed", interval="1d")
            )["data"]
            lows, highs = ([Decimal(e[side]) for e in candles] for side in ("low", "high"))
            market = (await told(gateways, f"/markets/{symbol}"))["data"]
            day = {name: Decimal(each) for name, each in market["last_24h"].items()}
            assert day["low"] <= day["last"] <= day["high"]
            assert day["last"] - day["open"] == day["change"]
            assert min(lows) >= day["low"]
            assert max(highs) <= day["high"]
            asset = (await told(gateways, f"/inventory/assets/{asset_id}"))["data"]
            assert Decimal(asset["low_24h"]) <= Decimal(asset["high_24h"])
            assert Decimal(asset["price_change_24h"]) <= day["high"] - day["low"]
            assert isinstance(asset["price_change_percentage_24h"], float)


async def test_candles_are_those_of_the_time_asked_for(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        path = "/markets/ETH-USD/candles"
        await until_quoted(gateways, "ETH-USD")
        newest = (await told(gateways, path, source="feed", limit=1))["data"]
        assert len(newest) == 1
        begun = newest[0]["time"]
        since = (await told(gateways, path, **{"source": "feed", "from": begun}))["data"]
        assert since[0]["time"] == begun
        past = {"source": "feed", "from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z"}
        assert (await told(gateways, path, **past))["data"] == []


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

        await until(rest_both, limit_s=WAIT_S)
        await trader.ask("DELETE", f"/orders/{first['order_id']}")
        await until(rests_one, limit_s=WAIT_S)
        await trader.ask("DELETE", "/orders")
        await until(rests_none, limit_s=WAIT_S)


async def test_the_book_shows_the_house_and_is_sorted(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        book: Json = {}

        async def has_both_sides() -> bool:
            book.update((await told(gateways, "/markets/ETH-USD/book"))["data"])
            return all(any(e["house"] for e in book[side]) for side in ("bids", "asks"))

        await until(has_both_sides, limit_s=WAIT_S)
        bids, asks = ([Decimal(e["price"]) for e in book[side]] for side in ("bids", "asks"))
        assert bids == sorted(bids, reverse=True)
        assert asks == sorted(asks)
        assert bids[0] < asks[0]
        shallow = (await told(gateways, "/markets/ETH-USD/book", depth=1))["data"]
        assert [len(shallow[side]) for side in ("bids", "asks")] == [1, 1]


async def test_what_cannot_be_asked_is_a_problem(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        for tail in ("", "/trades", "/book", "/candles"):
            await refused(gateways, f"/markets/NOPE-USD{tail}", "not-found", 404)
            await refused(gateways, f"/markets/b_c{tail}", "validation-failed", 422)
        for query in (
            *("trades?limit=0", "trades?limit=101", "trades?cursor=x", "book?depth=101"),
            *("candles?interval=2m", "candles?source=x", "candles?limit=1001", "candles?from=x"),
            "candles?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
        ):
            await refused(gateways, f"/markets/BTC-USD/{query}", "validation-failed", 422)


async def refused(gateways: Gateways, path: str, code: str, status: int) -> None:
    answer = await gateways.send("GET", path)
    assert answer.status_code == status, path
    check_problem(answer, code)
