"""Trades, candles and books as rows, against what the real decider did and holds."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from consumers.markets.context import MarketsContext
from consumers.markets.state import Markets
from read_models.markets import queries
from read_models.markets.depth import ORDERS_MAX, Level
from read_models.markets.projection import PROJECTION
from read_models.markets.table import RESTING, TRADES, Trade
from runtime.memory_table import MemoryTable
from runtime.table import Put, Row
from schemas.accounts import OrderType, Side, TimeInForce
from schemas.candles import Candle
from schemas.codec import Message
from schemas.envelope import Cause, Recorded
from schemas.markets import (
    CancelRestingOrder,
    ListMarket,
    OrderEnded,
    OrderReplaced,
    OrderRested,
    Quote,
    QuoteUpdated,
    ReplaceRestingOrder,
    Rules,
    SubmitOrder,
    TickClock,
    TradeExecuted,
    UpdateQuote,
)
from schemas.money import E8
from schemas.topics import MARKETS_JOURNAL

SYMBOL = "BTC-USD"
RULES = Rules(tick_e8=E8, lot_e8=E8, min_notional_e8=E8, stale_after_ms=5_000)
START_MS = 1_700_000_000_000

PRICES = st.integers(99, 101)
QUANTITIES = st.integers(1, 5)
ORDERS = st.tuples(
    st.just("order"),
    st.sampled_from(Side),
    PRICES,
    QUANTITIES,
    st.sampled_from([*TimeInForce, *[TimeInForce.GTC] * 5]),
    st.sampled_from(["alice", "bob", "carol"]),
    st.sampled_from([False, False, False, True]),
)
REPLACES = st.tuples(st.just("replace"), st.integers(0, 99), PRICES, QUANTITIES)
CANCELS = st.tuples(st.just("cancel"), st.integers(0, 99))
QUOTES = st.tuples(st.just("quote"), PRICES, st.integers(0, 3), st.sampled_from(["a", "b"]))
PAUSES = st.tuples(st.just("pause"), st.sampled_from([1, 900, 20_000, 61_000, 400_000, 4_000_000]))
HISTORIES = st.lists(
    st.one_of(ORDERS, ORDERS, ORDERS, REPLACES, CANCELS, QUOTES, QUOTES, PAUSES, PAUSES),
    max_size=60,
)


@dataclass
class Market:
    """One market of the real decider, with its rows beside it."""

    table: MemoryTable = field(default_factory=lambda: MemoryTable(PROJECTION.tables))
    context: MarketsContext = field(default_factory=MarketsContext)
    state: Markets = field(default_factory=Markets)
    events: list[tuple[Message, int, int]] = field(default_factory=list[Any])
    """Each with its time and its offset in the journal."""
    now_ms: int = START_MS
    commands_count: int = 0

    def handle(self, command: Message) -> None:
        """Decide a command and project its events."""
        self.commands_count += 1
        n = self.commands_count
        cause = Cause("markets.commands", 0, n, self.now_ms, f"c{n}")
        for event in self.context.decide(self.state, command, cause):
            self.context.evolve(self.state, event, cause)
            offset = 3 * len(self.events)  # claims and other markets lie between
            self.events.append((event, self.now_ms, offset))
            recorded = Recorded(MARKETS_JOURNAL, 0, offset, 1, event.TYPE, SYMBOL, 1, cause)
            if event.TYPE in PROJECTION.concerns:
                for change in PROJECTION.project(event, recorded):
                    self.table.apply(change)

    def act(self, step: tuple[Any, ...]) -> None:
        """One step of a history."""
        match step:
            case ("order", side, price, quantity, time_in_force, account_id, post_only):
                self.submit(side, price, quantity, time_in_force, account_id, post_only=post_only)
            case ("quote", middle, size, feed_id):
                self.quote(middle, size, feed_id=feed_id)
            case ("pause", pause_ms):
                self.now_ms += pause_ms
                self.handle(TickClock())
            case ("cancel", n) if order := self.resting(n):
                command = CancelRestingOrder(
                    symbol=SYMBOL, account_id=order.account_id, order_id=order.order_id
                )
                self.handle(command)
            case ("replace", n, price, quantity) if order := self.resting(n):
                command = ReplaceRestingOrder(
                    symbol=SYMBOL,
                    account_id=order.account_id,
                    order_id=order.order_id,
                    quantity_e8=quantity * E8,
                    price_e8=price * E8,
                )
                self.handle(command)
            case _:
                pass

    def resting(self, n: int) -> Any:
        """One of the resting orders, by any number."""
        orders = list(self.state.book(SYMBOL).orders.values())
        return orders[n % len(orders)] if orders else None

    def open(self) -> None:
        """List the market."""
        self.handle(ListMarket(symbol=SYMBOL, asset="BTC", rules=RULES))

    def submit(  # noqa: PLR0913  # an order has so many parts
        self,
        side: Side,
        price: int,
        quantity: int,
        time_in_force: TimeInForce = TimeInForce.GTC,
        account_id: str = "alice",
        *,
        post_only: bool = False,
    ) -> None:
        """Submit a limit order."""
        expires = time_in_force in (TimeInForce.DAY, TimeInForce.GTD)
        command = SubmitOrder(
            symbol=SYMBOL,
            account_id=account_id,
            order_id=f"o{self.commands_count}",
            side=side,
            order_type=OrderType.LIMIT,
            time_in_force=time_in_force,
            quantity_e8=quantity * E8,
            price_e8=price * E8,
            protection_price_e8=price * E8,
            expires_at_ms=self.now_ms + 10_000 if expires else None,
            post_only=post_only,
        )
        self.handle(command)

    def quote(self, middle: int, size: int = 0, *, feed_id: str = "a") -> None:
        """Quote one beside the middle on each side."""
        quote = Quote(
            feed_id=feed_id,
            sequence=self.commands_count + 1,
            bid_e8=(middle - 1) * E8,
            bid_size_e8=size * E8,
            ask_e8=(middle + 1) * E8,
            ask_size_e8=size * E8,
            last_e8=middle * E8,
        )
        self.handle(UpdateQuote(symbol=SYMBOL, quote=quote))

    def trades(self) -> list[queries.TradeRow]:
        """What was traded, newest first."""
        return [
            queries.TradeRow(
                Trade(
                    trade_id=event.trade_id,
                    price_e8=event.price_e8,
                    quantity_e8=event.quantity_e8,
                    notional_e8=event.notional_e8,
                    taker_side=event.taker.side,
                ),
                time_ms,
                offset,
            )
            for event, time_ms, offset in self.events[::-1]
            if isinstance(event, TradeExecuted)
        ]

    def levels(self, side: Side) -> list[Level]:
        """What rests, by price, best first."""
        found: defaultdict[int, list[int]] = defaultdict(list)
        for order in self.state.book(SYMBOL).orders.values():
            if order.side is side:
                found[order.price_e8].append(order.leaves_e8)
        return [
            Level(price_e8, sum(found[price_e8]), len(found[price_e8]))
            for price_e8 in sorted(found, reverse=side is Side.BUY)
        ]


def lived(history: list[Any]) -> Market:
    market = Market()
    market.open()
    for step in history:
        market.act(step)
    return market


@given(HISTORIES)
async def test_the_rows_of_a_book_are_the_book(history: list[Any]) -> None:
    market = lived(history)
    for side in Side:
        found = await queries.levels(market.table, SYMBOL, side, depth=100)
        assert list(found) == market.levels(side)
    assert len(market.table.rows(RESTING.name)) == len(market.state.book(SYMBOL).orders)


@given(HISTORIES, st.integers(1, 7))
async def test_pages_list_every_trade_newest_first(history: list[Any], limit: int) -> None:
    market = lived(history)
    listed: list[queries.TradeRow] = []
    cursor: int | None = None
    while True:
        page = await queries.trades(market.table, SYMBOL, limit=limit, cursor=cursor)
        assert len(page.rows) <= limit
        listed += page.rows
        cursor = page.next_cursor
        if cursor is None:
            break
    assert listed == market.trades()


def test_rows_of_trades_and_orders_name_no_account() -> None:
    market = Market()
    market.open()
    market.submit(Side.SELL, 101, 3)
    market.submit(Side.BUY, 101, 1, account_id="bob")
    for table in (TRADES.name, RESTING.name):
        assert market.table.rows(table)
        assert "alice" not in repr(market.table.rows(table))
        assert "bob" not in repr(market.table.rows(table))


async def test_an_order_that_never_rested_costs_no_row() -> None:
    market = Market()
    market.open()
    market.submit(Side.BUY, 100, 1, TimeInForce.IOC)
    event, time_ms, offset = market.events[-1]
    assert isinstance(event, OrderEnded)
    cause = Cause("markets.commands", 0, 1, time_ms, "c1")
    recorded = Recorded(MARKETS_JOURNAL, 0, offset, 1, event.TYPE, SYMBOL, 1, cause)
    assert PROJECTION.project(event, recorded) == ()


async def test_an_order_that_lost_its_priority_is_out_of_the_book_until_it_rests_anew() -> None:
    market = Market()
    market.open()
    market.submit(Side.BUY, 99, 2)
    order = market.resting(0)
    event = OrderReplaced(
        symbol=SYMBOL,
        account_id=order.account_id,
        order_id=order.order_id,
        quantity_e8=3 * E8,
        leaves_e8=3 * E8,
        price_e8=98 * E8,
        keeps_priority=False,
    )
    cause = Cause("markets.commands", 0, 1, START_MS, "c1")
    recorded = Recorded(MARKETS_JOURNAL, 0, 99, 1, event.TYPE, SYMBOL, 1, cause)
    for change in PROJECTION.project(event, recorded):
        market.table.apply(change)
    assert await queries.levels(market.table, SYMBOL, Side.BUY, depth=2) == ()


async def test_levels_are_limited_by_depth_and_never_cut() -> None:
    market = Market()
    market.open()
    for n in range(600):
        market.submit(Side.SELL, 100 + n // 200, 1)
    assert await queries.levels(market.table, SYMBOL, Side.SELL, depth=2) == (
        Level(100 * E8, 200 * E8, 200),
        Level(101 * E8, 200 * E8, 200),
    )
    assert await queries.levels(market.table, SYMBOL, Side.BUY, depth=2) == ()


async def test_a_level_beyond_the_bound_is_left_out() -> None:
    table = MemoryTable(PROJECTION.tables)
    cause = Cause("markets.commands", 0, 1, START_MS, "c1")
    for n in range(ORDERS_MAX + 10):
        event = OrderRested(
            symbol=SYMBOL,
            account_id="alice",
            order_id=f"o{n}",
            side=Side.SELL,
            price_e8=(1 + (n >= 2)) * E8,
            quantity_e8=1,
            leaves_e8=1,
            time_in_force=TimeInForce.GTC,
        )
        recorded = Recorded(MARKETS_JOURNAL, 0, n, 1, event.TYPE, SYMBOL, 1, cause)
        for change in PROJECTION.project(event, recorded):
            table.apply(change)
    found = await queries.levels(table, SYMBOL, Side.SELL, depth=5)
    assert found == (Level(E8, 2, 2),)


SERIES = ["trades", "feed:a", "feed:b"]
INTERVALS_MS = [60_000, 300_000, 3_600_000, 86_400_000]


class Price(NamedTuple):
    """What was traded, or what a feed said."""

    time_ms: int
    price_e8: int
    quantity_e8: int = 0
    notional_e8: int = 0


def prices(market: Market, series: str) -> list[Price]:
    """All prices of a series; of a feed that no longer quotes, without its last minute."""
    found: list[Price] = []
    newest = "trades"
    for event, time_ms, _ in market.events:
        match event:
            case TradeExecuted() if series == "trades":
                traded = (event.price_e8, event.quantity_e8, event.notional_e8)
                found.append(Price(time_ms, *traded))
            case QuoteUpdated():
                newest = f"feed:{event.quote.feed_id}"
                if series == newest:
                    found.append(Price(time_ms, event.quote.last_e8))
            case _:
                pass
    if series in ("trades", newest):
        return found
    return [each for each in found if each.time_ms // 60_000 < found[-1].time_ms // 60_000]


def drawn(prices: list[Price], interval_ms: int) -> list[Candle]:
    """The candles of these prices, by the definition."""
    found: defaultdict[int, list[Price]] = defaultdict(list)
    for each in prices:
        found[each.time_ms // interval_ms * interval_ms].append(each)
    return [
        Candle(
            interval_ms=interval_ms,
            start_ms=start_ms,
            open_e8=told[0].price_e8,
            high_e8=max(each.price_e8 for each in told),
            low_e8=min(each.price_e8 for each in told),
            close_e8=told[-1].price_e8,
            quantity_e8=sum(each.quantity_e8 for each in told),
            notional_e8=sum(each.notional_e8 for each in told),
            count=len(told),
        )
        for start_ms, told in sorted(found.items())
    ]


async def shown(market: Market, series: str, interval_ms: int, **asked: int) -> list[Candle]:
    question = {"from_ms": 0, "until_ms": 2 * START_MS, "limit": 1_000} | asked
    found = await queries.candles(market.table, SYMBOL, series, interval_ms=interval_ms, **question)
    return list(found)


@given(HISTORIES)
async def test_candles_are_those_of_all_prices(history: list[Any]) -> None:
    market = lived(history)
    for series in SERIES:
        for interval_ms in INTERVALS_MS:
            expected = drawn(prices(market, series), interval_ms)
            assert await shown(market, series, interval_ms) == expected


@given(HISTORIES, st.sampled_from(INTERVALS_MS), st.integers(0, 200), st.integers(0, 200))
async def test_candles_are_the_newest_of_the_time_asked_for(
    history: list[Any], interval_ms: int, begin: int, minutes: int
) -> None:
    market = lived(history)
    from_ms = START_MS + begin * 60_000
    until_ms = from_ms + minutes * 60_000
    candles = drawn(prices(market, "trades"), interval_ms)
    expected = [each for each in candles if from_ms <= each.start_ms <= until_ms]
    for limit in (1, 3):
        found = await shown(
            market, "trades", interval_ms, from_ms=from_ms, until_ms=until_ms, limit=limit
        )
        assert found == expected[-limit:]


async def test_the_trades_of_a_sweep_are_all_in_its_candle() -> None:
    market = Market()
    market.open()
    for price in (100, 101, 102):
        market.submit(Side.SELL, price, 1)
    market.submit(Side.BUY, 102, 3, account_id="bob")
    (candle,) = await shown(market, "trades", 60_000)
    assert (candle.count, candle.quantity_e8) == (3, 3 * E8)
    assert (candle.open_e8, candle.high_e8, candle.close_e8) == (100 * E8, 102 * E8, 102 * E8)


async def test_a_minute_that_ends_while_candles_are_read_is_counted_once() -> None:
    market = Market()
    market.open()
    market.quote(100)
    market.now_ms += 60_000
    market.quote(101)

    class Passing(MemoryTable):
        """A minute ends between the two requests of a read."""

        async def get(self, table: str, key: Row) -> Row | None:
            row = await super().get(table, key)
            market.now_ms += 60_000
            market.quote(102)
            return row

    passing = Passing(PROJECTION.tables)
    for name in (each.name for each in PROJECTION.tables):
        for row in market.table.rows(name).values():
            passing.apply(Put(name, row))
    market.table = passing
    (candle,) = await shown(market, "feed:a", 3_600_000)
    assert (candle.count, candle.close_e8) == (2, 101 * E8)


async def test_an_hour_that_began_before_the_day_is_not_in_it_minute_or_not() -> None:
    hour_ms = 3_600_000
    market = Market(now_ms=START_MS // hour_ms * hour_ms + hour_ms // 2)
    market.open()
    begun_ms = market.now_ms // hour_ms * hour_ms
    market.quote(100)
    assert (await queries.day(market.table, SYMBOL, since_ms=begun_ms)).prices is not None
    assert (await queries.day(market.table, SYMBOL, since_ms=begun_ms + 1)).prices is None


@given(HISTORIES, st.integers(0, 90_000_000))
async def test_a_day_is_what_its_hours_saw(history: list[Any], later_ms: int) -> None:
    market = lived(history)
    since_ms = market.now_ms + later_ms - 86_400_000
    first_ms = -(-since_ms // 3_600_000) * 3_600_000  # of the first hour that begins in the day
    feeds = [
        f"feed:{event.quote.feed_id}"
        for event, *_ in market.events
        if isinstance(event, QuoteUpdated)
    ]
    day = await queries.day(market.table, SYMBOL, since_ms=since_ms)
    everybody = await queries.days(market.table, since_ms=since_ms)
    assert everybody.get(SYMBOL, queries.NOTHING) == day
    for series, found in (("trades", day.trades), (feeds[-1] if feeds else "", day.prices)):
        told = [each for each in prices(market, series) if series and each.time_ms >= first_ms]
        expected = drawn(told, 2 * START_MS)
        assert (found is None) == (not expected)
        for each in expected:
            assert found == replace(each, start_ms=found.start_ms, interval_ms=found.interval_ms)
