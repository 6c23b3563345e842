"""The invariants' own ability to fail."""

from collections.abc import Callable
from typing import Any

import pytest

from consumers.markets.book import Book
from consumers.markets.invariants import check
from runtime.errors import InvariantBroken
from schemas.accounts import Side

Market = Any
Spoil = Callable[[Book], None]


def _empty_level(book: Book) -> None:
    book.ladders[Side.BUY].levels[-1] = type(next(iter(book.ladders[Side.BUY].levels.values())))()


def _cross(book: Book) -> None:
    (bid,) = book.ladders[Side.BUY]
    book.remove(bid.order_id)
    bid.price_e8 = next(iter(book.ladders[Side.SELL])).price_e8
    book.add(bid)


def _wrong_side(book: Book) -> None:
    next(iter(book.ladders[Side.BUY])).side = Side.SELL


def _wrong_price(book: Book) -> None:
    next(iter(book.ladders[Side.BUY])).price_e8 -= 1


def _nothing_left(book: Book) -> None:
    next(iter(book.ladders[Side.SELL])).leaves_e8 = 0


def _more_than_it_came_with(book: Book) -> None:
    next(iter(book.ladders[Side.SELL])).leaves_e8 *= 2


def _not_in_the_index(book: Book) -> None:
    book.orders.pop("bid")


def _not_among_those_that_end(book: Book) -> None:
    book.expiries.remove(2_000, "bid")


def _house_oversold(book: Book) -> None:
    book.house_e8[Side.SELL] = -1


@pytest.mark.parametrize(
    "spoil",
    [
        _empty_level,
        _cross,
        _wrong_side,
        _wrong_price,
        _nothing_left,
        _more_than_it_came_with,
        _not_in_the_index,
        _not_among_those_that_end,
        _house_oversold,
    ],
)
def test_a_book_that_contradicts_itself_is_noticed(market: Market, spoil: Spoil) -> None:
    market.order("bid", Side.BUY, 1, 98, expires_at_ms=2_000)
    market.order("ask", Side.SELL, 1, 102)
    check(market.state)
    spoil(market.state.books["BTC-USD"])
    with pytest.raises(InvariantBroken, match="BTC-USD"):
        check(market.state)
