"""What becomes of an order that comes: it trades, rests, waits as a stop, or ends with a reason."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from consumers.markets.book import Book
from consumers.markets.matching import Stop, Sweep, sweep
from consumers.markets.quotes import low_edge
from consumers.markets.state import Markets
from consumers.markets.stops import is_reached
from consumers.markets.trades import leaving, traded
from consumers.markets.triggering import with_triggers
from runtime.errors import Halted
from schemas.accounts import BUY, FOK, LIMIT, MARKET, RESTING, EndReason, Reason
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.markets import (
    ActivateStop,
    CancelRefused,
    CancelRestingOrder,
    OrderEnded,
    OrderRested,
    StopArmed,
    SubmitOrder,
)

_ENDS: Final = {
    Stop.FILLED: (EndReason.FILLED, None),
    Stop.FILLS: (EndReason.EXPIRED, Reason.FILL_LIMIT),
    Stop.SELF: (EndReason.CANCELED, Reason.SELF_TRADE),
}
"""How an order ends, whatever it says, because of why its sweep went no further."""


def submit(state: Markets, order: SubmitOrder, cause: Cause) -> Sequence[Message]:
    """Match the order; what is left rests, or ends with a reason. A stop waits for its price."""
    book = state.books.get(order.symbol)
    if book is None or book.rules is None:
        return (_ended(order, EndReason.REJECTED, 0, Reason.UNKNOWN_ASSET),)
    if book.find(order.order_id) is not None:
        raise Halted(f"order {order.order_id} was submitted twice")
    turned_away = _turned_away(book, order, cause.time_ms)
    if turned_away is not None:
        return (turned_away,)
    if order.stop_price_e8 is None:
        return with_triggers(book, _matched(book, order, cause), cause)
    if book.last_e8 is None or not is_reached(order, book.last_e8):
        waiting = replace(order, deadline_ms=None)
        return (StopArmed(symbol=book.symbol, number=book.stops.count + 1, order=waiting),)
    return with_triggers(book, _matched(book, _released(book, order), cause), cause)


def activate(book: Book, command: ActivateStop, cause: Cause) -> Sequence[Message]:
    """Match a triggered stop as the order that it is without its stop price.

    Where the market was halted meanwhile it waits again, at its old place.
    """
    stop = book.stops.orders.get(command.order_id)
    if stop is None or not stop.is_triggered:
        return ()
    if not book.is_open:
        return (StopArmed(symbol=book.symbol, number=stop.number, order=stop.order),)
    turned_away = _turned_away(book, stop.order, cause.time_ms)
    if turned_away is not None:
        return (turned_away,)
    return with_triggers(book, _matched(book, _released(book, stop.order), cause), cause)


def cancel(book: Book | None, command: CancelRestingOrder) -> Message:
    """Take the order out, halted or not; what is no longer in the book is final."""
    found = None if book is None else book.find(command.order_id)
    if found is None or found.account_id != command.account_id:
        return CancelRefused(
            symbol=command.symbol,
            account_id=command.account_id,
            order_id=command.order_id,
            reason=Reason.ORDER_FINAL,
        )
    end, reason = EndReason.CANCELED, Reason.CANCELED_BY_USER
    return leaving(command.symbol, found, end, reason, answers_cause=True)


def _matched(book: Book, order: SubmitOrder, cause: Cause) -> Sequence[Message]:
    swept = sweep(book, order, order.quantity_e8, now_ms=cause.time_ms)
    if not (swept.fills or swept.over or swept.own or swept.stop is Stop.SELF):
        return (remainder(order, swept),)
    if order.post_only and would_trade(swept):
        return (_ended(order, EndReason.EXPIRED, 0, Reason.POST_ONLY),)
    if order.time_in_force is FOK and swept.leaves_e8:
        return (_killed(order, swept.stop),)
    return (*traded(book, order, swept, cause), remainder(order, swept))


def _released(book: Book, order: SubmitOrder) -> SubmitOrder:
    """The order that a triggered stop is.

    A sell at market goes down to the collar of now if that is lower, because it locked no price; a
    buy never pays more than what it locked.
    """
    is_bound = order.order_type is LIMIT or order.side is BUY
    if is_bound or book.last_e8 is None or book.rules is None:
        return order
    low_e8 = low_edge(book.rules, book.last_e8)
    return replace(order, protection_price_e8=min(order.protection_price_e8, low_e8))


def _turned_away(book: Book, order: SubmitOrder, now_ms: int) -> OrderEnded | None:
    if not book.is_open:
        return _ended(order, EndReason.REJECTED, 0, Reason.MARKET_HALTED)
    if order.deadline_ms is not None and now_ms > order.deadline_ms:
        return _ended(order, EndReason.EXPIRED, 0, Reason.DEADLINE)
    if order.expires_at_ms is not None and now_ms >= order.expires_at_ms:
        return _ended(order, EndReason.EXPIRED, 0, Reason.EXPIRED)
    return None


def would_trade(swept: Sweep) -> bool:
    """Whether it meets another order at its price, be it one's own."""
    return bool(swept.fills or swept.own) or swept.stop is Stop.SELF


def _killed(order: SubmitOrder, stop: Stop) -> OrderEnded:
    if stop is Stop.FILLS:
        return _ended(order, EndReason.REJECTED, 0, Reason.FILL_LIMIT)
    if stop is Stop.SELF:
        return _ended(order, EndReason.CANCELED, 0, Reason.SELF_TRADE)
    return _ended(order, EndReason.EXPIRED, 0, _shortage(order, stop))


def _shortage(order: SubmitOrder, stop: Stop) -> Reason:
    beyond = stop is Stop.PRICE and order.order_type is MARKET
    return Reason.COLLAR if beyond else Reason.NO_LIQUIDITY


def remainder(order: SubmitOrder, swept: Sweep) -> Message:
    """What becomes of the order after its sweep: it rests, or ends with a reason."""
    cum_e8 = order.quantity_e8 - swept.leaves_e8
    if (end := _ENDS.get(swept.stop)) is not None:
        reached, reason = end
        return _ended(order, reached, cum_e8, reason)
    if order.price_e8 is not None and _may_rest(order):
        return OrderRested(
            symbol=order.symbol,
            account_id=order.account_id,
            order_id=order.order_id,
            side=order.side,
            price_e8=order.price_e8,
            quantity_e8=order.quantity_e8,
            leaves_e8=swept.leaves_e8,
            time_in_force=order.time_in_force,
            expires_at_ms=order.expires_at_ms,
            post_only=order.post_only,
            self_trade_prevention=order.self_trade_prevention,
        )
    return _ended(order, EndReason.EXPIRED, cum_e8, _shortage(order, swept.stop))


def _may_rest(order: SubmitOrder) -> bool:
    return order.order_type is LIMIT and order.time_in_force in RESTING


def _ended(
    order: SubmitOrder, end: EndReason, cum_quantity_e8: int, reason: Reason | None = None
) -> OrderEnded:
    return OrderEnded(
        symbol=order.symbol,
        account_id=order.account_id,
        order_id=order.order_id,
        end=end,
        cum_quantity_e8=cum_quantity_e8,
        reason=reason,
    )
