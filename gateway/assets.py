"""/inventory/assets: what can be traded; open to everybody."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer, as_float, change_percentage, optional_e8
from gateway.parameters import asset_in_path, truth, whole
from gateway.problems import Problem
from gateway.services import services_of
from read_models.markets import queries as markets
from read_models.markets.queries import Asset, Day
from schemas.candles import DAY_MS
from schemas.envelope import rfc3339
from schemas.money import format_e8

_LIMIT_DEFAULT: Final = 50
_LIMIT_MAX: Final = 250
_UNKNOWN: Final = (
    "price_change_percentage_7d",
    "price_change_percentage_30d",
    "ath",
    "ath_change_percentage",
    "ath_date",
    "atl",
    "atl_change_percentage",
    "atl_date",
)
"""Older than what is kept here; every key is present all the same."""


async def read_assets(request: Request) -> Response:
    """GET /inventory/assets."""
    limit = whole(request, "limit", _LIMIT_DEFAULT, low=1, high=_LIMIT_MAX)
    active_only = truth(request, "active_only", default=True)
    services = services_of(request)
    since_ms = services.publisher.clock.now_ms() - DAY_MS
    known = await markets.list_assets(services.table)
    days = await markets.days(services.table, since_ms=since_ms)
    shown = [each for each in known if _is_active(each) or not active_only]
    body = {
        "data": [_asset_view(each, _day_of(each, days)) for each in shown[:limit]],
        "total_count": len(known),
        "active_count": sum(map(_is_active, known)),
    }
    return answer(body)


async def read_asset(request: Request) -> Response:
    """GET /inventory/assets/{asset_id}."""
    asset_id = asset_in_path(request)
    services = services_of(request)
    found = await markets.asset(services.table, asset_id)
    if found is None:
        raise Problem("not-found", detail="There is no such asset.")
    day = markets.NOTHING
    if found.market is not None:
        since_ms = services.publisher.clock.now_ms() - DAY_MS
        day = await markets.day(services.table, found.market.symbol, since_ms=since_ms)
    return answer({"data": _detail_view(found, day)})


def _day_of(asset: Asset, days: Mapping[str, Day]) -> Day:
    return days.get(asset.market.symbol, markets.NOTHING) if asset.market else markets.NOTHING


def _asset_view(asset: Asset, day: Day) -> dict[str, Any]:
    told, market = asset.description, asset.market
    quote = market.quote if market else None
    prices = day.prices
    return {
        "asset_id": asset.asset_id,
        "name": told.name if told else asset.asset_id,
        "description": told.description if told else None,
        "category": told.category if told else None,
        "price_usd": as_float(quote.last_e8) if quote else None,
        "is_active": _is_active(asset),
        "symbol": market.symbol if market else None,
        "image": told.image if told else None,
        "market_cap_rank": told.market_cap_rank if told else None,
        "price_change_percentage_24h": prices
        and change_percentage(prices.open_e8, prices.close_e8),
        "market_cap": told.market_cap if told else None,
        "total_volume_24h": _volume(asset, day),
    }


def _volume(asset: Asset, day: Day) -> str | None:
    """In USD, as market_cap is."""
    if asset.market is None:
        return None
    return format_e8(day.trades.notional_e8 if day.trades else 0)


def _detail_view(asset: Asset, day: Day) -> dict[str, Any]:
    told, prices = asset.description, day.prices
    quote = asset.market.quote if asset.market else None
    return {
        **_asset_view(asset, day),
        "availability_status": "available" if _is_active(asset) else "unavailable",
        **dict.fromkeys(_UNKNOWN),
        "price_change_24h": optional_e8(prices and prices.close_e8 - prices.open_e8),
        "high_24h": optional_e8(prices and prices.high_e8),
        "low_24h": optional_e8(prices and prices.low_e8),
        "circulating_supply": told.circulating_supply if told else None,
        "total_supply": told.total_supply if told else None,
        "max_supply": told.max_supply if told else None,
        "last_updated": rfc3339(quote.time_ms) if quote else None,
    }


def _is_active(asset: Asset) -> bool:
    return asset.market is not None and asset.market.is_open
