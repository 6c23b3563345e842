"""What quotes and time bring: the house's trades, collars, and the ends of orders."""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from consumers.markets.book import Book, Collar
from consumers.markets.matching import EXPIRIES_MAX, FILLS_MAX, Fill, offered_sizes, price_of
from consumers.markets.refusals import UNKNOWN_MARKET, refused
from consumers.markets.state import Markets
from consumers.markets.trades import crossings, expired, house_offers
from consumers.markets.triggering import with_triggers
from schemas.accounts import Side
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.markets import ClockTicked, CollarMoved, Quote, QuoteUpdated, Rules, UpdateQuote
from schemas.money import PPM

INVALID_QUOTE: Final = "invalid-quote"
STALE_SEQUENCE: Final = "stale-sequence"
TOO_MANY_FEEDS: Final = "too-many-feeds"

FEEDS_MAX: Final = 16
COLLAR_MOVE_PPM: Final = 1_000
COLLAR_PAUSE_MS: Final = 1_000


def update_quote(book: Book | None, command: UpdateQuote, cause: Cause) -> Sequence[Message]:
    """Quote anew, trade with the resting orders that it crosses, and move the collar."""
    if book is None or book.rules is None:
        return (refused(command, UNKNOWN_MARKET),)
    if reason := _quote_refusal(book, command.quote):
        return (refused(command, reason),)
    quote = _timed(command.quote, cause)
    events: list[Message] = [QuoteUpdated(symbol=book.symbol, quote=quote)]
    if book.is_open:
        sizes = offered_sizes(quote, book.rules)
        houses = [(side, Fill(price_of(quote, side), sizes[side], None)) for side in Side]
        events += crossings(book, houses, cause, iter(range(FILLS_MAX)))
    if _collar_is_due(book.collar, book.rules, quote):
        events.append(_collar(book.symbol, book.rules, quote.last_e8))
    return with_triggers(book, events, cause) if book.is_open else events


def tick(state: Markets, cause: Cause) -> Sequence[Message]:
    """End orders whose time has come, and go on with crossings that a quote left over.

    Both are bounded; the next tick goes on. At least it says that time passed.
    """
    numbers = iter(range(FILLS_MAX))
    events: list[Message] = []
    for _, book in sorted(state.books.items()):
        due = islice(book.expiries.due(cause.time_ms), EXPIRIES_MAX - len(events))
        events += [expired(book, order) for each in due if (order := book.find(each)) is not None]
    for _, book in sorted(state.books.items()):
        if book.is_open:
            trades = list(crossings(book, house_offers(book, cause), cause, numbers))
            events += with_triggers(book, trades, cause)
    return events or (ClockTicked(),)


def _timed(quote: Quote, cause: Cause) -> Quote:
    return Quote(
        feed_id=quote.feed_id,
        sequence=quote.sequence,
        bid_e8=quote.bid_e8,
        bid_size_e8=quote.bid_size_e8,
        ask_e8=quote.ask_e8,
        ask_size_e8=quote.ask_size_e8,
        last_e8=quote.last_e8,
        time_ms=cause.time_ms,
        feed_time_ms=quote.feed_time_ms,
        simulated=quote.simulated,
    )


def _quote_refusal(book: Book, quote: Quote) -> str | None:
    if not 0 < quote.bid_e8 < quote.ask_e8 or quote.last_e8 <= 0:
        return INVALID_QUOTE
    if quote.bid_size_e8 < 0 or quote.ask_size_e8 < 0:
        return INVALID_QUOTE
    previous = book.sequences.get(quote.feed_id)
    if previous is None:
        return TOO_MANY_FEEDS if len(book.sequences) == FEEDS_MAX else None
    return STALE_SEQUENCE if quote.sequence <= previous else None


def _collar_is_due(collar: Collar | None, rules: Rules, quote: Quote) -> bool:
    """Moved by 0.1 %, at most once a second, or as old as half the stale age."""
    if collar is None:
        return True
    age_ms = quote.time_ms - collar.time_ms
    if age_ms * 2 >= rules.stale_after_ms:
        return True
    moved_e8 = abs(quote.last_e8 - collar.last_e8)
    return age_ms >= COLLAR_PAUSE_MS and moved_e8 * PPM >= collar.last_e8 * COLLAR_MOVE_PPM


def _collar(symbol: str, rules: Rules, last_e8: int) -> CollarMoved:
    """The band, rounded inwards."""
    return CollarMoved(
        symbol=symbol,
        last_e8=last_e8,
        low_e8=low_edge(rules, last_e8),
        high_e8=last_e8 * (PPM + rules.collar_ppm) // PPM,
    )


def low_edge(rules: Rules, last_e8: int) -> int:
    """The lowest price of the band, rounded inwards."""
    return -(-last_e8 * (PPM - rules.collar_ppm) // PPM)
