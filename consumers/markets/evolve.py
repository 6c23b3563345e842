"""What an event changes in a partition of markets."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from consumers.markets.book import Book, Collar, Resting, Series
from consumers.markets.matching import offered_sizes
from consumers.markets.state import Markets
from consumers.markets.stops import StopOrder
from runtime.errors import InvariantBroken
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.markets import (
    CancelRefused,
    ClockTicked,
    CollarMoved,
    CommandRefused,
    MarketHalted,
    MarketListed,
    MarketResumed,
    OrderEnded,
    OrderReplaced,
    OrderRested,
    Party,
    QuoteUpdated,
    ReplaceRefused,
    StopArmed,
    StopsTriggered,
    TradeExecuted,
)


def evolve(state: Markets, event: Message, cause: Cause) -> None:
    """Apply one event, in place.

    Raises:
        InvariantBroken: the event does not fit the state.
    """
    if type(event) is ClockTicked:
        state.ticked_at_ms = cause.time_ms
        return
    change = _CHANGES.get(type(event))
    if change is None:
        raise InvariantBroken(f"{event.TYPE} is not an event of markets")
    change(state.book(getattr(event, "symbol")), event, cause)  # noqa: B009  # all of them have it


def _trade(book: Book, event: TradeExecuted, _cause: Cause) -> None:
    book.last_e8 = event.price_e8
    _take_from(book, event.maker, event.quantity_e8)
    _take_from(book, event.taker, event.quantity_e8)
    _draw(book, event)


def _end(book: Book, event: OrderEnded, _cause: Cause) -> None:
    book.remove(event.order_id)


def _rest(book: Book, event: OrderRested, _cause: Cause) -> None:
    book.add(
        Resting(
            order_id=event.order_id,
            account_id=event.account_id,
            side=event.side,
            price_e8=event.price_e8,
            quantity_e8=event.quantity_e8,
            leaves_e8=event.leaves_e8,
            time_in_force=event.time_in_force,
            expires_at_ms=event.expires_at_ms,
            post_only=event.post_only,
            self_trade_prevention=event.self_trade_prevention,
        )
    )


def _replace(book: Book, event: OrderReplaced, _cause: Cause) -> None:
    if not event.keeps_priority:
        book.remove(event.order_id)
        return
    order = book.orders.get(event.order_id)
    if order is None:
        book.stops.change(event.order_id, event.quantity_e8, event.price_e8)
        return
    order.quantity_e8, order.leaves_e8 = event.quantity_e8, event.leaves_e8


def _quote(book: Book, event: QuoteUpdated, _cause: Cause) -> None:
    if book.rules is None:
        raise InvariantBroken(f"a quote for {event.symbol}, which was never listed")
    book.quote = event.quote
    book.last_e8 = event.quote.last_e8
    book.sequences[event.quote.feed_id] = event.quote.sequence
    book.house_e8 = offered_sizes(event.quote, book.rules)
    _draw(book, event)


def _move_collar(book: Book, event: CollarMoved, cause: Cause) -> None:
    book.collar = Collar(event.last_e8, cause.time_ms)


def _list(book: Book, event: MarketListed, _cause: Cause) -> None:
    _set_terms(book, event, is_open=event.is_open)


def _halt(book: Book, event: MarketHalted, _cause: Cause) -> None:
    _set_terms(book, event, is_open=False)


def _resume(book: Book, event: MarketResumed, _cause: Cause) -> None:
    _set_terms(book, event, is_open=True)


def _set_terms(
    book: Book, event: MarketListed | MarketHalted | MarketResumed, *, is_open: bool
) -> None:
    book.asset, book.rules, book.is_open = event.asset, event.rules, is_open


def _arm(book: Book, event: StopArmed, _cause: Cause) -> None:
    book.arm(StopOrder(number=event.number, order=event.order))
    book.stops.count = max(book.stops.count, event.number)


def _trigger(book: Book, event: StopsTriggered, _cause: Cause) -> None:
    for order_id in event.order_ids:
        book.stops.trigger(order_id)


def _name(_book: Book, _event: Message, _cause: Cause) -> None:
    """A refusal changes nothing, but its market is known by its name from then on."""


def _draw(book: Book, event: TradeExecuted | QuoteUpdated) -> None:
    """Keep the candles that the event carries; older events carry none."""
    if event.minute is None:
        return
    before = book.series.get(event.series)
    longer = event.closed[1:] or (() if before is None else before.longer)
    book.series[event.series] = Series(event.minute, longer)


def _take_from(book: Book, party: Party, quantity_e8: int) -> None:
    """The house's offer or the resting order shrinks; an incoming order is not in the book."""
    if party.order_id is None:
        book.house_e8[party.side] -= quantity_e8
        return
    order = book.orders.get(party.order_id)
    if order is None:
        return
    order.leaves_e8 = party.leaves_e8
    if not order.leaves_e8:
        book.remove(order.order_id)


_CHANGES: Final[Mapping[type[Message], Callable[[Book, Any, Cause], None]]] = {
    TradeExecuted: _trade,
    OrderEnded: _end,
    OrderRested: _rest,
    OrderReplaced: _replace,
    QuoteUpdated: _quote,
    CollarMoved: _move_collar,
    MarketListed: _list,
    MarketHalted: _halt,
    MarketResumed: _resume,
    StopArmed: _arm,
    StopsTriggered: _trigger,
    CancelRefused: _name,
    ReplaceRefused: _name,
    CommandRefused: _name,
}
"""By type: each class pattern that does not match takes longer than the whole look-up."""
