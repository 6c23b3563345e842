"""The state of one partition of markets, and its stored form."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

import msgspec

from consumers.markets.book import Book, Collar, Resting, Series
from consumers.markets.stops import StopOrder
from schemas.accounts import BUY, SELL
from schemas.markets import Quote, Rules

CLOCK: Final = "clock"
"""The entity of ticks on which nothing fell due; no symbol looks like it."""


@dataclass(slots=True)
class Markets:
    """The books of one partition by symbol; `ticked_at_ms` is 0 before the first idle tick."""

    books: dict[str, Book] = field(default_factory=dict[str, Book])
    ticked_at_ms: int = 0

    def book(self, symbol: str) -> Book:
        """The book of a symbol, made when it is first asked for."""
        book = self.books.get(symbol)
        if book is None:
            book = self.books[symbol] = Book(symbol)
        return book

    def entities(self) -> Iterator[str]:
        """Every entity that has a journal record."""
        yield from self.books
        if self.ticked_at_ms:
            yield CLOCK


class StoredBook(msgspec.Struct, kw_only=True):
    """A book at rest; orders stand in priority, stops in order of arrival: loading keeps both."""

    asset: str
    rules: Rules | None
    is_open: bool
    quote: Quote | None
    house_bid_e8: int
    house_ask_e8: int
    collar: Collar | None
    sequences: dict[str, int]
    series: dict[str, Series]
    bids: list[Resting]
    asks: list[Resting]
    last_e8: int | None
    stops: list[StopOrder]
    stops_count: int


class StoredClock(msgspec.Struct):
    """The clock at rest."""

    ticked_at_ms: int


_ENCODER: Final = msgspec.json.Encoder(order="deterministic")
_BOOK: Final = msgspec.json.Decoder(StoredBook)
_CLOCK: Final = msgspec.json.Decoder(StoredClock)


def dump(state: Markets, entity: str) -> bytes:
    """An entity's stored form: the same bytes for the same history."""
    if entity == CLOCK:
        return _ENCODER.encode(StoredClock(state.ticked_at_ms))
    book = state.books[entity]
    return _ENCODER.encode(
        StoredBook(
            asset=book.asset,
            rules=book.rules,
            is_open=book.is_open,
            quote=book.quote,
            house_bid_e8=book.house_e8[BUY],
            house_ask_e8=book.house_e8[SELL],
            collar=book.collar,
            sequences=book.sequences,
            series=book.series,
            bids=list(book.ladders[BUY]),
            asks=list(book.ladders[SELL]),
            last_e8=book.last_e8,
            stops=sorted(book.stops.orders.values(), key=lambda each: each.number),
            stops_count=book.stops.count,
        )
    )


def load(state: Markets, entity: str, stored: bytes) -> None:
    """Put a stored entity into the state, in place of what is there."""
    if entity == CLOCK:
        state.ticked_at_ms = _CLOCK.decode(stored).ticked_at_ms
        return
    kept = _BOOK.decode(stored)
    state.books[entity] = book = Book(
        symbol=entity,
        asset=kept.asset,
        rules=kept.rules,
        is_open=kept.is_open,
        quote=kept.quote,
        house_e8={BUY: kept.house_bid_e8, SELL: kept.house_ask_e8},
        collar=kept.collar,
        sequences=kept.sequences,
        last_e8=kept.last_e8,
        series=kept.series,
    )
    _rest(book, kept.bids)
    _rest(book, kept.asks)
    book.stops.count = kept.stops_count
    for stop in kept.stops:
        book.arm(stop)


def _rest(book: Book, orders: Iterable[Resting]) -> None:
    for order in orders:
        book.add(order)
