"""The gateway: the one way in, an ASGI application."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway import (
    api_keys,
    assets,
    balance,
    clock,
    commands,
    docs,
    equity,
    executions,
    fees,
    health,
    identity,
    insights,
    keys,
    markets,
    open_sessions,
    ops,
    orders,
    portfolio,
    statement,
)
from gateway.access import ACCESS, admit
from gateway.edge import Edge
from gateway.headers import Origins
from gateway.limits import STATE, Limits, limits_of
from gateway.services import running_services
from gateway.telling import TellsLimits
from runtime.settings import settings

Handler = Callable[[Request], Awaitable[Response]]


class _Handled:
    """A handler as an ASGI application for those who may call it; what it raises, the edge answers.

    Around a plain function Starlette would put a handler of exceptions, for each request anew.
    """

    def __init__(self, handler: Handler, method: str, path: str) -> None:
        self._handler: Final = handler
        self._call: Final = f"{method} {path}"
        self._access: Final = ACCESS[method, path]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive, send)
        await admit(request, self._access, self._call)
        response = await self._handler(request)
        await response(scope, receive, send)


def _route(path: str, handler: Handler, method: str = "GET") -> Route:
    return Route(path, _Handled(handler, method, path), methods=[method])


ROUTES = (
    # the most asked first: routes are tried in order
    _route("/api/v1/orders", orders.place_order, "POST"),
    _route("/api/v1/orders", orders.read_orders),
    _route("/api/v1/orders/{order_id}", orders.read_order),
    _route("/api/v1/orders/{order_id}", orders.cancel_order, "DELETE"),
    _route("/api/v1/orders/{order_id}", orders.replace_order, "PATCH"),
    _route("/api/v1/orders", orders.cancel_orders, "DELETE"),
    _route("/api/v1/orders/{order_id}/executions", executions.read_executions),
    _route("/api/v1/orders/test", orders.check_order, "POST"),
    _route("/api/v1/balance", balance.read_balance),
    _route("/api/v1/balance/deposit", balance.deposit, "POST"),
    _route("/api/v1/balance/withdraw", balance.withdraw, "POST"),
    _route("/api/v1/balance/transactions", balance.read_transactions),
    _route("/api/v1/balance/asset/{asset_id}", balance.read_asset_balance),
    _route("/api/v1/portfolio", portfolio.read_portfolio),
    _route("/api/v1/insights/portfolio", insights.read_insights),
    _route("/api/v1/account/equity", equity.read_equity),
    _route("/api/v1/account/statement", statement.read_statement),
    _route("/api/v1/account/fees", fees.read_fees),
    _route("/api/v1/assets/{asset_id}/transactions", orders.read_asset_transactions),
    _route("/api/v1/inventory/assets", assets.read_assets),
    _route("/api/v1/inventory/assets/{asset_id}", assets.read_asset),
    _route("/api/v1/markets", markets.read_markets),
    _route("/api/v1/markets/{symbol}", markets.read_market),
    _route("/api/v1/markets/{symbol}/trades", markets.read_trades),
    _route("/api/v1/markets/{symbol}/candles", markets.read_candles),
    _route("/api/v1/markets/{symbol}/book", markets.read_book),
    _route("/api/v1/commands/{command_id}", commands.read_command),
    _route("/api/v1/auth/register", identity.register, "POST"),
    _route("/api/v1/auth/login", identity.login, "POST"),
    _route("/api/v1/auth/logout", identity.logout, "POST"),
    _route("/api/v1/auth/profile", identity.read_profile),
    _route("/api/v1/auth/profile", identity.update_profile, "PUT"),
    _route("/api/v1/auth/refresh", identity.refresh, "POST"),
    _route("/api/v1/auth/password", identity.change_password, "POST"),
    _route("/api/v1/auth/sessions", open_sessions.read_sessions),
    _route("/api/v1/auth/sessions/{session_id}", open_sessions.end_session, "DELETE"),
    _route("/api/v1/auth/api-keys", api_keys.make_api_key, "POST"),
    _route("/api/v1/auth/api-keys", api_keys.read_api_keys),
    _route("/api/v1/auth/api-keys/{api_key_id}", api_keys.delete_api_key, "DELETE"),
    _route("/api/v1/ops/markets/{symbol}/halt", ops.halt_market, "POST"),
    _route("/api/v1/ops/markets/{symbol}/resume", ops.resume_market, "POST"),
    _route("/api/v1/ops/users/{username}/lock", ops.lock_user, "POST"),
    _route("/api/v1/ops/users/{username}/unlock", ops.unlock_user, "POST"),
    _route("/api/v1/ops/users/{username}/role", ops.change_role, "POST"),
    _route("/api/v1/time", clock.read_time),
    _route("/health", health.health),
    _route("/health/live", health.live),
    _route("/health/ready", health.ready),
    _route("/.well-known/jwks.json", keys.read_keys),
    _route("/openapi.json", docs.openapi),
    _route("/docs", docs.page),
)


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncGenerator[dict[str, Limits | None]]:
    async with running_services(settings()) as services:
        app.state.services = services
        yield {STATE: limits_of(settings(), partial(TellsLimits, services))}


class _Gateway(Starlette):
    """All failures are the edge's, so Starlette's own layers around the routes are left out."""

    def build_middleware_stack(self) -> ASGIApp:
        return Edge(self.router, Origins(settings().cors_origins))


app = _Gateway(routes=ROUTES, lifespan=_lifespan)
app.router.redirect_slashes = False
