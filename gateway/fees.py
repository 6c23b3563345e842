"""GET /account/fees: what one pays, and what one traded in 30 days, which decides it."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer
from gateway.freshness import min_version
from gateway.services import PORTFOLIO, services_of
from read_models.portfolio import queries as portfolio
from runtime.journal.outbound import partition_of
from schemas.fees import FeeTier, Tiers, rate_text, tier_of, volume_of
from schemas.money import format_e8
from schemas.topics import ACCOUNTS_JOURNAL


async def read_fees(request: Request) -> Response:
    """GET /account/fees."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    as_of = await services.freshness.account(
        caller.user_id,
        PORTFOLIO,
        partial(portfolio.head, services.table, caller.user_id),
        at_least=min_version(request),
    )
    partition = partition_of(caller.user_id, services.tail.partitions_of(ACCOUNTS_JOURNAL))
    tiers = await portfolio.tiers(services.table, partition)
    traded = await portfolio.volumes(services.table, caller.user_id)
    view = fees_view(tiers, traded.by_day, services.publisher.clock.now_ms())
    return answer({"data": view, "as_of": as_of.view()}, headers=as_of.headers())


def fees_view(tiers: Tiers, volumes_e8: Mapping[int, int], now_ms: int) -> dict[str, Any]:
    """The tier of an order placed now, and the next one where there is one."""
    volume_e8 = volume_of(volumes_e8, now_ms)
    number = tier_of(tiers, volume_e8)
    return {
        "volume_30d": format_e8(volume_e8),
        **_tier_view(number, tiers[number]),
        "next_tier": _tier_view(number + 1, tiers[number + 1]) if tiers[number + 1 :] else None,
    }


def _tier_view(number: int, tier: FeeTier) -> dict[str, Any]:
    return {
        "tier": number,
        "minimum_volume_30d": format_e8(tier.volume_e8),
        "maker_fee_rate": rate_text(tier.maker_fee_ppm),
        "taker_fee_rate": rate_text(tier.taker_fee_ppm),
    }
