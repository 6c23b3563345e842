"""The tables of markets: terms and quotes, trades, and the orders that rest in each book.

Terms and quotes are rows of their own, because they come in different events, and a row is
written without reading it; so a quote costs one small row.
"""

from typing import Final

import msgspec

from runtime.projection import Index, TableSpec
from schemas.accounts import Side

TERMS: Final = "terms"
QUOTE: Final = "quote"
BY_PRICE: Final = Index("by-price", "rank")

MARKETS: Final = TableSpec("markets", partition_key="kind", sort_key="symbol")
TRADES: Final = TableSpec("market-trades", "symbol", "offset", "N")
"""One row per trade, by its offset in the journal."""
RESTING: Final = TableSpec("market-orders", "symbol", "order_id", indexes=(BY_PRICE,))
"""One row per resting order, which its end removes."""
TABLES: Final = (MARKETS, TRADES, RESTING)


class Trade(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What everybody may know of a trade; `taker_side` is the side of who came later."""

    trade_id: str
    price_e8: int
    quantity_e8: int
    notional_e8: int
    taker_side: Side


def rank_of(side: Side, price_e8: int) -> int:
    """Sorts a side's orders best first; bids are below zero, asks above."""
    return -price_e8 if side is Side.BUY else price_e8
