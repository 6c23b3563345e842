"""Who may call which route: the one table, without an entry in which no route exists.

What belongs to another trader is not here but in the handlers, which answer 404.
"""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request

from gateway.problems import Problem
from gateway.services import services_of
from gateway.telling import tell_refusal
from runtime import metrics
from schemas.audit import Happened
from schemas.identity import Role

Allowed = frozenset[Role] | None

ANYONE: Final[Allowed] = None
"""Also without a token."""
SIGNED_IN: Final[Allowed] = frozenset(Role)
TRADERS: Final[Allowed] = frozenset({Role.TRADER})
OPERATORS: Final[Allowed] = frozenset({Role.OPERATOR})

ACCESS: Final[Mapping[tuple[str, str], Allowed]] = {
    ("POST", "/api/v1/orders"): TRADERS,
    ("GET", "/api/v1/orders"): TRADERS,
    ("DELETE", "/api/v1/orders"): TRADERS,
    ("POST", "/api/v1/orders/test"): TRADERS,
    ("GET", "/api/v1/orders/{order_id}"): TRADERS,
    ("DELETE", "/api/v1/orders/{order_id}"): TRADERS,
    ("PATCH", "/api/v1/orders/{order_id}"): TRADERS,
    ("GET", "/api/v1/orders/{order_id}/executions"): TRADERS,
    ("GET", "/api/v1/balance"): TRADERS,
    ("POST", "/api/v1/balance/deposit"): TRADERS,
    ("POST", "/api/v1/balance/withdraw"): TRADERS,
    ("GET", "/api/v1/balance/transactions"): TRADERS,
    ("GET", "/api/v1/balance/asset/{asset_id}"): TRADERS,
    ("GET", "/api/v1/portfolio"): TRADERS,
    ("GET", "/api/v1/insights/portfolio"): TRADERS,
    ("GET", "/api/v1/account/equity"): TRADERS,
    ("GET", "/api/v1/account/statement"): TRADERS,
    ("GET", "/api/v1/account/fees"): TRADERS,
    ("GET", "/api/v1/assets/{asset_id}/transactions"): TRADERS,
    ("GET", "/api/v1/inventory/assets"): ANYONE,
    ("GET", "/api/v1/inventory/assets/{asset_id}"): ANYONE,
    ("GET", "/api/v1/markets"): ANYONE,
    ("GET", "/api/v1/markets/{symbol}"): ANYONE,
    ("GET", "/api/v1/markets/{symbol}/trades"): ANYONE,
    ("GET", "/api/v1/markets/{symbol}/candles"): ANYONE,
    ("GET", "/api/v1/markets/{symbol}/book"): ANYONE,
    ("GET", "/api/v1/commands/{command_id}"): ANYONE,  # a registration's id is its own proof
    ("POST", "/api/v1/auth/register"): ANYONE,
    ("POST", "/api/v1/auth/login"): ANYONE,
    ("POST", "/api/v1/auth/refresh"): ANYONE,  # the refresh token says who
    ("POST", "/api/v1/auth/password"): SIGNED_IN,
    ("GET", "/api/v1/auth/sessions"): SIGNED_IN,
    ("DELETE", "/api/v1/auth/sessions/{session_id}"): SIGNED_IN,
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


async def admit(request: Request, allowed: frozenset[Role], call: str) -> None:
    """Let the caller in who has one of these roles.

    Raises:
        Problem: no good token (401), or another role (403).
        Unavailable: auth does not answer; nobody is let in.
    """
    caller = await services_of(request).auth.caller(request)
    if caller.role not in allowed:
        metrics.UNAUTHORISED.labels("role").inc()
        refused = Happened.ROLE_REFUSED
        tell_refusal(services_of(request), request.scope, refused, call=call, detail=caller.role)
        raise Problem("role-not-allowed")


def table() -> str:
    """Routes and who may call them, as a table in Markdown."""
    rows = [f"| `{method} {path}` | {_said(who)} |" for (method, path), who in ACCESS.items()]
    return "\n".join(["| route | who |", "|---|---|", *rows])


def _said(allowed: Allowed) -> str:
    if allowed is None:
        return "anyone"
    return "anyone signed in" if allowed == SIGNED_IN else ", ".join(sorted(allowed))
