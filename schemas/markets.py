"""Messages of markets: listings, quotes, the order book, trades.

Amounts, prices and quantities are integers of 1e-8 units (`*_e8`), times milliseconds.
The entity of every event but `ClockTicked` is its symbol.
"""

from typing import Annotated, ClassVar, Final

import msgspec

from schemas.accounts import (
    EndReason,
    OrderType,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from schemas.candles import Candle
from schemas.codec import Codec, Message

Symbol = Annotated[str, msgspec.Meta(pattern=r"^[A-Z0-9]{1,10}-[A-Z]{3,5}$")]
"""A market's name; bounded, because every name that was ever used becomes an entity."""
TRADES: Final = "trades"
"""The series of the prices at which was traded."""


class Rules(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a market asks of orders; fee rates and the collar are parts per million."""

    tick_e8: int
    lot_e8: int
    min_notional_e8: int
    collar_ppm: int = 10_000
    stale_after_ms: int = 5_000
    maker_fee_ppm: int = 0
    taker_fee_ppm: int = 0


class Quote(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Best bid and ask of a feed with the sizes the house offers there; `time_ms` is broker time.

    `feed_time_ms` is the feed's own clock, for people only.
    """

    feed_id: str
    sequence: int
    bid_e8: int
    bid_size_e8: int
    ask_e8: int
    ask_size_e8: int
    last_e8: int
    time_ms: int = 0
    feed_time_ms: int = 0
    simulated: bool = False


def feed_series(feed_id: str) -> str:
    """The series of a feed's last prices."""
    return f"feed:{feed_id}"


class Party(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One side of a trade; `order_id` is absent for the house, totals are the order's after it."""

    account_id: str
    side: Side
    order_id: str | None = None
    cum_quantity_e8: int = 0
    leaves_e8: int = 0


# --- commands ----------------------------------------------------------------------------------


class ListMarket(Message):
    """Open a market, or change its rules; with `unless_listed` a listed one stays as it is."""

    TYPE: ClassVar[str] = "markets.list-market.v1"
    symbol: Symbol
    asset: str
    rules: Rules
    unless_listed: bool = False


class HaltMarket(Message):
    """Stop matching; cancels still work."""

    TYPE: ClassVar[str] = "markets.halt-market.v1"
    OPERATORS_ONLY: ClassVar[bool] = True
    symbol: Symbol


class ResumeMarket(Message):
    """Match again."""

    TYPE: ClassVar[str] = "markets.resume-market.v1"
    OPERATORS_ONLY: ClassVar[bool] = True
    symbol: Symbol


class UpdateQuote(Message):
    """A feed's best bid and ask; an older sequence of the same feed is dropped."""

    TYPE: ClassVar[str] = "markets.update-quote.v1"
    symbol: Symbol
    quote: Quote


class SubmitOrder(Message):
    """Fact from accounts: match this order, which was locked at `protection_price_e8`.

    Broker time `deadline_ms`, where given, is when it must have been in the book; from
    `expires_at_ms` on, where given, it is over. A `post_only` order ends rather than take. One with
    a `stop_price_e8` waits until the last price reaches that.
    """

    TYPE: ClassVar[str] = "markets.submit-order.v1"
    symbol: str
    account_id: str
    order_id: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity_e8: int
    price_e8: int | None
    protection_price_e8: int
    deadline_ms: int | None = None
    expires_at_ms: int | None = None
    post_only: bool = False
    stop_price_e8: int | None = None
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST


class CancelRestingOrder(Message):
    """Fact from accounts: take the order out of the book, or say why not."""

    TYPE: ClassVar[str] = "markets.cancel-resting-order.v1"
    symbol: str
    account_id: str
    order_id: str


class ReplaceRestingOrder(Message):
    """Fact from accounts: give the order this quantity and limit, or say why not.

    It keeps its priority when only the quantity falls; otherwise it comes anew and may trade. A
    `stop_price_e8`, where it changes, comes with the protection price that the lock was computed
    from.
    """

    TYPE: ClassVar[str] = "markets.replace-resting-order.v1"
    symbol: str
    account_id: str
    order_id: str
    quantity_e8: int
    price_e8: int | None
    stop_price_e8: int | None = None
    protection_price_e8: int | None = None


class ActivateStop(Message):
    """Fact from markets itself: let the triggered stop into the book, if it is still there."""

    TYPE: ClassVar[str] = "markets.activate-stop.v1"
    symbol: str
    order_id: str


class TriggerStops(Message):
    """Fact from markets itself: go on with the stops that last prices of that range reach.

    Those that came later than number `until_number` are left alone.
    """

    TYPE: ClassVar[str] = "markets.trigger-stops.v1"
    symbol: str
    low_e8: int
    high_e8: int
    until_number: int


class TickClock(Message):
    """The clock reached every partition: time for expiries."""

    TYPE: ClassVar[str] = "markets.tick-clock.v1"


# --- events ------------------------------------------------------------------------------------


class MarketListed(Message):
    """The market is open under these rules."""

    TYPE: ClassVar[str] = "markets.market-listed.v1"
    symbol: str
    asset: str
    rules: Rules
    is_open: bool


class MarketHalted(Message):
    """Matching stopped."""

    TYPE: ClassVar[str] = "markets.market-halted.v1"
    symbol: str
    asset: str
    rules: Rules


class MarketResumed(Message):
    """Matching goes on."""

    TYPE: ClassVar[str] = "markets.market-resumed.v1"
    symbol: str
    asset: str
    rules: Rules


class QuoteUpdated(Message):
    """The house quotes anew.

    `minute` is the candle of the feed's last prices with this one; `closed` are those that it
    closed, up to the minute before: the minute itself and each longer interval so far.
    """

    TYPE: ClassVar[str] = "markets.quote-updated.v1"
    symbol: str
    quote: Quote
    minute: Candle | None = None
    closed: tuple[Candle, ...] = ()

    @property
    def series(self) -> str:
        """Each feed has candles of its own, so that prices of different feeds never mix."""
        return feed_series(self.quote.feed_id)


class CollarMoved(Message):
    """The band for market orders, for every accounts partition."""

    TYPE: ClassVar[str] = "markets.collar-moved.v1"
    symbol: str
    last_e8: int
    low_e8: int
    high_e8: int


class TradeExecuted(Message):
    """Two parties traded; `notional_e8` is rounded down once and both legs use it.

    `minute` and `closed` are candles of the market's trades as `QuoteUpdated` has of a feed's.
    """

    TYPE: ClassVar[str] = "markets.trade-executed.v1"
    symbol: str
    asset: str
    trade_id: str
    price_e8: int
    quantity_e8: int
    notional_e8: int
    maker: Party
    taker: Party
    minute: Candle | None = None
    closed: tuple[Candle, ...] = ()

    @property
    def series(self) -> str:
        """All trades of a market draw one series."""
        return TRADES


class OrderRested(Message):
    """What is left of a limit order rests in the book at its price."""

    TYPE: ClassVar[str] = "markets.order-rested.v1"
    symbol: str
    account_id: str
    order_id: str
    side: Side
    price_e8: int
    quantity_e8: int
    leaves_e8: int
    time_in_force: TimeInForce
    expires_at_ms: int | None = None
    post_only: bool = False
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST


class StopArmed(Message):
    """A stop order waits for the last price, unseen; `number` counts the market's stops."""

    TYPE: ClassVar[str] = "markets.stop-armed.v1"
    symbol: str
    number: int
    order: SubmitOrder


class StopsTriggered(Message):
    """Last prices from `low_e8` to `high_e8` reached these stops; each now comes to the book.

    Buys come first, by rising stop price, then sells, by falling. `next` goes on with more.
    """

    TYPE: ClassVar[str] = "markets.stops-triggered.v1"
    symbol: str
    low_e8: int
    high_e8: int
    order_ids: tuple[str, ...]
    next: TriggerStops | None = None


class OrderEnded(Message):
    """The order left the market for good.

    `answers_cause` is false where another's order or a quote ended it: whoever waits for the
    cause then waits for something else.
    """

    TYPE: ClassVar[str] = "markets.order-ended.v1"
    symbol: str
    account_id: str
    order_id: str
    end: EndReason
    cum_quantity_e8: int
    reason: Reason | None = None
    answers_cause: bool = True


class OrderReplaced(Message):
    """The order has a new quantity and limit, or a stop another stop price.

    One that `keeps_priority` stays where it is with `leaves_e8`; any other left the book, and the
    events after this one say what it traded and where it rests or why it ended.
    """

    TYPE: ClassVar[str] = "markets.order-replaced.v1"
    symbol: str
    account_id: str
    order_id: str
    quantity_e8: int
    leaves_e8: int
    price_e8: int | None
    keeps_priority: bool
    stop_price_e8: int | None = None


class ReplaceRefused(Message):
    """The order is as it was, or no longer in the book."""

    TYPE: ClassVar[str] = "markets.replace-refused.v1"
    symbol: str
    account_id: str
    order_id: str
    reason: Reason


class CancelRefused(Message):
    """Nothing to cancel: the order is not in the book."""

    TYPE: ClassVar[str] = "markets.cancel-refused.v1"
    symbol: str
    account_id: str
    order_id: str
    reason: Reason


class CommandRefused(Message):
    """A quote, listing or halt was refused and changed nothing (`stale-sequence`, …)."""

    TYPE: ClassVar[str] = "markets.command-refused.v1"
    symbol: str
    command: str
    reason: str


class ClockTicked(Message):
    """The clock passed and nothing fell due; its entity is `clock`."""

    TYPE: ClassVar[str] = "markets.clock-ticked.v1"


COMMANDS: Final = Codec(
    ListMarket,
    HaltMarket,
    ResumeMarket,
    UpdateQuote,
    SubmitOrder,
    CancelRestingOrder,
    ReplaceRestingOrder,
    ActivateStop,
    TriggerStops,
    TickClock,
)
EVENTS: Final = Codec(
    MarketListed,
    MarketHalted,
    MarketResumed,
    QuoteUpdated,
    CollarMoved,
    TradeExecuted,
    OrderRested,
    StopArmed,
    StopsTriggered,
    OrderEnded,
    OrderReplaced,
    CancelRefused,
    ReplaceRefused,
    CommandRefused,
    ClockTicked,
)
