"""/markets: what everybody may know of a market; open to everybody, and about nobody."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer, change_percentage, optional_e8
from gateway.parameters import Interval, Source, cursor, symbol_in_path, time_in_query, whole, word
from gateway.problems import Problem, invalid
from gateway.services import services_of
from read_models.markets import queries as markets
from read_models.markets.queries import Day, Level, Market, TradeRow
from schemas.accounts import CASH, Side
from schemas.candles import DAY_MS, HOUR_MS, MINUTE_MS, Candle
from schemas.envelope import rfc3339
from schemas.fees import rate_text
from schemas.markets import TRADES, Quote, Rules, feed_series
from schemas.money import format_e8

_TRADES_DEFAULT: Final = 50
_TRADES_MAX: Final = 100
_DEPTH_DEFAULT: Final = 20
_DEPTH_MAX: Final = 100
_CANDLES_DEFAULT: Final = 300
_CANDLES_MAX: Final = 1_000
_FOREVER_MS: Final = 10**15
INTERVALS_MS: Final[Mapping[Interval, int]] = {
    Interval.MINUTE: MINUTE_MS,
    Interval.FIVE_MINUTES: 5 * MINUTE_MS,
    Interval.HOUR: HOUR_MS,
    Interval.DAY: DAY_MS,
}


async def read_markets(request: Request) -> Response:
    """GET /markets."""
    services = services_of(request)
    since_ms = services.publisher.clock.now_ms() - DAY_MS
    known = await markets.list_markets(services.table)
    days = await markets.days(services.table, since_ms=since_ms)
    data = [_market_view(each, days.get(each.symbol, markets.NOTHING)) for each in known]
    return answer({"data": data, "total_count": len(known)})


async def read_market(request: Request) -> Response:
    """GET /markets/{symbol}."""
    services = services_of(request)
    found = await _market(request)
    since_ms = services.publisher.clock.now_ms() - DAY_MS
    day = await markets.day(services.table, found.symbol, since_ms=since_ms)
    return answer({"data": _market_view(found, day)})


async def read_trades(request: Request) -> Response:
    """GET /markets/{symbol}/trades."""
    limit = whole(request, "limit", _TRADES_DEFAULT, low=1, high=_TRADES_MAX)
    before = cursor(request)
    symbol = (await _market(request)).symbol
    page = await markets.trades(services_of(request).table, symbol, limit=limit, cursor=before)
    following = None if page.next_cursor is None else str(page.next_cursor)
    return answer({"data": [_trade_view(each) for each in page.rows], "next_cursor": following})


async def read_candles(request: Request) -> Response:
    """GET /markets/{symbol}/candles."""
    limit = whole(request, "limit", _CANDLES_DEFAULT, low=1, high=_CANDLES_MAX)
    interval = word(request, "interval", Interval) or Interval.MINUTE
    source = word(request, "source", Source) or Source.TRADES
    from_ms, until_ms = _asked_time(request)
    services = services_of(request)
    found = await _market(request)
    series = _series(found, source)
    drawn: Sequence[Candle] = ()
    if series is not None:
        drawn = await markets.candles(
            services.table,
            found.symbol,
            series,
            interval_ms=INTERVALS_MS[interval],
            from_ms=from_ms,
            until_ms=until_ms,
            limit=limit,
        )
    now_ms = services.publisher.clock.now_ms()
    body = {
        "symbol": found.symbol,
        "interval": str(interval),
        "source": str(source),
        "data": [_candle_view(each, now_ms) for each in drawn],
    }
    return answer(body)


def _asked_time(request: Request) -> tuple[int, int]:
    """Both ends included, where nothing is asked for open."""
    from_ms, until_ms = time_in_query(request, "from"), time_in_query(request, "to")
    from_ms = 0 if from_ms is None else from_ms
    until_ms = _FOREVER_MS if until_ms is None else until_ms
    if until_ms < from_ms:
        raise invalid("to", "has to be after from")
    return from_ms, until_ms


def _series(market: Market, source: Source) -> str | None:
    if source is Source.TRADES:
        return TRADES
    return None if market.quote is None else feed_series(market.quote.feed_id)


async def read_book(request: Request) -> Response:
    """GET /markets/{symbol}/book."""
    depth = whole(request, "depth", _DEPTH_DEFAULT, low=1, high=_DEPTH_MAX)
    services = services_of(request)
    found = await _market(request)
    now_ms = services.publisher.clock.now_ms()
    bids, asks = [
        list(
            level_views(
                await markets.levels(services.table, found.symbol, side, depth=depth),
                house_level(found, side, now_ms=now_ms),
                side,
            )
        )[:depth]
        for side in (Side.BUY, Side.SELL)
    ]
    return answer({"data": {"symbol": found.symbol, "bids": bids, "asks": asks}})


def house_level(market: Market, side: Side, *, now_ms: int) -> Level | None:
    """What the house quotes on a side, in whole lots; nothing when that is stale or halted."""
    quote, rules = market.quote, market.rules
    if quote is None or not market.is_open or now_ms - quote.time_ms > rules.stale_after_ms:
        return None
    is_bid = side is Side.BUY
    size_e8 = quote.bid_size_e8 if is_bid else quote.ask_size_e8
    lots_e8 = size_e8 - size_e8 % rules.lot_e8
    return Level(quote.bid_e8 if is_bid else quote.ask_e8, lots_e8, 1) if lots_e8 else None


async def _market(request: Request) -> Market:
    symbol = symbol_in_path(request)
    found = await markets.market(services_of(request).table, symbol)
    if found is None:
        raise Problem("not-found", detail="There is no such market.")
    return found


def _market_view(market: Market, day: Day) -> dict[str, Any]:
    return {
        "symbol": market.symbol,
        "asset_id": market.asset,
        "quote_asset_id": CASH,
        "status": "open" if market.is_open else "halted",
        "rules": _rules_view(market.rules),
        "quote": None if market.quote is None else _quote_view(market.quote),
        "last_24h": _day_view(day),
    }


def _day_view(day: Day) -> dict[str, Any]:
    """Prices are the feed's, volumes of trades here; by the hours that began within the day."""
    prices, trades = day
    return {
        "open": optional_e8(prices and prices.open_e8),
        "high": optional_e8(prices and prices.high_e8),
        "low": optional_e8(prices and prices.low_e8),
        "last": optional_e8(prices and prices.close_e8),
        "change": optional_e8(prices and prices.close_e8 - prices.open_e8),
        "change_percentage": prices and change_percentage(prices.open_e8, prices.close_e8),
        "volume": format_e8(trades.quantity_e8 if trades else 0),
        "notional": format_e8(trades.notional_e8 if trades else 0),
        "trades": trades.count if trades else 0,
    }


