"""Every point of an equity curve is the portfolio as of its time."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgi import Gateway, running_gateway
from journals import MARKETS, START_MS, History

from consumers.markets.context import MarketsContext
from gateway import statement
from read_models.activity.projection import PROJECTION as ACTIVITY
from read_models.markets.projection import PROJECTION as PRICES
from read_models.orders.projection import PROJECTION as ORDERS
from read_models.portfolio.projection import PROJECTION as PORTFOLIO
from runtime.memory_table import MemoryTable
from runtime.projector import Projector
from schemas.accounts import OrderType, PlaceOrder, PriceCollar, Side
from schemas.codec import Message
from schemas.envelope import Cause, Recorded, rfc3339
from schemas.markets import ListMarket, Quote, Rules, UpdateQuote
from schemas.money import E8
from schemas.topics import ACCOUNTS_JOURNAL, MARKETS_JOURNAL

Json = dict[str, Any]
MINUTE_MS = 60_000
HALF = 150
"""After this many steps the market of BTC gets another feed."""


class Days(History):
    """A history in which hours pass, with the feed that its markets had; nobody quotes XRP."""

    def __init__(self, table: MemoryTable, seed: int) -> None:
        self._table = table
        self._context = MarketsContext()
        self._markets = self._context.empty()
        self._sequence = 0
        super().__init__(seed, accounts=1, fee_ppm=700)
        self.list_market("XRP")
        rules = Rules(tick_e8=E8, lot_e8=E8, min_notional_e8=E8, stale_after_ms=5_000)
        self._tell(ListMarket(symbol="BTC-USD", asset="BTC", rules=rules))

    def say(self, message: Message, **rest: Any) -> Any:
        self.time_ms += self.random.choice((0, 900, 70_000, 400_000))
        return super().say(message, **rest)

    def live(self, steps: int) -> "Days":
        for n in range(steps):
            if self.random.random() < 0.6:
                self._quote("b" if n < HALF else "a")
            super().live(1)
        return self

    def _quote(self, feed_id: str) -> None:
        price_e8 = self.random.randrange(95, 106) * E8
        collar = PriceCollar(symbol="BTC-USD", last_e8=100 * E8, low_e8=90 * E8, high_e8=110 * E8)
        self.say(collar, source=MARKETS)
        self._sequence += 1
        quote = Quote(
            feed_id=feed_id,
            sequence=self._sequence,
            bid_e8=price_e8 - E8,
            bid_size_e8=E8,
            ask_e8=price_e8 + E8,
            ask_size_e8=E8,
            last_e8=price_e8,
        )
        self._tell(UpdateQuote(symbol="BTC-USD", quote=quote))

    def _tell(self, command: Message) -> None:
        cause = Cause("markets.commands", 0, self._sequence, self.time_ms, f"q{self._sequence}")
        for event in self._context.decide(self._markets, command, cause):
            self._context.evolve(self._markets, event, cause)
            place = (MARKETS_JOURNAL, 0, self._sequence, 1, event.TYPE, "BTC-USD", 1, cause)
            for change in PRICES.project(event, Recorded(*place)):
                self._table.apply(change)


@pytest.fixture
async def table() -> MemoryTable:
    models = (ACTIVITY, ORDERS, PORTFOLIO, PRICES)
    return MemoryTable([spec for each in models for spec in each.tables])


@pytest.fixture
async def history(table: MemoryTable) -> Days:
    days = Days(table, 3).live(2 * HALF)
    projector = Projector((ACTIVITY, ORDERS, PORTFOLIO), ACCOUNTS_JOURNAL, 0, table)
    await projector.step(days.records, now_s=0)
    return days


@pytest.fixture
async def gateway(table: MemoryTable, history: Days) -> AsyncIterator[Gateway]:
    async with running_gateway(table, history.accounts[0]) as gateway:
        gateway.now_ms = history.time_ms
        yield gateway


async def ask(gateway: Gateway, path: str) -> Json:
    answer = await gateway.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def portfolio_at(gateway: Gateway, moment: str) -> Json:
    """The portfolio as a point of the curve shows it."""
    shown = await ask(gateway, f"/portfolio?as_of={moment}")
    is_priced = all(each["current_price"] is not None for each in shown["assets"])
    held = {each["asset_id"] for each in shown["assets"]}
    times = [time for asset, time in shown["price_times"].items() if asset in held]
    return {
        "time": moment,
        "cash": shown["cash"],
        "cost_basis": shown["total_cost_basis"],
        "realized_pl": shown["total_realized_pl"],
        "market_value": shown["total_market_value"] if is_priced else None,
        "unrealized_pl": shown["total_unrealized_pl"] if is_priced else None,
        "equity": shown["equity"] if is_priced else None,
        "priced": bool(times),
    }


@pytest.mark.parametrize(("interval", "minutes"), [("1m", 1), ("5m", 5), ("1h", 60)])
async def test_each_point_is_the_portfolio_as_of_then(
    gateway: Gateway, history: Days, interval: str, minutes: int
) -> None:
    width_ms = 25 * minutes * MINUTE_MS
    for start_ms in (START_MS - 10 * MINUTE_MS, history.time_ms - width_ms):
        until = rfc3339(start_ms + width_ms)
        path = f"/account/equity?interval={interval}&from={rfc3339(start_ms)}&to={until}"
        points = (await ask(gateway, path))["data"]
        assert len(points) >= 20
        for point in points:
            priced_at = point.pop("priced_at")
            assert priced_at is None or priced_at <= point["time"]
            point["priced"] = priced_at is not None
            assert point == await portfolio_at(gateway, point["time"])
    equities = [each["equity"] for each in points]
    assert len(set(equities) - {None}) > 2


async def test_the_prices_of_another_feed_do_not_count(gateway: Gateway) -> None:
    path = f"/account/equity?interval=1h&from={rfc3339(START_MS)}"
    points = (await ask(gateway, path))["data"]
    unpriced = [each for each in points if each["equity"] is None]
    assert unpriced
    assert all(each["priced_at"] is None for each in unpriced)
    assert points[-1]["equity"] is not None


async def test_what_has_no_price_leaves_the_equity_open(
    table: MemoryTable, gateway: Gateway, history: Days
) -> None:
    (account,) = history.accounts
    start = len(history.records)
    history.time_ms += MINUTE_MS
    collar = PriceCollar(symbol="XRP-USD", last_e8=100 * E8, low_e8=90 * E8, high_e8=110 * E8)
    history.say(collar, source=MARKETS)
    buy = PlaceOrder(
        account_id=account,
        asset="XRP",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity_e8=E8 // 10,
        price_e8=100 * E8,
    )
    history.fill(account, history.say(buy).order.order_id)
    projector = Projector((ACTIVITY, ORDERS, PORTFOLIO), ACCOUNTS_JOURNAL, 0, table)
    await projector.step((), now_s=0)
    await projector.step(history.records[start:], now_s=0)
    gateway.now_ms = history.time_ms + MINUTE_MS
    points = (await ask(gateway, "/account/equity?interval=1m"))["data"]
    assert len(points) == 100
    assert points[-1]["equity"] is points[-1]["market_value"] is None
    assert points[-1]["cash"] is not None
    assert points[0]["equity"] is not None


async def test_a_curve_is_bounded(
    gateway: Gateway, history: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = rfc3339(history.time_ms - 1_100 * MINUTE_MS)
    for query in (
        f"interval=1m&from={first}",
        "from=1970-01-01T00:00:00Z",
        "interval=2m",
        "from=yesterday",
        "from=2030-01-02T00:00:00Z&to=2030-01-01T00:00:00Z",
    ):
        answer = await gateway.get(f"/account/equity?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, "validation-failed")
    later = await ask(gateway, "/account/equity?from=2030-01-01T00:00:00Z")
    assert later["data"] == []
    monkeypatch.setattr("gateway.equity.MOVEMENTS_MAX", 10)
    answer = await gateway.get("/account/equity?interval=1h")
    assert answer.json()["code"] == "statement-too-long"
    assert statement.MOVEMENTS_MAX == 10_000
