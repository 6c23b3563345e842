"""One market: its rules, its quote and its resting orders in price-time priority."""

from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
from sortedcontainers import SortedDict

from consumers.markets.stops import StopOrder, Stops
from schemas.accounts import BUY, SELL, SelfTradePrevention, Side, TimeInForce
from schemas.candles import Candle
from schemas.markets import Quote, Rules


class Resting(msgspec.Struct, kw_only=True, gc=False):
    """An order in the book; `leaves_e8` is what of its quantity is still open.

    From log time `expires_at_ms` on it is over, though it may lie here until a tick ends it.
    """

    order_id: str
    account_id: str
    side: Side
    price_e8: int
    quantity_e8: int
    leaves_e8: int
    time_in_force: TimeInForce
    expires_at_ms: int | None = None
    post_only: bool = False
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST

    @property
    def cum_quantity_e8(self) -> int:
        """What has traded so far (FIX 14)."""
        return self.quantity_e8 - self.leaves_e8

    def is_over(self, now_ms: int) -> bool:
        """Whether its time has come at log time `now_ms`."""
        return self.expires_at_ms is not None and self.expires_at_ms <= now_ms


Queue = OrderedDict[str, Resting]
"""The orders of one price in order of arrival.

An OrderedDict finds its head, adds and removes anywhere in O(1); the head of a plain dict hides
behind everything that was deleted before it.
"""


class Ladder:
    """One side of a book: price levels with the best first.

    A SortedDict keeps a few thousand levels sorted in flat lists, so that the best level, a new
    one and an emptied one all cost about a microsecond. Its keys are ranks: the price for asks,
    the negated price for bids, so the lowest rank is the best on either side.
    """

    __slots__ = ("levels", "sign")

    def __init__(self, side: Side) -> None:
        self.sign = -1 if side is BUY else 1
        self.levels: MutableMapping[int, Queue] = SortedDict()

    def rank(self, price_e8: int) -> int:
        """Where a price stands on this side; lower is better."""
        return self.sign * price_e8

    def add(self, order: Resting) -> None:
        """Put an order last at its price."""
        rank = self.sign * order.price_e8
        queue = self.levels.get(rank)
        if queue is None:
            queue = self.levels[rank] = OrderedDict()
        queue[order.order_id] = order

    def remove(self, order: Resting) -> None:
        """Take an order out, and its level with the last of them."""
        rank = self.sign * order.price_e8
        queue = self.levels[rank]
        del queue[order.order_id]
        if not queue:
            del self.levels[rank]

    def begins_beyond(self, rank_max: int) -> bool:
        """Whether there are orders, and the best of them ranks behind `rank_max`."""
        for best in self.levels:
            return best > rank_max
        return False

    def __iter__(self) -> Iterator[Resting]:
        """Orders in priority: best price first, then first come."""
        for rank in self.levels:
            yield from self.levels[rank].values()


class Expiries:
    """The orders that end by themselves, by time and then id, so that a restored book agrees."""

    __slots__ = ("_due",)

    def __init__(self) -> None:
        self._due: MutableMapping[tuple[int, str], None] = SortedDict()

    def add(self, expires_at_ms: int, order_id: str) -> None:
        """Note when an order ends."""
        self._due[expires_at_ms, order_id] = None

    def remove(self, expires_at_ms: int, order_id: str) -> None:
        """Forget an order that left."""
        del self._due[expires_at_ms, order_id]

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """All of them, as (time, order id)."""
        return iter(self._due)

    def due(self, now_ms: int) -> Iterator[str]:
        """The ids of those that are over at log time `now_ms`, first ended first."""
        for expires_at_ms, order_id in self._due:
            if expires_at_ms > now_ms:
                return
            yield order_id


class Collar(NamedTuple):
    """The last price that accounts were told, and when (log time)."""

    last_e8: int
    time_ms: int


class Series(msgspec.Struct, frozen=True, gc=False):
    """Candles of one source: the minute so far, and longer intervals up to the minute before."""

    minute: Candle
    longer: tuple[Candle, ...] = ()


@dataclass(slots=True)
class Book:
    """A market's whole state; one without rules is only a name that was asked for.

    `house_e8` is what the house still offers of the current quote: to buy at its bid (BUY) and
    to sell at its ask (SELL). `sequences` holds the last sequence of each feed, `series` the
    candles of each feed and of the trades. `last_e8` is the price of the last trade, or what a
    feed said later.
    """

    symbol: str
    asset: str = ""
    rules: Rules | None = None
    is_open: bool = False
    quote: Quote | None = None
    house_e8: dict[Side, int] = field(default_factory=lambda: {BUY: 0, SELL: 0})
    collar: Collar | None = None
    sequences: dict[str, int] = field(default_factory=dict[str, int])
    series: dict[str, Series] = field(default_factory=dict[str, Series])
    ladders: dict[Side, Ladder] = field(
        default_factory=lambda: {BUY: Ladder(BUY), SELL: Ladder(SELL)}
    )
    orders: dict[str, Resting] = field(default_factory=dict[str, Resting])
    expiries: Expiries = field(default_factory=Expiries)
    stops: Stops = field(default_factory=Stops)
    last_e8: int | None = None

    def add(self, order: Resting) -> None:
        """Rest an order, which may have been a stop until now."""
        if self.stops.orders:
            self._remove_stop(order.order_id)
        self.orders[order.order_id] = order
        self.ladders[order.side].add(order)
        if order.expires_at_ms is not None:
            self.expiries.add(order.expires_at_ms, order.order_id)

    def remove(self, order_id: str) -> None:
        """Take an order or a stop out of the book, if it is there."""
        order = self.orders.pop(order_id, None)
        if order is None:
            self._remove_stop(order_id)
            return
        self.ladders[order.side].remove(order)
        if order.expires_at_ms is not None:
            self.expiries.remove(order.expires_at_ms, order_id)

    def find(self, order_id: str) -> Resting | StopOrder | None:
        """An open order, at rest or a stop."""
        return self.orders.get(order_id) or self.stops.orders.get(order_id)

    def arm(self, stop: StopOrder) -> None:
        """Let a stop wait for its price, for the first time or again."""
        if self.stops.remove(stop.order_id) is None and stop.order.expires_at_ms is not None:
            self.expiries.add(stop.order.expires_at_ms, stop.order_id)
        self.stops.add(stop)

    def _remove_stop(self, order_id: str) -> None:
        stop = self.stops.remove(order_id)
        if stop is not None and stop.order.expires_at_ms is not None:
            self.expiries.remove(stop.order.expires_at_ms, order_id)
