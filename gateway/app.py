"""The gateway: the one way in, an ASGI application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount, Route, Router

from gateway import assets, balance, commands, docs, health, identity, orders, portfolio
from gateway.edge import Edge, http_exception
from gateway.services import running_services
from runtime.settings import settings

API = (
    Route("/orders", orders.place_order, methods=["POST"]),
    Route("/orders", orders.read_orders),
    Route("/orders/{order_id}", orders.read_order),
    Route("/orders/{order_id}", orders.cancel_order, methods=["DELETE"]),
    Route("/balance", balance.read_balance),
    Route("/balance/deposit", balance.deposit, methods=["POST"]),
    Route("/balance/withdraw", balance.withdraw, methods=["POST"]),
    Route("/balance/transactions", balance.read_transactions),
    Route("/balance/asset/{asset_id}", balance.read_asset_balance),
    Route("/portfolio", portfolio.read_portfolio),
    Route("/assets/{asset_id}/transactions", orders.read_asset_transactions),
    Route("/inventory/assets", assets.read_assets),
    Route("/inventory/assets/{asset_id}", assets.read_asset),
    Route("/commands/{command_id}", commands.read_command),
    Route("/auth/register", identity.register, methods=["POST"]),
    Route("/auth/login", identity.login, methods=["POST"]),
    Route("/auth/logout", identity.logout, methods=["POST"]),
    Route("/auth/profile", identity.read_profile),
    Route("/auth/profile", identity.update_profile, methods=["PUT"]),
)
ROOT = (
    Route("/health", health.health),
    Route("/health/live", health.live),
    Route("/health/ready", health.ready),
    Route("/openapi.json", docs.openapi),
    Route("/docs", docs.page),
)


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    async with running_services(settings()) as services:
        app.state.services = services
        yield


app = Starlette(
    routes=[Mount("/api/v1", app=Router(API, redirect_slashes=False)), *ROOT],
    middleware=[Middleware(Edge)],
    exception_handlers={HTTPException: http_exception},
    lifespan=_lifespan,
)
app.router.redirect_slashes = False
