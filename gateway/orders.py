"""/orders: place, read and cancel; and an asset's executions."""

from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer
from gateway.balance import account_order
from gateway.bodies import read_form
from gateway.commanding import commanded
from gateway.forms import OrderForm, ReplaceForm
from gateway.freshness import AsOf, min_version
from gateway.limits import count_order
from gateway.parameters import (
    OrderWord,
    asset_in_path,
    asset_parameter,
    order_in_path,
    whole,
    word,
)
from gateway.past import past_in_query
from gateway.problems import Problem
from gateway.services import ACTIVITY, ORDERS, Services, services_of
from gateway.views import order_view
from read_models import history
from read_models.activity import queries as activity
from read_models.activity.queries import ExecutionRow
from read_models.orders import queries as orders
from read_models.orders.queries import OrderRow
from schemas.accounts import (
    CancelAllOrders,
    CancelOrder,
    CheckOrder,
    OrderStatus,
    OrderType,
    PlaceOrder,
    ReplaceOrder,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from schemas.envelope import rfc3339
from schemas.money import format_e8

_LIMIT_DEFAULT: Final = 50
_LIMIT_MAX: Final = 100
_OFFSET_MAX: Final = 100_000
_WORDS: Final = {
    f"{kind.lower()}_{side.lower()}": (kind, side) for kind in OrderType for side in Side
}


async def place_order(request: Request) -> Response:
    """POST /orders."""
    caller = await services_of(request).auth.caller(request)
    await count_order(request, caller.user_id)
    form = await read_form(request, OrderForm)
    command = placed(form, account_id=caller.user_id)
    return await commanded(request, account_order(caller.user_id, command), status=201)


async def check_order(request: Request) -> Response:
    """POST /orders/test: nothing is placed."""
    caller = await services_of(request).auth.caller(request)
    await count_order(request, caller.user_id)
    form = await read_form(request, OrderForm)
    command = CheckOrder(order=placed(form, account_id=caller.user_id))
    return await commanded(request, account_order(caller.user_id, command), status=200)


def placed(form: OrderForm, *, account_id: str) -> PlaceOrder:
    """The command for this form; a market order that is no stop never rests: GTC means IOC."""
    kind, side = _WORDS[form.order_type]
    wanted = TimeInForce(form.time_in_force or "GTC")
    is_at_once = kind is OrderType.MARKET and form.stop_price is None
    is_resting_market = is_at_once and wanted is TimeInForce.GTC
    return PlaceOrder(
        account_id=account_id,
        asset=form.asset_id,
        side=side,
        order_type=kind,
        quantity_e8=form.quantity,
        price_e8=form.price,
        time_in_force=TimeInForce.IOC if is_resting_market else wanted,
        client_order_id=form.client_order_id,
        expires_at_ms=form.expires_at,
        post_only=form.post_only,
        stop_price_e8=form.stop_price,
        self_trade_prevention=SelfTradePrevention(form.self_trade_prevention),
    )


async def cancel_order(request: Request) -> Response:
    """DELETE /orders/{order_id}."""
    caller = await services_of(request).auth.caller(request)
    command = CancelOrder(account_id=caller.user_id, order_id=order_in_path(request))
    return await _changed(request, command)


async def cancel_orders(request: Request) -> Response:
    """DELETE /orders: the cancels go out; each order ends when its market gets there."""
    caller = await services_of(request).auth.caller(request)
    command = CancelAllOrders(account_id=caller.user_id, asset=asset_parameter(request))
    return await commanded(request, account_order(caller.user_id, command), status=200)


async def replace_order(request: Request) -> Response:
    """PATCH /orders/{order_id}."""
    caller = await services_of(request).auth.caller(request)
    await count_order(request, caller.user_id)
    order_id = order_in_path(request)
    form = await read_form(request, ReplaceForm)
    command = ReplaceOrder(
        account_id=caller.user_id,
        order_id=order_id,
        quantity_e8=form.quantity,
        price_e8=form.price,
        stop_price_e8=form.stop_price,
    )
    return await _changed(request, command)


async def read_orders(request: Request) -> Response:
    """GET /orders, now or `as_of`."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    wanted = word(request, "order_type", OrderWord)
    kind, side = _WORDS[wanted] if wanted else (None, None)
    asset, status = asset_parameter(request), word(request, "status", OrderStatus)
    limit, offset = _page(request)
    past = await past_in_query(services, caller.user_id, request)
    as_of = past.as_of if past else await _as_of(services, caller.user_id, request)
    listing = partial(history.orders, version=past.version) if past else orders.orders
    page = await listing(
        services.table,
        caller.user_id,
        asset=asset,
        side=side,
        order_type=kind,
        status=status,
        limit=limit,
        offset=offset,
    )
    body = {
        "data": [order_view(each.order, version=each.version) for each in page.rows],
        "has_more": page.has_more,
        "as_of": as_of.view(),
    }
    return answer(body, headers=as_of.headers())


async def read_order(request: Request) -> Response:
    """GET /orders/{order_id}."""
    caller = await services_of(request).auth.caller(request)
    row, as_of = await _found(request, caller.user_id, order_in_path(request))
    body = {"data": order_view(row.order, version=row.version), "as_of": as_of.view()}
    return answer(body, headers=as_of.headers())


async def read_asset_transactions(request: Request) -> Response:
    """GET /assets/{asset_id}/transactions."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    asset = asset_in_path(request)
    limit, offset = _page(request)
    as_of = await services.freshness.account(
        caller.user_id,
        ACTIVITY,
        partial(activity.head, services.table, caller.user_id),
        at_least=min_version(request),
    )
    page = await activity.asset_transactions(
        services.table, caller.user_id, asset, limit=limit, offset=offset
    )
    body = {
        "data": [_execution_view(each) for each in page.rows],
        "has_more": page.has_more,
        "as_of": as_of.view(),
    }
    return answer(body, headers=as_of.headers())


async def _changed(request: Request, command: CancelOrder | ReplaceOrder) -> Response:
    """The answer to a cancel or replace of one order.

    Accounts remembers the latest orders that ended; one that it forgot is still known here.
    """
    try:
        return await commanded(request, account_order(command.account_id, command), status=200)
    except Problem as problem:
        if problem.code != "unknown-order":
            raise
        await _found(request, command.account_id, command.order_id)
        raise Problem("order-final", headers=problem.headers) from None


async def _found(request: Request, account_id: str, order_id: str) -> tuple[OrderRow, AsOf]:
    """An order of this account, and how fresh it is.

    Raises:
        Problem: there is none, or nobody can be sure.
    """
    services = services_of(request)
    as_of = await _as_of(services, account_id, request)
    row = await orders.order(services.table, account_id, order_id)
    if row is None:
        raise as_of.absent("unknown-order")
    return row, as_of


async def _as_of(services: Services, account_id: str, request: Request) -> AsOf:
    head = partial(orders.head, services.table, account_id)
    return await services.freshness.account(account_id, ORDERS, head, at_least=min_version(request))


def _page(request: Request) -> tuple[int, int]:
    limit = whole(request, "limit", _LIMIT_DEFAULT, low=1, high=_LIMIT_MAX)
    return limit, whole(request, "offset", 0, low=0, high=_OFFSET_MAX)


def _execution_view(row: ExecutionRow) -> dict[str, Any]:
    return {
        "asset_id": row.asset,
        "transaction_type": str(row.side),
        "quantity": format_e8(row.execution.quantity_e8),
        "price": format_e8(row.execution.price_e8),
        "status": "COMPLETED",
        "timestamp": rfc3339(row.time_ms),
    }
