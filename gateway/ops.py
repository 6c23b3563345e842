"""/ops: what operators do to markets and users; each of it may be asked for again."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer
from gateway.bodies import read_form
from gateway.commanding import commanded
from gateway.deciding import Order
from gateway.edge import request_id_of
from gateway.forms import RoleForm
from gateway.outcomes import refused
from gateway.parameters import symbol_in_path, username_in_path
from gateway.services import services_of
from schemas.codec import Message
from schemas.identity import ChangeRole, LockUser, Role, UnlockUser
from schemas.journal import CommandDuplicate
from schemas.markets import HaltMarket, MarketHalted, MarketResumed, ResumeMarket
from schemas.topics import IDENTITY, IDENTITY_COMMANDS, MARKETS_COMMANDS

_DONE: Final = (MarketHalted, MarketResumed, CommandDuplicate)
"""A duplicate is what a market answers that is so already."""


async def halt_market(request: Request) -> Response:
    """POST /ops/markets/{symbol}/halt."""
    symbol = symbol_in_path(request)
    return await _to_market(request, symbol, HaltMarket(symbol=symbol), status="halted")


async def resume_market(request: Request) -> Response:
    """POST /ops/markets/{symbol}/resume."""
    symbol = symbol_in_path(request)
    return await _to_market(request, symbol, ResumeMarket(symbol=symbol), status="open")


async def lock_user(request: Request) -> Response:
    """POST /ops/users/{username}/lock."""
    username_hmac = _pseudonym(request)
    return await _to_user(request, username_hmac, LockUser(username_hmac=username_hmac))


async def unlock_user(request: Request) -> Response:
    """POST /ops/users/{username}/unlock."""
    username_hmac = _pseudonym(request)
    return await _to_user(request, username_hmac, UnlockUser(username_hmac=username_hmac))


async def change_role(request: Request) -> Response:
    """POST /ops/users/{username}/role."""
    username_hmac = _pseudonym(request)
    role = Role((await read_form(request, RoleForm)).role)
    command = ChangeRole(username_hmac=username_hmac, role=role)
    return await _to_user(request, username_hmac, command)


def _pseudonym(request: Request) -> str:
    return services_of(request).pseudonyms.username(username_in_path(request))


async def _to_user(request: Request, username_hmac: str, command: Message) -> Response:
    caller = await services_of(request).auth.caller(request)
    order = Order(
        topic=IDENTITY_COMMANDS,
        key=username_hmac,
        command=command,
        context=IDENTITY,
        subject=caller.user_id,
        owner=caller.user_id,
    )
    return await commanded(request, order, status=200)


async def _to_market(request: Request, symbol: str, command: Message, *, status: str) -> Response:
    """Nothing keeps the outcomes of commands to markets: one that is late is asked for again."""
    services = services_of(request)
    reply = await services.deciding.ask(
        MARKETS_COMMANDS,
        command,
        deadline_ms=services.settings.command_deadline_ms,
        correlation_id=request_id_of(request),
        key=symbol,
        caller=await services.auth.caller(request),
    )
    if not isinstance(reply.event, _DONE):
        raise refused(reply.event)
    return answer({"symbol": symbol, "status": status})
