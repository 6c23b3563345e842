"""What the gateway may ask about assets, markets and prices; needs no account, so no head."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, NamedTuple

import msgspec

from read_models.markets.candles import NOTHING, Day, candles, day, days
from read_models.markets.depth import Level, levels
from read_models.markets.descriptions import DESCRIPTIONS, Description
from read_models.markets.projection import CONCERNS
from read_models.markets.table import MARKETS, QUOTE, TABLES, TERMS, TRADES, Trade
from runtime.table import Beyond, Readable, Row
from schemas.accounts import CASH
from schemas.candles import MINUTE_MS
from schemas.markets import Quote, Rules, feed_series

__all__ = (
    "CONCERNS",
    "NOTHING",
    "TABLES",
    "Asset",
    "Day",
    "Description",
    "Level",
    "Market",
    "Price",
    "Trade",
    "TradeRow",
    "TradesPage",
    "asset",
    "candles",
    "closes",
    "day",
    "days",
    "levels",
    "list_assets",
    "list_markets",
    "market",
    "price_e8",
    "prices",
    "prices_at",
    "trades",
)

_UNRANKED: Final = 1_000_000
_TRADE: Final = msgspec.json.Decoder(Trade, strict=False)


class Price(NamedTuple):
    """The last price of an asset in USD, and the broker time it was quoted at."""

    price_e8: int
    time_ms: int
    simulated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """A market's terms and its newest quote, where it has one."""

    symbol: str
    asset: str
    rules: Rules
    is_open: bool
    quote: Quote | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """An asset that is described or traded, or both."""

    asset_id: str
    description: Description | None
    market: Market | None


class TradeRow(NamedTuple):
    """A trade, when it happened, and its number: higher is newer, with gaps."""

    trade: Trade
    time_ms: int
    number: int


class TradesPage(NamedTuple):
    """Newest first; `next_cursor` asks for the next page, None at the end."""

    rows: tuple[TradeRow, ...]
    next_cursor: int | None


async def list_assets(table: Readable) -> tuple[Asset, ...]:
    """Every asset by its rank, those without one last; two requests."""
    return tuple(sorted(_assets(await list_markets(table)), key=_rank))


async def list_markets(table: Readable) -> tuple[Market, ...]:
    """Every market that was ever listed, by its symbol; two requests."""
    terms = await table.query(MARKETS.name, {"kind": TERMS})
    quotes = {row["symbol"]: row for row in await table.query(MARKETS.name, {"kind": QUOTE})}
    return tuple(_market(row, quotes.get(row["symbol"])) for row in terms)


async def asset(table: Readable, asset_id: str) -> Asset | None:
    """The asset, or None when it is neither described nor traded."""
    described = DESCRIPTIONS.get(asset_id)
    traded = await market(table, _symbol(asset_id))
    if described is None and traded is None:
        return None
    return Asset(asset_id=asset_id, description=described, market=traded)


async def market(table: Readable, symbol: str) -> Market | None:
    """The market, or None when it was never listed; one request."""
    keys = [{"kind": kind, "symbol": symbol} for kind in (TERMS, QUOTE)]
    terms, quote = await table.batch_get(MARKETS.name, keys)
    return None if terms is None else _market(terms, quote)


async def price_e8(table: Readable, asset_id: str) -> int | None:
    """The last price in USD, or None when it was never quoted."""
    row = await table.get(MARKETS.name, {"kind": QUOTE, "symbol": _symbol(asset_id)})
    return None if row is None else _price(row).price_e8


async def prices(table: Readable) -> Mapping[str, Price]:
    """The last price of every asset that was ever quoted; one request."""
    rows = await table.query(MARKETS.name, {"kind": QUOTE})
    return {row["symbol"].removesuffix(f"-{CASH}"): _price(row) for row in rows}


async def prices_at(table: Readable, assets: Iterable[str], time_ms: int) -> Mapping[str, Price]:
    """The last prices before a time of those assets that had one, as `closes` gives them."""
    found = await closes(table, assets, interval_ms=MINUTE_MS, first_ms=time_ms, last_ms=time_ms)
    return {asset: prices[-1] for asset, prices in found.items() if prices}


async def closes(
    table: Readable, assets: Iterable[str], *, interval_ms: int, first_ms: int, last_ms: int
) -> Mapping[str, tuple[Price, ...]]:
    """What each asset cost when intervals ended, oldest first; four requests each.

    From the last end until `first_ms` to the last one until `last_ms`; an interval without a price
    has none. All are of the feed that quotes the market now, never of another.
    """
    rows = await table.query(MARKETS.name, {"kind": QUOTE})
    quotes = {row["symbol"]: msgspec.convert(row["quote"], Quote) for row in rows}
    wanted = {each: quotes[_symbol(each)] for each in assets if _symbol(each) in quotes}
    found = await asyncio.gather(
        *(
            _closes(table, _symbol(asset), quote, interval_ms, (first_ms, last_ms))
            for asset, quote in wanted.items()
        )
    )
    return dict(zip(wanted, found, strict=True))


async def _closes(
    table: Readable, symbol: str, quote: Quote, interval_ms: int, ends_ms: tuple[int, int]
) -> tuple[Price, ...]:
    first_ms, last_ms = (each - interval_ms for each in ends_ms)
    if last_ms < 0:
        return ()
    drawn = partial(candles, table, symbol, feed_series(quote.feed_id), interval_ms=interval_ms)
    count = (last_ms - first_ms) // interval_ms
    before = await drawn(from_ms=0, until_ms=max(0, first_ms), limit=1)
    since = await drawn(from_ms=first_ms + 1, until_ms=last_ms, limit=count) if count else ()
    return tuple(
        Price(each.close_e8, each.start_ms + interval_ms, quote.simulated)
        for each in (*before, *since)
    )


async def trades(
    table: Readable, symbol: str, *, limit: int, cursor: int | None = None
) -> TradesPage:
    """Trades before `cursor` (the number of the last one seen), newest first; one request."""
    rows = await table.query(
        TRADES.name,
        {"symbol": symbol},
        where=None if cursor is None else Beyond("offset", cursor, below=True),
        newest_first=True,
        limit=limit + 1,
    )
    page = tuple(map(_traded, rows[:limit]))
    return TradesPage(page, page[-1].number if len(rows) > limit else None)


def _traded(row: Row) -> TradeRow:
    return TradeRow(_TRADE.decode(row["trade"]), row["time_ms"], row["offset"])


def _assets(traded: Iterable[Market]) -> list[Asset]:
    markets = {each.asset: each for each in traded}
    ids = [*DESCRIPTIONS, *(each for each in markets if each not in DESCRIPTIONS)]
    return [
        Asset(asset_id=each, description=DESCRIPTIONS.get(each), market=markets.get(each))
        for each in ids
    ]


def _rank(found: Asset) -> tuple[int, str]:
    rank = found.description.market_cap_rank if found.description else None
    return (_UNRANKED if rank is None else rank, found.asset_id)


def _symbol(asset_id: str) -> str:
    return f"{asset_id}-{CASH}"


def _market(terms: Row, quote: Row | None) -> Market:
    return Market(
        symbol=terms["symbol"],
        asset=terms["asset"],
        rules=msgspec.convert(terms["rules"], Rules),
        is_open=terms["is_open"],
        quote=None if quote is None else msgspec.convert(quote["quote"], Quote),
    )


def _price(row: Row) -> Price:
    quote = msgspec.convert(row["quote"], Quote)
    return Price(quote.last_e8, quote.time_ms, quote.simulated)
