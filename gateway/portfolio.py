"""GET /portfolio: what one holds, valued at the last prices."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer, optional_e8
from gateway.balance import read_holdings
from gateway.freshness import AsOf, min_version
from gateway.parameters import Source
from gateway.past import Past, past_in_query
from gateway.services import Services, services_of
from gateway.views import average_price_e8
from read_models.activity import queries as activity
from read_models.markets import queries as markets
from read_models.past import Until
from runtime.table import Readable
from schemas.accounts import CASH, Holding
from schemas.envelope import rfc3339
from schemas.money import format_e8, notional_floor

_HUNDREDTHS = 10_000


class Totals(NamedTuple):
    """Sums over an account's holdings, in USD."""

    cash_e8: int
    value_e8: int
    cost_e8: int
    realized_e8: int


async def read_portfolio(request: Request) -> Response:
    """GET /portfolio, now or `as_of`."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    past = await past_in_query(services, caller.user_id, request)
    if past is None:
        view, as_of = await current_portfolio(services, caller.user_id, min_version(request))
    else:
        view, as_of = await past_portfolio(services.table, caller.user_id, past), past.as_of
    return answer(view | {"as_of": as_of.view()}, headers=as_of.headers())


async def past_portfolio(table: Readable, account_id: str, past: Past) -> dict[str, Any]:
    """What the account had, at the last prices of that time; those say of when they are."""
    mark = await activity.mark(table, account_id, Until(past.version))
    held = sorted(mark.holdings.values(), key=lambda each: each.asset)
    positions = [each.asset for each in held if each.asset != CASH and quantity_e8(each)]
    prices = await markets.prices_at(table, positions, past.time_ms)
    view = portfolio_view(held, {each: price.price_e8 for each, price in prices.items()})
    times = {each: rfc3339(price.time_ms) for each, price in prices.items()}
    return view | {"price_source": str(Source.FEED), "price_times": times}


async def current_portfolio(
    services: Services, account_id: str, at_least: int | None
) -> tuple[dict[str, Any], AsOf]:
    """What the account has, at the last prices, and how fresh that is."""
    held, as_of = await read_holdings(services, account_id, at_least)
    prices = {
        each: price.price_e8 for each, price in (await markets.prices(services.table)).items()
    }
    return portfolio_view([each.holding for each in held], prices), as_of


def portfolio_view(holdings: Sequence[Holding], prices_e8: Mapping[str, int]) -> dict[str, Any]:
    """Positions and totals; what was realised counts after the position is gone, too.

    Equity less what was deposited net is, to the last 1e-8, the realised and unrealised P&L.
    """
    positions = [each for each in holdings if each.asset != CASH and quantity_e8(each)]
    cash_e8, value_e8, cost_e8, realized_e8 = totals(holdings, prices_e8)
    return {
        "assets": [_position_view(each, prices_e8.get(each.asset), value_e8) for each in positions],
        "cash": format_e8(cash_e8),
        "equity": format_e8(cash_e8 + value_e8),
        "total_market_value": format_e8(value_e8),
        "total_cost_basis": format_e8(cost_e8),
        "total_unrealized_pl": format_e8(value_e8 - cost_e8),
        "total_realized_pl": format_e8(realized_e8),
    }


def totals(holdings: Iterable[Holding], prices_e8: Mapping[str, int]) -> Totals:
    """What all holdings come to; what has no price is worth nothing."""
    cash_e8 = value_e8 = cost_e8 = realized_e8 = 0
    for each in holdings:
        realized_e8 += each.realized_e8
        if each.asset == CASH:
            cash_e8 += quantity_e8(each)
        else:
            value_e8 += _value_e8(each, prices_e8.get(each.asset))
            cost_e8 += each.cost_e8
    return Totals(cash_e8, value_e8, cost_e8, realized_e8)


def _position_view(holding: Holding, price_e8: int | None, total_e8: int) -> dict[str, Any]:
    held_e8, value_e8 = quantity_e8(holding), _value_e8(holding, price_e8)
    return {
        "asset_id": holding.asset,
        "quantity": format_e8(held_e8),
        "current_price": optional_e8(price_e8),
        "market_value": format_e8(value_e8),
        "percentage": round(value_e8 * _HUNDREDTHS / total_e8) / 100 if total_e8 else 0.0,
        "avg_entry_price": optional_e8(average_price_e8(holding.cost_e8, held_e8)),
        "cost_basis": format_e8(holding.cost_e8),
        "unrealized_pl": format_e8(value_e8 - holding.cost_e8),
        "realized_pl": format_e8(holding.realized_e8),
    }


def quantity_e8(holding: Holding) -> int:
    """Free and locked together."""
    return holding.free_e8 + holding.locked_e8


def _value_e8(holding: Holding, price_e8: int | None) -> int:
    return 0 if price_e8 is None else notional_floor(price_e8, quantity_e8(holding))
