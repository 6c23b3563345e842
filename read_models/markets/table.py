"""The tables of markets: terms and quotes, trades, candles, and the orders that rest in books.

Terms and quotes are rows of their own, because they come in different events, and a row is
written without reading it; so a quote costs one small row.
"""

from typing import Final

import msgspec

from runtime.projection import Index, TableSpec
from schemas.accounts import Side
from schemas.candles import HOUR_MS, Candle

TERMS: Final = "terms"
QUOTE: Final = "quote"
DAY: Final = "day"
"""One row per market and series: its hours, each in the place of the one a day before."""
MINUTE: Final = "minute"
"""The attribute with the minute that is not closed yet."""
HOUR_PREFIX: Final = "hour-"
_HOURS: Final = 24
BY_PRICE: Final = Index("by-price", "rank")

MARKETS: Final = TableSpec("markets", partition_key="kind", sort_key="symbol")
TRADES: Final = TableSpec("market-trades", "symbol", "offset", "N")
"""One row per trade, by its offset in the journal."""
RESTING: Final = TableSpec("market-orders", "symbol", "order_id", indexes=(BY_PRICE,))
"""One row per resting order, which its end removes."""
CANDLES: Final = TableSpec("market-candles", "series", "start_ms", "N")
"""One row per interval of a series in which there was a price."""
TABLES: Final = (MARKETS, TRADES, RESTING, CANDLES)


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


def candles_key(symbol: str, series: str, interval_ms: int) -> str:
    """Where a market's candles of one interval lie."""
    return f"{symbol}/{series}/{interval_ms}"


def day_key(symbol: str, series: str) -> dict[str, str]:
    """Where a market's last hours lie."""
    return {"kind": DAY, "symbol": f"{symbol}/{series}"}


def hour_of(hour: Candle) -> str:
    """The attribute of an hour, the same every day."""
    return f"{HOUR_PREFIX}{hour.start_ms // HOUR_MS % _HOURS}"
