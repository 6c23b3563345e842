"""The book by price levels, summed from the rows of its resting orders."""

from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from read_models.markets.table import BY_PRICE, RESTING
from runtime.table import Readable, Row, Span
from schemas.accounts import Side

ORDERS_MAX: Final = 5_000
"""Orders that a side is summed from; a level that lies beyond is left out, never cut."""
_PAGE_ROWS: Final = 250
_RANK_MAX: Final = 10**30
_RANKS: Final = {
    Side.BUY: Span(BY_PRICE.sort, -_RANK_MAX, -1),
    Side.SELL: Span(BY_PRICE.sort, 1, _RANK_MAX),
}


class Level(NamedTuple):
    """All that rests at one price, and in how many orders."""

    price_e8: int
    quantity_e8: int
    orders: int


async def levels(table: Readable, symbol: str, side: Side, *, depth: int) -> tuple[Level, ...]:
    """The `depth` best levels of a side, best first."""
    found: list[Level] = []
    rows_count = 0
    async for row in _orders(table, symbol, side):
        rows_count += 1
        price_e8, leaves_e8 = abs(row["rank"]), row["leaves_e8"]
        if found and found[-1].price_e8 == price_e8:
            last = found[-1]
            found[-1] = Level(price_e8, last.quantity_e8 + leaves_e8, last.orders + 1)
        elif len(found) == depth:
            break
        else:
            found.append(Level(price_e8, leaves_e8, 1))
        if rows_count > ORDERS_MAX:
            return tuple(found[:-1])
    return tuple(found)


async def _orders(table: Readable, symbol: str, side: Side) -> AsyncIterator[Row]:
    """A side's orders, best price first, page by page."""
    last: Row | None = None
    while True:
        rows = await table.query(
            RESTING.name,
            {"symbol": symbol},
            where=_RANKS[side],
            index=BY_PRICE.name,
            limit=_PAGE_ROWS,
            start_after=last,
        )
        for row in rows:
            yield row
        if len(rows) < _PAGE_ROWS:
            return
        last = {each: rows[-1][each] for each in ("symbol", "order_id", BY_PRICE.sort)}
