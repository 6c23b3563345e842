"""Who may call which route, and with which scope a bot: without an entry no route exists.

What belongs to another trader is not here but in the handlers, which answer 404.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from starlette.requests import Request

from gateway.problems import Problem
from gateway.services import services_of
from gateway.telling import tell_refusal
from runtime import metrics
from schemas.audit import Happened
from schemas.identity import Role, Scope


class Access(NamedTuple):
    """Who may call a route: callers with these roles, of API keys only those with this scope.

    Without roles it is for anyone, also without a token; without a scope it is not for API keys.
    """

    roles: frozenset[Role] | None
    scope: Scope | None = None


_TRADERS: Final = frozenset({Role.TRADER})
ANYONE: Final = Access(None)
SIGNED_IN: Final = Access(frozenset(Role))
OPERATORS: Final = Access(frozenset({Role.OPERATOR}))
READS: Final = Access(_TRADERS, Scope.READ)
TRADES: Final = Access(_TRADERS, Scope.TRADE)
DEPOSITS: Final = Access(_TRADERS, Scope.DEPOSIT)
WITHDRAWS: Final = Access(_TRADERS, Scope.WITHDRAW)

ACCESS: Final[Mapping[tuple[str, str], Access]] = {
    ("POST", "/api/v1/orders"): TRADES,
    ("GET", "/api/v1/orders"): READS,
    ("DELETE", "/api/v1/orders"): TRADES,
    ("POST", "/api/v1/orders/test"): TRADES,
    ("GET", "/api/v1/orders/{order_id}"): READS,
    ("DELETE", "/api/v1/orders/{order_id}"): TRADES,
    ("PATCH", "/api/v1/orders/{order_id}"): TRADES,
    ("GET", "/api/v1/orders/{order_id}/executions"): READS,
    ("GET", "/api/v1/balance"): READS,
    ("POST", "/api/v1/balance/deposit"): DEPOSITS,
    ("POST", "/api/v1/balance/withdraw"): WITHDRAWS,
    ("GET", "/api/v1/balance/transactions"): READS,
    ("GET", "/api/v1/balance/asset/{asset_id}"): READS,
    ("GET", "/api/v1/portfolio"): READS,
    ("GET", "/api/v1/insights/portfolio"): READS,
    ("GET", "/api/v1/account/equity"): READS,
    ("GET", "/api/v1/account/statement"): READS,
    ("GET", "/api/v1/account/fees"): READS,
    ("GET", "/api/v1/assets/{asset_id}/transactions"): READS,
    ("GET", "/api/v1/inventory/assets"): ANYONE,
    ("GET", "/api/v1/inventory/assets/{asset_id}"): ANYONE,
    ("GET", "/api/v1/markets"): ANYONE,
    ("GET", "/api/v1/markets/{symbol}"): ANYONE,
    ("GET", "/api/v1/markets/{symbol}/trades"): ANYONE,
    ("GET", "/api/v1/markets/{symbol}/candles"): ANYONE,
    ("GET", "/api/v1/markets/{symbol}/book"): ANYONE,
    ("GET", "/api/v1/commands/{command_id}"): ANYONE,  # whose it is, its id says
    ("POST", "/api/v1/auth/register"): ANYONE,
    ("POST", "/api/v1/auth/login"): ANYONE,
    ("POST", "/api/v1/auth/refresh"): ANYONE,  # the refresh token says who
    ("POST", "/api/v1/auth/password"): SIGNED_IN,
    ("GET", "/api/v1/auth/sessions"): SIGNED_IN,
    ("DELETE", "/api/v1/auth/sessions/{session_id}"): SIGNED_IN,
    ("POST", "/api/v1/auth/api-keys"): SIGNED_IN,
    ("GET", "/api/v1/auth/api-keys"): SIGNED_IN,
    ("DELETE", "/api/v1/auth/api-keys/{api_key_id}"): SIGNED_IN,
    ("POST", "/api/v1/auth/logout"): SIGNED_IN,
    ("GET", "/api/v1/auth/profile"): SIGNED_IN,
    ("PUT", "/api/v1/auth/profile"): SIGNED_IN,
    ("POST", "/api/v1/ops/markets/{symbol}/halt"): OPERATORS,
    ("POST", "/api/v1/ops/markets/{symbol}/resume"): OPERATORS,
    ("POST", "/api/v1/ops/users/{username}/lock"): OPERATORS,
    ("POST", "/api/v1/ops/users/{username}/unlock"): OPERATORS,
    ("POST", "/api/v1/ops/users/{username}/role"): OPERATORS,
    ("GET", "/api/v1/time"): ANYONE,
    ("GET", "/health"): ANYONE,
    ("GET", "/health/live"): ANYONE,
    ("GET", "/health/ready"): ANYONE,
    ("GET", "/.well-known/jwks.json"): ANYONE,
    ("GET", "/openapi.json"): ANYONE,
    ("GET", "/docs"): ANYONE,
}


async def admit(request: Request, access: Access, call: str) -> None:
    """Let the caller in who has one of these roles, a bot only with this scope.

    Raises:
        Problem: no good token (401), another role or not the scope (403).
        Unavailable: auth does not answer; nobody is let in.
    """
    if access.roles is None:
        return
    caller = await services_of(request).auth.caller(request)
    if caller.role not in access.roles:
        raise _refused(request, call, _ROLE, caller.role)
    if caller.scopes is not None and access.scope not in caller.scopes:
        raise _refused(request, call, _SCOPE, access.scope or "none")


class _Refusal(NamedTuple):
    """How one kind of refusal is counted, told and answered."""

    counted: str
    happened: Happened
    code: str


_ROLE: Final = _Refusal("role", Happened.ROLE_REFUSED, "role-not-allowed")
_SCOPE: Final = _Refusal("scope", Happened.SCOPE_REFUSED, "scope-not-granted")


def _refused(request: Request, call: str, refusal: _Refusal, detail: str) -> Problem:
    metrics.UNAUTHORISED.labels(refusal.counted).inc()
    services = services_of(request)
    tell_refusal(services, request.scope, refusal.happened, call=call, detail=detail)
    return Problem(refusal.code)


def table() -> str:
    """Routes, who may call them and with which scope API keys may, as a table in Markdown."""
    rows = [
        f"| `{method} {path}` | {_said(access)} | {_scope(access)} |"
        for (method, path), access in ACCESS.items()
    ]
    return "\n".join(["| route | who | API key |", "|---|---|---|", *rows])


def _said(access: Access) -> str:
    if access.roles is None:
        return "anyone"
    return "anyone signed in" if access == SIGNED_IN else ", ".join(sorted(access.roles))


def _scope(access: Access) -> str:
    if access.roles is None:
        return "any"
    return "no" if access.scope is None else f"`{access.scope}`"
