"""What an event changes in a partition of markets."""

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
    match event:
        case TradeExecuted():
            _trade(state.book(event.symbol), event)
            _draw(state.book(event.symbol), event)
        case OrderEnded():
            state.book(event.symbol).remove(event.order_id)
        case OrderRested():
            state.book(event.symbol).add(_resting(event))
        case OrderReplaced():
            _replace(state.book(event.symbol), event)
        case QuoteUpdated() | CollarMoved():
            _price(state.book(event.symbol), event, cause)
        case ClockTicked():
            state.ticked_at_ms = cause.time_ms
        case MarketListed() | MarketHalted() | MarketResumed():
            _terms(state.book(event.symbol), event)
        case StopArmed() | StopsTriggered():
            _stops(state.book(event.symbol), event)
        case CancelRefused() | ReplaceRefused() | CommandRefused():
            state.book(event.symbol)
        case _:
            raise InvariantBroken(f"{event.TYPE} is not an event of markets")


def _terms(book: Book, event: MarketListed | MarketHalted | MarketResumed) -> None:
    book.asset = event.asset
    book.rules = event.rules
    book.is_open = event.is_open if isinstance(event, MarketListed) else _opens(event)


def _opens(event: MarketHalted | MarketResumed) -> bool:
    return isinstance(event, MarketResumed)


def _price(book: Book, event: QuoteUpdated | CollarMoved, cause: Cause) -> None:
    if isinstance(event, QuoteUpdated):
        _quote(book, event)
        _draw(book, event)
    else:
        book.collar = Collar(event.last_e8, cause.time_ms)


def _quote(book: Book, event: QuoteUpdated) -> None:
    if book.rules is None:
        raise InvariantBroken(f"a quote for {event.symbol}, which was never listed")
    book.quote = event.quote
    book.last_e8 = event.quote.last_e8
    book.sequences[event.quote.feed_id] = event.quote.sequence
    book.house_e8 = offered_sizes(event.quote, book.rules)


def _draw(book: Book, event: TradeExecuted | QuoteUpdated) -> None:
    """Keep the candles that the event carries; older events carry none."""
    if event.minute is None:
        return
    before = book.series.get(event.series)
    longer = event.closed[1:] or (() if before is None else before.longer)
    book.series[event.series] = Series(event.minute, longer)


def _resting(event: OrderRested) -> Resting:
    return Resting(
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


def _replace(book: Book, event: OrderReplaced) -> None:
    if not event.keeps_priority:
        book.remove(event.order_id)
        return
    order = book.orders.get(event.order_id)
    if order is None:
        book.stops.change(event.order_id, event.quantity_e8, event.price_e8)
        return
    order.quantity_e8, order.leaves_e8 = event.quantity_e8, event.leaves_e8


def _stops(book: Book, event: StopArmed | StopsTriggered) -> None:
    if isinstance(event, StopArmed):
        book.arm(StopOrder(number=event.number, order=event.order))
        book.stops.count = max(book.stops.count, event.number)
        return
    for order_id in event.order_ids:
        book.stops.trigger(order_id)


def _trade(book: Book, event: TradeExecuted) -> None:
    book.last_e8 = event.price_e8
    _take_from(book, event.maker, event.quantity_e8)
    _take_from(book, event.taker, event.quantity_e8)


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
