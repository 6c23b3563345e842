"""The reference's order book: lists, sorted anew whenever somebody looks for the best."""

from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from schemas.accounts import (
    ApplyExecution,
    EndReason,
    Liquidity,
    OrderType,
    Reason,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from schemas.markets import (
    CancelRestingOrder,
    Party,
    Quote,
    ReplaceRestingOrder,
    Rules,
    SubmitOrder,
    TradeExecuted,
)
from schemas.money import PPM
from simulation.reference.moment import ceil_div

if TYPE_CHECKING:
    from collections.abc import Sequence

FILLS_MAX: Final = 500
OVER_MAX: Final = 500
OTHER: Final = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}
_RESTS: Final = {TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD}

Why = Reason | None
"""Why an incoming order went no further; None when it filled."""


@dataclass(slots=True)
class Open:
    """An order in a market; `rank` sorts its side, best first; a stop has a number instead."""

    order: SubmitOrder
    left: int
    rank: tuple[int, int] = (0, 0)
    number: int = 0
    is_triggered: bool = False

    @property
    def traded(self) -> int:
        return self.order.quantity_e8 - self.left

    def is_over(self, now_ms: int) -> bool:
        return self.order.expires_at_ms is not None and now_ms >= self.order.expires_at_ms


@dataclass(slots=True)
class Book:
    """One market; `offers` is what the house still offers at its quote."""

    symbol: str
    asset: str
    rules: Rules
    is_open: bool
    quote: Quote | None = None
    offers: dict[Side, int] = field(default_factory=lambda: {Side.BUY: 0, Side.SELL: 0})
    collar: tuple[int, int] | None = None
    sequences: dict[str, int] = field(default_factory=dict[str, int])
    sides: dict[Side, list[Open]] = field(default_factory=lambda: {Side.BUY: [], Side.SELL: []})
    stops: dict[str, Open] = field(default_factory=dict[str, Open])
    arrivals: int = 0
    armed: int = 0
    last: int | None = None

    def find(self, order_id: str) -> Open | None:
        resting = (each for side in self.sides.values() for each in side)
        found = (each for each in resting if each.order.order_id == order_id)
        return next(found, None) or self.stops.get(order_id)

    def remove(self, order_id: str) -> None:
        self.stops.pop(order_id, None)
        for side, orders in self.sides.items():
            self.sides[side] = [each for each in orders if each.order.order_id != order_id]

    def house(self, side: Side, now_ms: int) -> tuple[int, int]:
        """Price and size of what the house offers; a stale quote offers nothing."""
        quote = self.quote
        if quote is None or now_ms - quote.time_ms > self.rules.stale_after_ms:
            return 0, 0
        return (quote.bid_e8 if side is Side.BUY else quote.ask_e8), self.offers[side]


@dataclass(slots=True)
class Met:
    """What an incoming order meets, and why that is not enough to fill it."""

    fills: list[tuple[Open | None, int, int]]
    over: list[Open]
    why: Why
    own: list[Open]
    """Those of the same account that make way."""

    @property
    def would_trade(self) -> bool:
        return bool(self.fills or self.own) or self.why is Reason.SELF_TRADE


