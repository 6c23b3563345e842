"""/balance: cash, deposits, withdrawals, what came in and went out."""

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer, as_float
from gateway.bodies import read_form
from gateway.commanding import commanded
from gateway.deciding import Order
from gateway.forms import AmountForm
from gateway.freshness import AsOf, min_version
from gateway.parameters import asset_in_path, cursor, whole
from gateway.past import past_in_query
from gateway.services import ACTIVITY, PORTFOLIO, Services, services_of
from read_models import history
from read_models.activity import queries as activity
from read_models.activity.queries import Transaction
from read_models.markets import queries as markets
from read_models.markets.queries import Asset
from read_models.portfolio import queries as portfolio
from read_models.portfolio.queries import Head, HoldingRow
from schemas.accounts import CASH, DepositFunds, WithdrawFunds
from schemas.envelope import rfc3339
from schemas.money import E8, format_e8, notional_floor
from schemas.topics import ACCOUNTS, ACCOUNTS_COMMANDS

_LIMIT_DEFAULT = 50
_LIMIT_MAX = 100


async def deposit(request: Request) -> Response:
    """POST /balance/deposit."""
    return await _move(request, DepositFunds)


async def withdraw(request: Request) -> Response:
    """POST /balance/withdraw."""
    return await _move(request, WithdrawFunds)


async def _move(request: Request, kind: type[DepositFunds | WithdrawFunds]) -> Response:
    caller = await services_of(request).auth.caller(request)
    form = await read_form(request, AmountForm)
    command = kind(account_id=caller.user_id, amount_e8=form.amount)
    return await commanded(request, account_order(caller.user_id, command), status=201)


def account_order(account_id: str, command: Any) -> Order:  # noqa: ANN401
    """An order to the caller's own account."""
    return Order(
        topic=ACCOUNTS_COMMANDS,
        key=account_id,
        command=command,
        context=ACCOUNTS,
        subject=account_id,
        owner=account_id,
    )


async def read_balance(request: Request) -> Response:
    """GET /balance, now or `as_of`."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    past = await past_in_query(services, caller.user_id, request)
    if past is not None:
        cash, as_of = await history.cash(services.table, caller.user_id, past.version), past.as_of
    else:
        held, as_of = await read_holdings(services, caller.user_id, min_version(request))
        cash = next((each for each in held if each.holding.asset == CASH), None)
    free_e8, locked_e8 = (cash.holding.free_e8, cash.holding.locked_e8) if cash else (0, 0)
    body = {
        "current_balance": format_e8(free_e8 + locked_e8),
        "updated_at": rfc3339(cash.time_ms) if cash else None,
        "available": format_e8(free_e8),
        "locked": format_e8(locked_e8),
        "as_of": as_of.view(),
    }
    return answer(body, headers=as_of.headers())


async def read_transactions(request: Request) -> Response:
    """GET /balance/transactions."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    limit = whole(request, "limit", _LIMIT_DEFAULT, low=1, high=_LIMIT_MAX)
    after = cursor(request)
    as_of = await services.freshness.account(
        caller.user_id,
        ACTIVITY,
        partial(activity.head, services.table, caller.user_id),
        at_least=min_version(request),
    )
    page = await activity.transactions(services.table, caller.user_id, limit=limit, cursor=after)
    body = {
        "transactions": [_transaction_view(each) for each in page.rows],
        "total_count": page.total_count,
        "next_cursor": None if page.next_cursor is None else str(page.next_cursor),
        "as_of": as_of.view(),
    }
    return answer(body, headers=as_of.headers())


async def read_asset_balance(request: Request) -> Response:
    """GET /balance/asset/{asset_id}."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    asset = asset_in_path(request)
    held, as_of = await read_holdings(services, caller.user_id, min_version(request))
    row = next((each for each in held if each.holding.asset == asset), None)
    if row is None:
        raise as_of.absent("not-found", detail="You have never held this asset.")
    found = await markets.asset(services.table, asset)
    quantity_e8 = row.holding.free_e8 + row.holding.locked_e8
    price_e8 = _price_e8(asset, found)
    body = {
        "asset_id": asset,
        "asset_name": found.description.name if found and found.description else asset,
        "quantity": format_e8(quantity_e8),
        "current_price": as_float(price_e8),
        "total_value": as_float(notional_floor(price_e8, quantity_e8)),
        "created_at": rfc3339(row.holding.created_at_ms or row.time_ms),
        "updated_at": rfc3339(row.time_ms),
        "as_of": as_of.view(),
    }
    return answer(body, headers=as_of.headers())


async def read_holdings(
    services: Services, account_id: str, at_least: int | None
) -> tuple[tuple[HoldingRow, ...], AsOf]:
    """All that the account holds, and how fresh that is."""
    held: tuple[HoldingRow, ...] = ()

    async def read() -> Head | None:
        nonlocal held
        held, head = await portfolio.holdings(services.table, account_id)
        return head

    as_of = await services.freshness.account(account_id, PORTFOLIO, read, at_least=at_least)
    return held, as_of


def _price_e8(asset: str, found: Asset | None) -> int:
    if asset == CASH:
        return E8
    if found is None or found.market is None or found.market.quote is None:
        return 0
    return found.market.quote.last_e8


def _transaction_view(transaction: Transaction) -> dict[str, Any]:
    return {
        "transaction_id": transaction.transaction_id,
        "transaction_type": transaction.transaction_type,
        "amount": format_e8(transaction.amount_e8),
        "status": "completed",
        "created_at": rfc3339(transaction.created_at_ms),
    }
