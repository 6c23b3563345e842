"""The recorded markets, straight into the market and into a matcher too simple to be wrong."""

import csv
import gzip
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from importlib.resources import files
from itertools import count
from typing import Any

import pytest
from brute_force import HOUSE, NOTHING, BruteForce, Offer, Traded

from consumers.markets.context import MarketsContext
from read_models.markets import queries
from read_models.markets.projection import PROJECTION
from runtime.memory_table import MemoryTable
from schemas.accounts import EndReason, OrderType, Side, TimeInForce
from schemas.codec import Message
from schemas.envelope import Cause, Recorded
from schemas.markets import (
    CancelRestingOrder,
    ListMarket,
    OrderEnded,
    OrderRested,
    Party,
    Quote,
    ReplaceRestingOrder,
    Rules,
    SubmitOrder,
    TradeExecuted,
    UpdateQuote,
)
from schemas.money import E8
from schemas.topics import MARKETS_JOURNAL

RECORDED = files("producers").joinpath("market_data")
STALE_MS = 5_000
SIDES = {True: Side.BUY, False: Side.SELL}
LEVELS = 500
ORDER_MAX = Decimal(10_000)
"""In the XRP book, no order is larger: so levels are queues."""

Book = dict[bool, dict[Decimal, Decimal]]
"""Bids (True) and asks: sizes by price."""


class Both:
    """A market and its rows, and beside them the reference; each step goes to both."""

    def __init__(self, symbol: str, tick: str) -> None:
        self.symbol = symbol
        self.context = MarketsContext()
        self.state = self.context.empty()
        self.table = MemoryTable(PROJECTION.tables)
        self.reference = BruteForce(STALE_MS)
        self.fills: list[Traded] = []
        self.now_ms = 1
        self._offsets = count()
        self._quotes = count(1)
        rules = Rules(tick_e8=e8(Decimal(tick)), lot_e8=1, min_notional_e8=0)
        assert rules.stale_after_ms == STALE_MS
        self.handle(ListMarket(symbol=symbol, asset=symbol.removesuffix("-USD"), rules=rules))

    def handle(self, command: Message) -> list[Message]:
        """Decide, apply and project a command."""
        cause = Cause("markets.commands", 0, next(self._offsets), self.now_ms, "c")
        events = list(self.context.decide(self.state, command, cause))
        for n, event in enumerate(events):
            self.context.evolve(self.state, event, cause)
            place = (MARKETS_JOURNAL, 0, 1_000 * cause.offset + n)
            recorded = Recorded(*place, 1, event.TYPE, self.symbol, 1, cause)
            for change in PROJECTION.project(event, recorded):
                self.table.apply(change)
        return events

    def quote(self, row: dict[str, str]) -> None:
        """A recorded quote as the house's."""
        bid, ask = (
            Offer(HOUSE, is_buy, Decimal(row[side]), Decimal(row[f"{side}_size"]))
            for side, is_buy in (("bid", True), ("ask", False))
        )
        quote = Quote(
            feed_id="tape",
            sequence=next(self._quotes),
            bid_e8=e8(bid.price),
            bid_size_e8=e8(bid.leaves),
            ask_e8=e8(ask.price),
            ask_size_e8=e8(ask.leaves),
            last_e8=e8(bid.price),
        )
        events = self.handle(UpdateQuote(symbol=self.symbol, quote=quote))
        self._agree(self.reference.quote(bid, ask, now_ms=self.now_ms), events)

    def submit(self, name: str, price: Decimal, quantity: Decimal, **how: bool) -> None:
        """An order of an account of its own: `is_buy`, and `rests` (GTC) or not (IOC)."""
        order = Offer(name, how["is_buy"], price, quantity)
        command = SubmitOrder(
            symbol=self.symbol,
            account_id=f"owner of {name}",
            order_id=name,
            side=SIDES[order.is_buy],
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC if how["rests"] else TimeInForce.IOC,
            quantity_e8=e8(quantity),
            price_e8=e8(price),
            protection_price_e8=e8(price),
        )
        events = self.handle(command)
        trades = self.reference.submit(order, now_ms=self.now_ms, rests=how["rests"])
        self._agree(trades, events)
        _says_what_is_left(events[-1], order, rests=how["rests"])

    def shrink(self, price: Decimal, size: Decimal, *, is_buy: bool) -> None:
        """Take that much from a level, from its last orders."""
        there = [
            each for each in self.reference.resting if each.is_buy is is_buy and each.price == price
        ]
        while size:
            last = there.pop()
            less = min(size, last.leaves)
            size -= less
            if less == last.leaves:
                self._cancel(last)
            else:
                self._replace(last, last.leaves - less)

    def _cancel(self, order: Offer) -> None:
        owner = f"owner of {order.name}"
        self.handle(CancelRestingOrder(symbol=self.symbol, account_id=owner, order_id=order.name))
        self.reference.cancel(order.name)

    def _replace(self, order: Offer, leaves: Decimal) -> None:
        resting = self.state.books[self.symbol].orders[order.name]
        command = ReplaceRestingOrder(
            symbol=self.symbol,
            account_id=resting.account_id,
            order_id=order.name,
            quantity_e8=resting.cum_quantity_e8 + e8(leaves),
            price_e8=resting.price_e8,
        )
        self.handle(command)
        self.reference.shrink(order.name, leaves)

    def _agree(self, expected: Sequence[Traded], events: Sequence[Message]) -> None:
        trades = [each for each in events if isinstance(each, TradeExecuted)]
        assert [_traded(each) for each in trades] == expected
        self.fills += expected

    def orders_agree(self) -> None:
        """The same orders rest with the same quantities, in the same priority."""
        for is_buy, side in SIDES.items():
            ladder = self.state.books[self.symbol].ladders[side]
            theirs = [each for each in self.reference.resting if each.is_buy is is_buy]
            theirs.sort(key=lambda each: each.price, reverse=is_buy)
            assert [(each.order_id, each.leaves_e8) for each in ladder] == [
                (each.name, e8(each.leaves)) for each in theirs
            ]

    async def depth(self, *, is_buy: bool) -> list[tuple[Decimal, Decimal, int]]:
        """The levels as GET book sums them; the reference has the same."""
        levels = await queries.levels(self.table, self.symbol, SIDES[is_buy], depth=2 * LEVELS)
        found = [(units(each.price_e8), units(each.quantity_e8), each.orders) for each in levels]
        assert found == self.reference.depth(is_buy=is_buy)
        return found