def meet(book: Book, order: SubmitOrder, left: int, now_ms: int) -> Met:
    """Who is on the other side, best price first, then first come, at each price the house last."""
    side = OTHER[order.side]
    better_is = sign(order.side)
    is_market = order.order_type is OrderType.MARKET
    limit = order.protection_price_e8 if is_market else limit_of(order)
    price, size = book.house(side, now_ms)
    ahead: Sequence[Open | None] = sorted(book.sides[side], key=RANK)
    if size:
        better = [
            each for each in ahead if each and better_is * limit_of(each.order) <= better_is * price
        ]
        ahead = [*better, None, *ahead[len(better) :]]
    prevention = order.self_trade_prevention
    met = Met([], [], Reason.NO_LIQUIDITY, [])
    for each in ahead:
        if not left:
            break
        at_price = price if each is None else limit_of(each.order)
        if better_is * at_price > better_is * limit:
            met.why = Reason.COLLAR if is_market else Reason.NO_LIQUIDITY
            return met
        if len(met.fills) == FILLS_MAX or len(met.over + met.own) == OVER_MAX:
            met.why = Reason.FILL_LIMIT
            return met
        if each is not None and each.is_over(now_ms):
            met.over.append(each)
        elif each is not None and each.order.account_id == order.account_id:
            if prevention is not SelfTradePrevention.CANCEL_NEWEST:
                met.own.append(each)
            if prevention is not SelfTradePrevention.CANCEL_OLDEST:
                met.why = Reason.SELF_TRADE
                return met
        else:
            quantity = min(left, size if each is None else each.left)
            met.fills.append((each, at_price, quantity))
            left -= quantity
    met.why = Reason.NO_LIQUIDITY if left else None
    return met


RANK: Final = attrgetter("rank")


def sign(taking: Side) -> int:
    """Buyers want low prices first, sellers high ones."""
    return 1 if taking is Side.BUY else -1


def stop_rank(stop: Open) -> tuple[bool, int, int]:
    """Buys first by rising stop price, then sells by falling."""
    side, price = stop.order.side, stop.order.stop_price_e8 or 0
    return side is Side.SELL, sign(side) * price, stop.number


def is_reached(order: SubmitOrder, last: int) -> bool:
    stop = order.stop_price_e8 or 0
    return last >= stop if order.side is Side.BUY else last <= stop


def released(book: Book, order: SubmitOrder) -> SubmitOrder:
    """A sell at market locked no price, so it goes down to the collar of now if that is lower."""
    if order.order_type is OrderType.LIMIT or order.side is Side.BUY or book.last is None:
        return order
    low = min(order.protection_price_e8, low_edge(book, book.last))
    return replace(order, protection_price_e8=low)


def low_edge(book: Book, last: int) -> int:
    return ceil_div(last * (PPM - book.rules.collar_ppm), PPM)


def limit_of(order: SubmitOrder) -> int:
    assert order.price_e8 is not None
    return order.price_e8


def may_rest(order: SubmitOrder) -> bool:
    return order.order_type is OrderType.LIMIT and order.time_in_force in _RESTS


def end_of(why: Why) -> EndReason:
    return EndReason.CANCELED if why is Reason.SELF_TRADE else EndReason.EXPIRED


def who_of(asked: SubmitOrder | CancelRestingOrder | ReplaceRestingOrder) -> dict[str, Any]:
    return {"account_id": asked.account_id, "order_id": asked.order_id}


def party_of(order: SubmitOrder, traded: int) -> Party:
    return Party(
        **who_of(order),
        side=order.side,
        cum_quantity_e8=traded,
        leaves_e8=order.quantity_e8 - traded,
    )


def leg_of(trade: TradeExecuted, party: Party, liquidity: Liquidity) -> ApplyExecution:
    return ApplyExecution(
        account_id=party.account_id,
        symbol=trade.symbol,
        asset=trade.asset,
        side=party.side,
        trade_id=trade.trade_id,
        price_e8=trade.price_e8,
        quantity_e8=trade.quantity_e8,
        notional_e8=trade.notional_e8,
        liquidity=liquidity,
        order_id=party.order_id,
        cum_quantity_e8=party.cum_quantity_e8,
    )


def terms_of(book: Book) -> dict[str, Any]:
    return {"symbol": book.symbol, "asset": book.asset, "rules": book.rules}


def are_sane(rules: Rules) -> bool:
    return (
        min(rules.tick_e8, rules.lot_e8, rules.stale_after_ms) > 0
        and rules.min_notional_e8 >= 0
        and 0 < rules.collar_ppm < PPM
        and min(rules.maker_fee_ppm, rules.taker_fee_ppm) >= 0
        and max(rules.maker_fee_ppm, rules.taker_fee_ppm) < PPM
    )
