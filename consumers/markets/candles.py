"""How trades and quotes draw a market's candles; an event carries what came of it.

A trade or quote carries its minute so far. The first one in a later minute also carries what the
minute before it closed: that minute, and the longer intervals up to and with it. So a projector
never reads before it writes, and candles cost a few rows a minute, however many trades there are.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, cast

from msgspec.structs import replace

from consumers.markets.book import Series
from consumers.markets.state import Markets
from schemas.candles import LONGER_MS, Candle, extended, joined, point
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.markets import QuoteUpdated, TradeExecuted

Priced = TradeExecuted | QuoteUpdated
_PRICED: Final = frozenset({TradeExecuted, QuoteUpdated})
"""Ten times as fast to ask for as the union, and most events are neither."""


class Step(NamedTuple):
    """A series after a price, and the candles that the price closed."""

    series: Series
    closed: tuple[Candle, ...]


def drawn(state: Markets, events: Sequence[Message], cause: Cause) -> Sequence[Message]:
    """The events, with candles in those that have a price."""
    if _PRICED.isdisjoint(map(type, events)):
        return events
    running: dict[tuple[str, str], Series] = {}
    return [
        _drawn(state, cast("Priced", each), cause, running) if type(each) in _PRICED else each
        for each in events
    ]


def _drawn(
    state: Markets, event: Priced, cause: Cause, running: dict[tuple[str, str], Series]
) -> Message:
    symbol, series = event.symbol, event.series
    before = running.get((symbol, series)) or state.books[symbol].series.get(series)
    after = stepped(before, _point(event, cause.time_ms))
    running[symbol, series] = after.series
    return replace(event, minute=after.series.minute, closed=after.closed)


def _point(event: Priced, time_ms: int) -> Candle:
    match event:
        case TradeExecuted():
            return point(
                event.price_e8,
                time_ms,
                quantity_e8=event.quantity_e8,
                notional_e8=event.notional_e8,
            )
        case QuoteUpdated():
            return point(event.quote.last_e8, time_ms)


def stepped(before: Series | None, price: Candle) -> Step:
    """A series after one more price; time never goes back (T1)."""
    if before is None:
        return Step(Series(price), ())
    if price.start_ms == before.minute.start_ms:
        return Step(Series(joined(before.minute, price), before.longer), ())
    closed = (before.minute, *_longer(before))
    return Step(Series(price, closed[1:]), closed)


def _longer(series: Series) -> list[Candle]:
    """The longer intervals with the minute that ends."""
    so_far = {each.interval_ms: each for each in series.longer}
    return [extended(so_far.get(each), series.minute, each) for each in LONGER_MS]
