"""What a replacement makes of an order in the book."""

from collections.abc import Sequence

from msgspec.structs import replace

from consumers.markets.book import Book, Resting
from consumers.markets.matching import sweep
from consumers.markets.orders import remainder, would_trade
from consumers.markets.stops import StopOrder, is_reached
from consumers.markets.trades import expired, traded
from consumers.markets.triggering import with_triggers
from schemas.accounts import LIMIT, Reason
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.markets import (
    OrderEnded,
    OrderReplaced,
    ReplaceRefused,
    ReplaceRestingOrder,
    StopArmed,
    StopsTriggered,
    SubmitOrder,
)


def replace_order(
    book: Book | None, command: ReplaceRestingOrder, cause: Cause
) -> Sequence[Message]:
    """Change the order where it lies, or let it come anew with its new terms, or say why not."""
    resting = None if book is None else book.find(command.order_id)
    if book is None or resting is None or resting.account_id != command.account_id:
        return (_unreplaced(command, Reason.ORDER_FINAL),)
    if resting.is_over(cause.time_ms):
        return (expired(book, resting), _unreplaced(command, Reason.ORDER_FINAL))
    if isinstance(resting, StopOrder):
        return _stop_changed(book, command, resting)
    if reason := _replace_refusal(book, command, resting):
        return (_unreplaced(command, reason),)
    if command.price_e8 == resting.price_e8 and command.quantity_e8 <= resting.quantity_e8:
        return (_replaced(command, resting, keeps_priority=True),)
    return _come_anew(book, command, resting, cause)


def _stop_changed(book: Book, command: ReplaceRestingOrder, stop: StopOrder) -> Sequence[Message]:
    """A stop keeps its place whatever it becomes, unless it gets another stop price."""
    if not book.is_open:
        return (_unreplaced(command, Reason.MARKET_HALTED),)
    if (command.price_e8 is None) != (stop.order.price_e8 is None):
        return (_unreplaced(command, Reason.INVALID_PRICE),)
    if command.stop_price_e8 is None:
        return (_replaced(command, stop, keeps_priority=True),)
    if stop.is_triggered:
        return (_unreplaced(command, Reason.STOP_TRIGGERED),)
    return _armed_anew(book, command, stop)


def _armed_anew(book: Book, command: ReplaceRestingOrder, stop: StopOrder) -> Sequence[Message]:
    """The stop comes last at its new stop price; where that is reached it is triggered now."""
    order = replace(
        stop.order,
        quantity_e8=command.quantity_e8,
        price_e8=command.price_e8,
        protection_price_e8=command.protection_price_e8 or stop.order.protection_price_e8,
        stop_price_e8=command.stop_price_e8,
    )
    replaced = _replaced(command, stop, keeps_priority=False)
    armed = StopArmed(symbol=book.symbol, number=book.stops.count + 1, order=order)
    last_e8 = book.last_e8
    if last_e8 is None or not is_reached(order, last_e8):
        return (replaced, armed)
    now = StopsTriggered(
        symbol=book.symbol, low_e8=last_e8, high_e8=last_e8, order_ids=(order.order_id,)
    )
    return (replaced, armed, now)


def _replace_refusal(book: Book, command: ReplaceRestingOrder, resting: Resting) -> Reason | None:
    if not book.is_open:
        return Reason.MARKET_HALTED
    if command.stop_price_e8 is not None:
        return Reason.STOP_TRIGGERED
    if command.quantity_e8 <= resting.cum_quantity_e8:
        return Reason.QUANTITY_FILLED
    return Reason.INVALID_PRICE if command.price_e8 is None else None


def _come_anew(
    book: Book, command: ReplaceRestingOrder, resting: Resting, cause: Cause
) -> Sequence[Message]:
    order = _renewed(command, resting)
    leaves_e8 = order.quantity_e8 - resting.cum_quantity_e8
    swept = sweep(book, order, leaves_e8, now_ms=cause.time_ms)
    if order.post_only and would_trade(swept):
        return (_unreplaced(command, Reason.POST_ONLY),)
    left = remainder(order, swept)
    if isinstance(left, OrderEnded):
        left = replace(left, answers_cause=False)
    replaced = _replaced(command, resting, keeps_priority=False)
    cum_e8 = resting.cum_quantity_e8
    taken = traded(book, order, swept, cause, cum_e8=cum_e8)
    return with_triggers(book, (replaced, *taken, left), cause)


def _renewed(command: ReplaceRestingOrder, resting: Resting) -> SubmitOrder:
    price_e8 = resting.price_e8 if command.price_e8 is None else command.price_e8
    return SubmitOrder(
        symbol=command.symbol,
        account_id=resting.account_id,
        order_id=resting.order_id,
        side=resting.side,
        order_type=LIMIT,
        time_in_force=resting.time_in_force,
        quantity_e8=command.quantity_e8,
        price_e8=price_e8,
        protection_price_e8=price_e8,
        expires_at_ms=resting.expires_at_ms,
        post_only=resting.post_only,
        self_trade_prevention=resting.self_trade_prevention,
    )


def _replaced(
    command: ReplaceRestingOrder, resting: Resting | StopOrder, *, keeps_priority: bool
) -> OrderReplaced:
    return OrderReplaced(
        symbol=command.symbol,
        account_id=command.account_id,
        order_id=command.order_id,
        quantity_e8=command.quantity_e8,
        leaves_e8=command.quantity_e8 - resting.cum_quantity_e8,
        price_e8=command.price_e8,
        keeps_priority=keeps_priority,
        stop_price_e8=command.stop_price_e8,
    )


def _unreplaced(command: ReplaceRestingOrder, reason: Reason) -> ReplaceRefused:
    return ReplaceRefused(
        symbol=command.symbol,
        account_id=command.account_id,
        order_id=command.order_id,
        reason=reason,
    )
