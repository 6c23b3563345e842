"""The gateway: the one way in, an ASGI application."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway import assets, balance, commands, docs, health, identity, orders, portfolio
from gateway.edge import Edge, failure
from gateway.problems import Problem
from gateway.services import running_services
from runtime.settings import settings

ROUTES = (
    # the most asked first: routes are tried in order
    Route("/api/v1/orders", orders.place_order, methods=["POST"]),
    Route("/api/v1/orders", orders.read_orders),
    Route("/api/v1/orders/{order_id}", orders.read_order),
    Route("/api/v1/orders/{order_id}", orders.cancel_order, methods=["DELETE"]),
    Route("/api/v1/balance", balance.read_balance),
    Route("/api/v1/balance/deposit", balance.deposit, methods=["POST"]),
    Route("/api/v1/balance/withdraw", balance.withdraw, methods=["POST"]),
    Route("/api/v1/balance/transactions", balance.read_transactions),
    Route("/api/v1/balance/asset/{asset_id}", balance.read_asset_balance),
    Route("/api/v1/portfolio", portfolio.read_portfolio),
    Route("/api/v1/assets/{asset_id}/transactions", orders.read_asset_transactions),
    Route("/api/v1/inventory/assets", assets.read_assets),
    Route("/api/v1/inventory/assets/{asset_id}", assets.read_asset),
    Route("/api/v1/commands/{command_id}", commands.read_command),
    Route("/api/v1/auth/register", identity.register, methods=["POST"]),
    Route("/api/v1/auth/login", identity.login, methods=["POST"]),
    Route("/api/v1/auth/logout", identity.logout, methods=["POST"]),
    Route("/api/v1/auth/profile", identity.read_profile),
    Route("/api/v1/auth/profile", identity.update_profile, methods=["PUT"]),
    Route("/health", health.health),
    Route("/health/live", health.live),
    Route("/health/ready", health.ready),
    Route("/openapi.json", docs.openapi),
    Route("/docs", docs.page),
)


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncGenerator[None]:
    async with running_services(settings()) as services:
        app.state.services = services
        yield


async def _refused(request: Request, error: Exception) -> Response:
    """What the framework refuses, as a problem."""
    return failure(error, request.scope)


async def _other_method(request: Request, _: Exception) -> Response:
    """405 names the methods of all routes of this path."""
    methods = {
        method
        for route in ROUTES
        if route.path_regex.match(request.scope["path"])
        for method in route.methods or ()
    }
    allow = {"Allow": ", ".join(sorted(methods))}
    return failure(Problem("method-not-allowed", headers=allow), request.scope)


app = Starlette(
    routes=ROUTES,
    middleware=[Middleware(Edge)],
    exception_handlers={HTTPException: _refused, 405: _other_method},
    lifespan=_lifespan,
)
app.router.redirect_slashes = False
