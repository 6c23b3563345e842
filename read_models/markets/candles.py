"""Candles of a market, and what it did within the last day, from rows that events drew."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from msgspec.json import Decoder

from read_models.markets.table import (
    CANDLES,
    DAY,
    HOUR_PREFIX,
    MARKETS,
    MINUTE,
    QUOTE,
    candles_key,
    day_key,
)
from runtime.table import Readable, Row, Span, Stem
from schemas.candles import HOUR_MS, MINUTE_MS, Candle, extended, summed
from schemas.markets import TRADES, feed_series

_CANDLE: Final = Decoder(Candle, strict=False)


class Day(NamedTuple):
    """What a market did since some time: the last prices of its feed, and its trades.

    Each is one candle, or None where there was nothing.
    """

    prices: Candle | None
    trades: Candle | None


NOTHING: Final = Day(None, None)


async def candles(  # noqa: PLR0913  # each one is a part of one question
    table: Readable,
    symbol: str,
    series: str,
    *,
    interval_ms: int,
    from_ms: int,
    until_ms: int,
    limit: int,
) -> tuple[Candle, ...]:
    """The newest candles that start in a time, both ends included, oldest first; two requests.

    An interval without a price has no candle.
    """
    running = await _running(table, symbol, series)  # first, or a minute that ends now is missed
    rows = await table.query(
        CANDLES.name,
        {"series": candles_key(symbol, series, interval_ms)},
        where=Span("start_ms", from_ms, until_ms),
        newest_first=True,
        limit=limit,
    )
    found = {row["start_ms"]: candle_in(row["candle"]) for row in rows}
    newest = rows[0] if rows else None
    if running is not None and (newest is None or newest["minute_ms"] < running.start_ms):
        last = _with(found, newest, running, interval_ms)
        if from_ms <= last.start_ms <= until_ms:
            found[last.start_ms] = last
    return tuple(found[each] for each in sorted(found)[-limit:])


async def _running(table: Readable, symbol: str, series: str) -> Candle | None:
    """The minute that is not closed yet: a feed's lies with its quote."""
    is_day = series == TRADES
    key = day_key(symbol, series) if is_day else {"kind": QUOTE, "symbol": symbol}
    row = await table.get(MARKETS.name, key)
    if row is None or MINUTE not in row:
        return None
    is_same = is_day or feed_series(row["quote"]["feed_id"]) == series
    return candle_in(row[MINUTE]) if is_same else None


def _with(
    found: Mapping[int, Candle], newest: Row | None, minute: Candle, interval_ms: int
) -> Candle:
    """The candle of the open minute, after what closed minutes drew of its interval."""
    if interval_ms == MINUTE_MS:
        return minute
    before = None if newest is None else found[newest["start_ms"]]
    return extended(before, minute, interval_ms)


async def day(table: Readable, symbol: str, *, since_ms: int) -> Day:
    """What the market did since a time, by the hours that begin after it; two requests."""
    quote = await table.get(MARKETS.name, {"kind": QUOTE, "symbol": symbol})
    rows = await table.query(MARKETS.name, {"kind": DAY}, where=Stem("symbol", f"{symbol}/"))
    return _day(symbol, {row["symbol"]: row for row in rows}, quote, since_ms)


async def days(table: Readable, *, since_ms: int) -> Mapping[str, Day]:
    """What each market did since a time, those without a price left out; two requests."""
    quotes = {row["symbol"]: row for row in await table.query(MARKETS.name, {"kind": QUOTE})}
    rows = {row["symbol"]: row for row in await table.query(MARKETS.name, {"kind": DAY})}
    symbols = quotes.keys() | {each.partition("/")[0] for each in rows}
    return {each: _day(each, rows, quotes.get(each), since_ms) for each in symbols}


def _day(symbol: str, rows: Mapping[str, Row], quote: Row | None, since_ms: int) -> Day:
    def since(series: str, row_of_minute: Row) -> Candle | None:
        row = rows.get(day_key(symbol, series)["symbol"], {})
        hours = [candle_in(row[each]) for each in row if each.startswith(HOUR_PREFIX)]
        return _since(hours, row_of_minute.get(MINUTE), since_ms)

    traded = since(TRADES, rows.get(day_key(symbol, TRADES)["symbol"], {}))
    if quote is None:
        return Day(None, traded)
    return Day(since(feed_series(quote["quote"]["feed_id"]), quote), traded)


def _since(hours: Iterable[Candle], minute: str | None, since_ms: int) -> Candle | None:
    every = sorted(hours, key=lambda each: each.start_ms)
    if minute is not None:
        every.append(candle_in(minute))
    return summed(each for each in every if each.start_ms - each.start_ms % HOUR_MS >= since_ms)


def candle_in(text: str) -> Candle:
    """A candle as rows keep it."""
    return _CANDLE.decode(text)
