"""Health: the process lives, and what is missing until it is ready."""

import asyncio
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer
from gateway.problems import Problem
from gateway.services import Services, services_of
from read_models.users import queries as users
from runtime.errors import Unavailable

_SERVICE: Final = "gateway"
_PROBE_S: Final = 0.8
_READ_MODELS: Final = "read models"
_NOBODY: Final = "nobody"


async def health(request: Request) -> Response:
    """GET /health: healthy, or degraded with what is missing; always 200."""
    missing = await _missing(services_of(request))
    status = "degraded" if missing else "healthy"
    return answer({"status": status, "service": _SERVICE, "missing": missing})


async def live(_: Request) -> Response:
    """GET /health/live."""
    return answer({"status": "alive", "service": _SERVICE})


async def ready(request: Request) -> Response:
    """GET /health/ready: also without read models, for orders are placed without them.

    Raises:
        Problem: something is missing that every request needs (503).
    """
    missing = await _missing(services_of(request))
    if set(missing) - {_READ_MODELS}:
        raise Problem("unavailable", members={"missing": missing})
    return answer({"status": "ready", "service": _SERVICE, "missing": missing})


async def _missing(services: Services) -> list[str]:
    missing: list[str] = []
    if not services.replies.is_ready:
        missing.append("replies")
    if not services.tail.is_caught_up:
        missing.append("journals")
    if not await _has_read_models(services):
        missing.append(_READ_MODELS)
    return missing


async def _has_read_models(services: Services) -> bool:
    try:
        async with asyncio.timeout(_PROBE_S):
            await users.user(services.table, _NOBODY)
    except (TimeoutError, Unavailable):
        return False
    return True
