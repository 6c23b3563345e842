"""GET /orders/{order_id}/executions: how one of one's orders was filled."""

import asyncio
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer
from gateway.freshness import AsOf, min_version
from gateway.parameters import cursor, order_in_path, whole
from gateway.services import ACTIVITY, ORDERS, Services, services_of
from read_models.activity import queries as activity
from read_models.activity.queries import ExecutionRow, ExecutionsPage
from read_models.orders import queries as orders
from schemas.accounts import CASH
from schemas.envelope import rfc3339
from schemas.money import format_e8

_LIMIT_DEFAULT: Final = 50
_LIMIT_MAX: Final = 100


async def read_executions(request: Request) -> Response:
    """Oldest first; `next_cursor` asks for those that follow."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    order_id, after = order_in_path(request), cursor(request)
    limit = whole(request, "limit", _LIMIT_DEFAULT, low=1, high=_LIMIT_MAX)
    known, as_of = await _as_of(services, caller.user_id, min_version(request))
    row = await orders.order(services.table, caller.user_id, order_id)
    if row is None:
        raise known.absent("unknown-order")
    page = await activity.executions(
        services.table, caller.user_id, row.order.number, limit=limit, after=after or 0
    )
    body = {
        "data": [_view(each) for each in page.rows],
        "next_cursor": _next_cursor(page),
        "as_of": as_of.view(),
    }
    return answer(body, headers=as_of.headers())


async def _as_of(services: Services, account_id: str, at_least: int | None) -> tuple[AsOf, AsOf]:
    """How far the orders are, which say whether there is such an order, and how far the fills."""
    wait = partial(services.freshness.account, account_id, at_least=at_least)
    return await asyncio.gather(
        wait(ORDERS, partial(orders.head, services.table, account_id)),
        wait(ACTIVITY, partial(activity.head, services.table, account_id)),
    )


def _next_cursor(page: ExecutionsPage) -> str | None:
    return str(page.rows[-1].version) if page.has_more else None


def _view(row: ExecutionRow) -> dict[str, Any]:
    execution = row.execution
    return {
        "trade_id": execution.trade_id,
        "price": format_e8(execution.price_e8),
        "quantity": format_e8(execution.quantity_e8),
        "notional": format_e8(execution.notional_e8),
        "fee": format_e8(execution.fee_e8),
        "fee_asset": CASH,
        "liquidity": str(execution.liquidity),
        "time": rfc3339(row.time_ms),
    }
