"""Who trades with whom: walks over a book that change nothing.

A trade happens at the price of the order that rested; the house, which quotes, is the last in its
price level.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from consumers.markets.book import Book, Ladder, Resting
from schemas.accounts import BUY, MARKET, SELL, SelfTradePrevention, Side
from schemas.markets import Quote, Rules, SubmitOrder

FILLS_MAX: Final = 500
"""Fills in one decision (W4): a sweep is never split over two."""
EXPIRIES_MAX: Final = 500
"""Orders that one decision ends although they did not trade."""
OPPOSITE: Final = {BUY: SELL, SELL: BUY}


class Fill(NamedTuple):
    """One match; `resting` is absent where the house was hit."""

    price_e8: int
    quantity_e8: int
    resting: Resting | None


class Stop(StrEnum):
    """Why a sweep went no further."""

    FILLED = "nothing left to fill"
    EMPTY = "nobody offers more"
    PRICE = "what is offered lies beyond the price"
    FILLS = "too many fills"
    SELF = "the next one to trade with is the same account's"


class Sweep(NamedTuple):
    """What an incoming order meets.

    On its way `over` are those whose time has come, and `own` those of the same account that end.
    """

    fills: list[Fill]
    over: list[Resting]
    own: list[Resting]
    leaves_e8: int
    stop: Stop


def worst_price(order: SubmitOrder) -> int:
    """The limit of a limit order, the protection price of a market order."""
    if order.order_type is MARKET or order.price_e8 is None:
        return order.protection_price_e8
    return order.price_e8


def sweep(book: Book, order: SubmitOrder, leaves_e8: int, *, now_ms: int) -> Sweep:
    """Match what is left of an incoming order as far as its price and `FILLS_MAX` go.

    No account trades with itself: where its own order comes next, the incoming one says whether
    it goes no further, the resting one makes way, or both.
    """
    fills: list[Fill] = []
    over: list[Resting] = []
    own: list[Resting] = []
    side = OPPOSITE[order.side]
    ladder, house = book.ladders[side], house_offer(book, side, now_ms=now_ms)
    sign, rank_max = ladder.sign, ladder.sign * worst_price(order)
    if _begins_beyond(ladder, house, rank_max):  # as for most orders, which rest
        return Sweep(fills, over, own, leaves_e8, Stop.PRICE)
    for offer in offers(ladder, house):
        if not leaves_e8:
            break
        if sign * offer.price_e8 > rank_max:
            return Sweep(fills, over, own, leaves_e8, Stop.PRICE)
        if len(fills) == FILLS_MAX or len(over) + len(own) == EXPIRIES_MAX:
            return Sweep(fills, over, own, leaves_e8, Stop.FILLS)
        resting = offer.resting
        if resting is not None:
            if resting.expires_at_ms is not None and resting.is_over(now_ms):
                over.append(resting)
                continue
            if resting.account_id == order.account_id:
                if not _goes_past(order, resting, own):
                    return Sweep(fills, over, own, leaves_e8, Stop.SELF)
                continue
        quantity_e8 = min(leaves_e8, offer.quantity_e8)
        fills.append(offer._replace(quantity_e8=quantity_e8))
        leaves_e8 -= quantity_e8
    return Sweep(fills, over, own, leaves_e8, Stop.EMPTY if leaves_e8 else Stop.FILLED)


def _goes_past(order: SubmitOrder, resting: Resting, own: list[Resting]) -> bool:
    """Whether the order goes on beyond one of its own account's, which may have to make way."""
    policy = order.self_trade_prevention
    if policy is not SelfTradePrevention.CANCEL_NEWEST:
        own.append(resting)
    return policy is SelfTradePrevention.CANCEL_OLDEST


def _begins_beyond(ladder: Ladder, house: Fill | None, rank_max: int) -> bool:
    if house is not None and ladder.rank(house.price_e8) <= rank_max:
        return False
    return ladder.begins_beyond(rank_max)


def offers(ladder: Ladder, house: Fill | None) -> Iterator[Fill]:
    """All that one side of the market offers, in priority, the house merged in."""
    for rank, queue in ladder.levels.items():
        if house is not None and ladder.rank(house.price_e8) < rank:
            yield house
            house = None
        for order in queue.values():
            yield Fill(order.price_e8, order.leaves_e8, order)
    if house is not None:
        yield house


def house_offer(book: Book, side: Side, *, now_ms: int) -> Fill | None:
    """What the house still offers on a side; a stale quote offers nothing."""
    quote, rules = book.quote, book.rules
    if quote is None or rules is None or not book.house_e8[side]:
        return None
    if now_ms - quote.time_ms > rules.stale_after_ms:
        return None
    return Fill(price_of(quote, side), book.house_e8[side], None)


def price_of(quote: Quote, side: Side) -> int:
    """What the house pays (BUY) or asks (SELL)."""
    return quote.bid_e8 if side is BUY else quote.ask_e8


def offered_sizes(quote: Quote, rules: Rules) -> dict[Side, int]:
    """What the house offers with a new quote, in whole lots."""
    lot_e8 = rules.lot_e8
    return {
        BUY: quote.bid_size_e8 - quote.bid_size_e8 % lot_e8,
        SELL: quote.ask_size_e8 - quote.ask_size_e8 % lot_e8,
    }


def crossed(
    book: Book, side: Side, house: Fill, *, now_ms: int, fills_max: int = FILLS_MAX
) -> Iterator[Fill]:
    """The resting orders of a side that the house's opposite price reaches, at their own price."""
    ladder = book.ladders[side]
    rank_max = ladder.rank(house.price_e8)
    left_e8, count = house.quantity_e8, 0
    for order in ladder:
        if not left_e8 or count == fills_max or ladder.rank(order.price_e8) > rank_max:
            return
        if order.is_over(now_ms):
            continue
        quantity_e8 = min(left_e8, order.leaves_e8)
        yield Fill(order.price_e8, quantity_e8, order)
        left_e8 -= quantity_e8
        count += 1