def e8(number: Decimal) -> int:
    scaled = number * E8
    assert scaled == int(scaled)
    return int(scaled)


def units(number_e8: int) -> Decimal:
    return Decimal(number_e8) / E8


def _traded(trade: TradeExecuted) -> Traded:
    return Traded(
        _name(trade.maker),
        _name(trade.taker),
        units(trade.price_e8),
        units(trade.quantity_e8),
        units(trade.notional_e8),
    )


def _name(party: Party) -> str:
    return HOUSE if party.order_id is None else party.order_id


def _says_what_is_left(last: Message, order: Offer, *, rests: bool) -> None:
    assert isinstance(last, OrderEnded | OrderRested)
    assert last.order_id == order.name
    if isinstance(last, OrderRested):
        assert rests
        assert units(last.leaves_e8) == order.leaves
    else:
        assert last.end is (EndReason.EXPIRED if order.leaves else EndReason.FILLED)


def tape() -> list[tuple[int, dict[str, str]]]:
    """Trades and quotes by their time in ms; what the two streams say at once keeps its order."""
    rows: list[tuple[int, dict[str, str]]] = []
    for name in ("btc_usd_trades.csv", "btc_usd_quotes.csv"):
        with RECORDED.joinpath(name).open() as lines:
            rows += [(_ms(row["time"]), row) for row in csv.DictReader(lines)]
    return sorted(rows, key=lambda each: each[0])


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(
    ("rests_every", "fills_min"),
    [pytest.param(None, 900, id="all-ioc"), pytest.param(3, 1_400, id="every-third-rests")],
)
def test_every_fill_of_the_recorded_btc_tape_is_the_reference_matchers(
    rests_every: int | None, fills_min: int
) -> None:
    both = Both("BTC-USD", tick="0.01")
    trades_count = 0
    for now_ms, row in tape():
        both.now_ms = now_ms
        if "bid" in row:
            both.quote(row)
            continue
        trades_count += 1
        both.submit(
            row["trade_id"],
            Decimal(row["price"]),
            Decimal(row["quantity"]),
            is_buy=row["buyer_is_maker"] == "false",
            rests=bool(rests_every) and trades_count % rests_every == 0,
        )
    both.orders_agree()
    assert trades_count == 2_001
    assert len(both.fills) >= fills_min
    assert (rests_every is None) == all(HOUSE in each for each in both.fills)


def recorded_books() -> Iterator[Book]:
    """XRP's book after each message: the snapshot, then the deltas."""
    sides: Book = {True: {}, False: {}}
    for line in gzip.decompress(
        RECORDED.joinpath("xrp_usd_book.jsonl.gz").read_bytes()
    ).splitlines():
        changes: dict[str, Any] = json.loads(line)["data"]
        for is_buy, name in ((True, "b"), (False, "a")):
            changed = {Decimal(price): Decimal(size) for price, size in changes[name]}
            sizes = sides[is_buy] | changed
            sides[is_buy] = {price: size for price, size in sizes.items() if size}
        yield dict(sides)


def bring_to(both: Both, recorded: Book, names: Iterator[str]) -> None:
    """Cancel and replace what the book has too much of, then add what it lacks."""
    lacking: list[tuple[bool, Decimal, Decimal]] = []
    for is_buy, wanted in recorded.items():
        present = {price: size for price, size, _ in both.reference.depth(is_buy=is_buy)}
        for price in sorted({*present, *wanted}):
            more = wanted.get(price, NOTHING) - present.get(price, NOTHING)
            if more < 0:
                both.shrink(price, -more, is_buy=is_buy)
            elif more:
                lacking.append((is_buy, price, more))
    for is_buy, price, more in lacking:
        for size in _orders(more):
            both.submit(next(names), price, size, is_buy=is_buy, rests=True)


def _orders(size: Decimal) -> Iterator[Decimal]:
    while size:
        yield min(size, ORDER_MAX)
        size -= min(size, ORDER_MAX)


async def test_the_recorded_xrp_book_has_its_depth_and_fills_as_the_reference_does() -> None:
    both = Both("XRP-USD", tick="0.0001")
    names = (f"x{n}" for n in count())
    books = list(recorded_books())
    assert len(books) == 50
    for step, recorded in enumerate(books):
        bring_to(both, recorded, names)
        for is_buy, wanted in recorded.items():
            found = await both.depth(is_buy=is_buy)
            assert [each[:2] for each in found] == sorted(wanted.items(), reverse=is_buy)
            assert step or len(found) == LEVELS
        both.orders_agree()
        for is_buy, wanted in recorded.items():
            share = Decimal(step % 10 + 1) / 40
            quantity = (sum(wanted.values(), NOTHING) * share).to_integral_value()
            limit = min(wanted) if is_buy else max(wanted)
            both.submit(next(names), limit, quantity, is_buy=not is_buy, rests=False)
    both.orders_agree()
    assert len(both.fills) >= 15_000
