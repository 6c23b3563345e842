"""/inventory/assets: what can be traded; open to everybody."""

from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer, as_float
from gateway.parameters import asset_in_path, truth, whole
from gateway.problems import Problem
from gateway.services import services_of
from read_models.markets import queries as markets
from read_models.markets.queries import Asset
from schemas.envelope import rfc3339

_LIMIT_DEFAULT: Final = 50
_LIMIT_MAX: Final = 250
_UNKNOWN: Final = (
    "price_change_24h",
    "price_change_percentage_7d",
    "price_change_percentage_30d",
    "high_24h",
    "low_24h",
    "ath",
    "ath_change_percentage",
    "ath_date",
    "atl",
    "atl_change_percentage",
    "atl_date",
)
"""Not known until candles are kept; every key is present all the same."""


async def read_assets(request: Request) -> Response:
    """GET /inventory/assets."""
    limit = whole(request, "limit", _LIMIT_DEFAULT, low=1, high=_LIMIT_MAX)
    active_only = truth(request, "active_only", default=True)
    known = await markets.list_assets(services_of(request).table)
    shown = [each for each in known if _is_active(each) or not active_only]
    body = {
        "data": [_asset_view(each) for each in shown[:limit]],
        "total_count": len(known),
        "active_count": sum(map(_is_active, known)),
    }
    return answer(body)


async def read_asset(request: Request) -> Response:
    """GET /inventory/assets/{asset_id}."""
    asset_id = asset_in_path(request)
    found = await markets.asset(services_of(request).table, asset_id)
    if found is None:
        raise Problem("not-found", detail="There is no such asset.")
    return answer({"data": _detail_view(found)})


def _asset_view(asset: Asset) -> dict[str, Any]:
    told, market = asset.description, asset.market
    quote = market.quote if market else None
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
        "price_change_percentage_24h": None,
        "market_cap": told.market_cap if told else None,
        "total_volume_24h": None,
    }


def _detail_view(asset: Asset) -> dict[str, Any]:
    told = asset.description
    quote = asset.market.quote if asset.market else None
    return {
        **_asset_view(asset),
        "availability_status": "available" if _is_active(asset) else "unavailable",
        **dict.fromkeys(_UNKNOWN),
        "circulating_supply": told.circulating_supply if told else None,
        "total_supply": told.total_supply if told else None,
        "max_supply": told.max_supply if told else None,
        "last_updated": rfc3339(quote.time_ms) if quote else None,
    }


def _is_active(asset: Asset) -> bool:
    return asset.market is not None and asset.market.is_open