def _candle_view(candle: Candle, now_ms: int) -> dict[str, Any]:
    """`count` is of trades, or of quotes in a feed's candle, which has no volume."""
    return {
        "time": rfc3339(candle.start_ms),
        "open": format_e8(candle.open_e8),
        "high": format_e8(candle.high_e8),
        "low": format_e8(candle.low_e8),
        "close": format_e8(candle.close_e8),
        "volume": format_e8(candle.quantity_e8),
        "notional": format_e8(candle.notional_e8),
        "count": candle.count,
        "complete": candle.start_ms + candle.interval_ms <= now_ms,
    }


def _rules_view(rules: Rules) -> dict[str, Any]:
    """Rates and the collar are fractions: 0.01 is 1 %."""
    return {
        "tick_size": format_e8(rules.tick_e8),
        "lot_size": format_e8(rules.lot_e8),
        "min_notional": format_e8(rules.min_notional_e8),
        "maker_fee_rate": rate_text(rules.maker_fee_ppm),
        "taker_fee_rate": rate_text(rules.taker_fee_ppm),
        "collar": rate_text(rules.collar_ppm),
        "stale_after_ms": rules.stale_after_ms,
    }


def _quote_view(quote: Quote) -> dict[str, Any]:
    return {
        "bid": format_e8(quote.bid_e8),
        "bid_size": format_e8(quote.bid_size_e8),
        "ask": format_e8(quote.ask_e8),
        "ask_size": format_e8(quote.ask_size_e8),
        "last": format_e8(quote.last_e8),
        "time": rfc3339(quote.time_ms),
        "feed": quote.feed_id,
        "simulated": quote.simulated,
    }


def _trade_view(row: TradeRow) -> dict[str, Any]:
    trade = row.trade
    return {
        "trade_id": trade.trade_id,
        "price": format_e8(trade.price_e8),
        "quantity": format_e8(trade.quantity_e8),
        "notional": format_e8(trade.notional_e8),
        "taker_side": str(trade.taker_side),
        "time": rfc3339(row.time_ms),
    }


def level_views(
    levels: Sequence[Level], house: Level | None, side: Side
) -> Iterator[dict[str, Any]]:
    """Levels best first, the house's behind the orders at its price."""
    sign = -1 if side is Side.BUY else 1
    for level in levels:
        if house is not None and sign * house.price_e8 < sign * level.price_e8:
            yield _level_view(house, is_house=True)
            house = None
        yield _level_view(level, is_house=False)
    if house is not None:
        yield _level_view(house, is_house=True)


def _level_view(level: Level, *, is_house: bool) -> dict[str, Any]:
    return {
        "price": format_e8(level.price_e8),
        "quantity": format_e8(level.quantity_e8),
        "orders": level.orders,
        "house": is_house,
    }
