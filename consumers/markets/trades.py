"""What trades become as events, and how orders leave the book."""

from collections.abc import Iterator, Sequence

from consumers.markets.book import Book, Resting
from consumers.markets.matching import OPPOSITE, Fill, Sweep, crossed, house_offer
from consumers.markets.stops import StopOrder
from schemas.accounts import EndReason, Reason, Side
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.markets import OrderEnded, Party, SubmitOrder, TradeExecuted
from schemas.money import notional_floor


def traded(
    book: Book, order: SubmitOrder, swept: Sweep, cause: Cause, *, cum_e8: int = 0
) -> Iterator[Message]:
    """The ends of those that make way, then the trades, each with the end of what it filled.

    `cum_e8` is what the order traded before.
    """
    for each in swept.over:
        yield expired(book, each)
    for each in swept.own:
        yield leaving(book.symbol, each, EndReason.CANCELED, Reason.SELF_TRADE)
    for n, fill in enumerate(swept.fills):
        cum_e8 += fill.quantity_e8
        taker = Party(
            account_id=order.account_id,
            side=order.side,
            order_id=order.order_id,
            cum_quantity_e8=cum_e8,
            leaves_e8=order.quantity_e8 - cum_e8,
        )
        maker = _maker(book, fill, OPPOSITE[order.side])
        yield _trade(book, fill, cause.new_id(n), maker=maker, taker=taker)
        yield from _filled(book, fill)


def crossings(
    book: Book, houses: Sequence[tuple[Side, Fill]], cause: Cause, numbers: Iterator[int]
) -> Iterator[Message]:
    """The house's trades with the resting orders that its prices reach.

    `houses` says which side the house takes and what it offers there; `numbers` numbers the
    trades of the command and ends where they must.
    """
    for side, house in houses:
        for fill in crossed(book, OPPOSITE[side], house, now_ms=cause.time_ms):
            n = next(numbers, None)
            if n is None:
                return
            maker = _maker(book, fill, OPPOSITE[side])
            taker = _house(book, side)
            yield _trade(book, fill, cause.new_id(n), maker=maker, taker=taker)
            yield from _filled(book, fill)


def house_offers(book: Book, cause: Cause) -> list[tuple[Side, Fill]]:
    """On which sides the house offers something now, and what."""
    offers = ((side, house_offer(book, side, now_ms=cause.time_ms)) for side in Side)
    return [(side, house) for side, house in offers if house is not None]


def _trade(book: Book, fill: Fill, trade_id: str, *, maker: Party, taker: Party) -> TradeExecuted:
    return TradeExecuted(
        symbol=book.symbol,
        asset=book.asset,
        trade_id=trade_id,
        price_e8=fill.price_e8,
        quantity_e8=fill.quantity_e8,
        notional_e8=notional_floor(fill.price_e8, fill.quantity_e8),
        maker=maker,
        taker=taker,
    )


def _maker(book: Book, fill: Fill, side: Side) -> Party:
    resting = fill.resting
    if resting is None:
        return _house(book, side)
    return Party(
        account_id=resting.account_id,
        side=side,
        order_id=resting.order_id,
        cum_quantity_e8=resting.cum_quantity_e8 + fill.quantity_e8,
        leaves_e8=resting.leaves_e8 - fill.quantity_e8,
    )


def _house(book: Book, side: Side) -> Party:
    return Party(account_id=f"house:{book.symbol}", side=side)


def _filled(book: Book, fill: Fill) -> Iterator[OrderEnded]:
    resting = fill.resting
    if resting is not None and resting.leaves_e8 == fill.quantity_e8:
        yield OrderEnded(
            symbol=book.symbol,
            account_id=resting.account_id,
            order_id=resting.order_id,
            end=EndReason.FILLED,
            cum_quantity_e8=resting.quantity_e8,
            answers_cause=False,
        )


def expired(book: Book, order: Resting | StopOrder) -> OrderEnded:
    """The end of an order whose time has come."""
    return leaving(book.symbol, order, EndReason.EXPIRED, Reason.EXPIRED)


def leaving(
    symbol: str,
    order: Resting | StopOrder,
    end: EndReason,
    reason: Reason,
    *,
    answers_cause: bool = False,
) -> OrderEnded:
    """The end of an order that leaves the book with what it has traded so far."""
    return OrderEnded(
        symbol=symbol,
        account_id=order.account_id,
        order_id=order.order_id,
        end=end,
        cum_quantity_e8=order.cum_quantity_e8,
        reason=reason,
        answers_cause=answers_cause,
    )
