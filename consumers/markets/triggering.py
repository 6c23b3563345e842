"""Which stop orders a decision triggers: those that its last prices reach.

What may fan out is bounded (W4): a decision triggers the first `TRIGGERS_MAX` and sends each one's
activation, and the rest to itself; each activation is then a decision of its own, and its trades
may trigger more.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from consumers.markets.book import Book
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.markets import QuoteUpdated, StopsTriggered, TradeExecuted, TriggerStops

TRIGGERS_MAX: Final = 100
"""Stops that one decision triggers in one market (W4)."""


def with_triggers(
    book: Book, events: Sequence[Message], cause: Cause, prices: Sequence[int] = ()
) -> Sequence[Message]:
    """The events of an open market's decision, then the stops that their last prices trigger.

    `prices` are last prices from before them that count too.
    """
    if not book.stops.orders:
        return events
    reached = [*prices, *(price for each in events if (price := _last_price(each)) is not None)]
    if not reached:
        return events
    step = TriggerStops(
        symbol=book.symbol,
        low_e8=min(reached),
        high_e8=max(reached),
        until_number=book.stops.count,
    )
    return (*events, *triggered(book, step, cause))


def _last_price(event: Message) -> int | None:
    """Every trade is a last price, and what a feed says is one too."""
    match event:
        case TradeExecuted():
            return event.price_e8
        case QuoteUpdated():
            return event.quote.last_e8
        case _:
            return None


def triggered(book: Book, step: TriggerStops, cause: Cause) -> Sequence[StopsTriggered]:
    """The next stops that prices of that range reach; none that came later or is over."""
    due = (
        stop.order_id
        for stop in book.stops.due(step.low_e8, step.high_e8)
        if stop.number <= step.until_number and not stop.is_over(cause.time_ms)
    )
    order_ids = tuple(islice(due, TRIGGERS_MAX))
    if not order_ids:
        return ()
    has_more = next(due, None) is not None
    return (
        StopsTriggered(
            symbol=book.symbol,
            low_e8=step.low_e8,
            high_e8=step.high_e8,
            order_ids=order_ids,
            next=step if has_more else None,
        ),
    )
