"""/auth/api-keys: keys with which bots act for their user, within scopes."""

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer
from gateway.bodies import read_form
from gateway.commanding import commanded
from gateway.deciding import Order
from gateway.forms import ApiKeyForm
from gateway.problems import Problem
from gateway.services import Services, services_of
from read_models.users import queries as users
from read_models.users.queries import ApiKeyRows
from runtime.security.api_keys import hash_of, new_api_key
from schemas.auth import Verdict
from schemas.codec import Message
from schemas.identity import DeleteApiKey, MakeApiKey, Reason, Scope
from schemas.topics import IDENTITY, IDENTITY_COMMANDS

_MADE: Final = 201
_DELETED: Final = 204
_API_KEY_ID: Final = re.compile(r"[0-9a-f]{32}")


async def make_api_key(request: Request) -> Response:
    """POST /auth/api-keys: the key itself is in this answer and nowhere else."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    form = await read_form(request, ApiKeyForm)
    api_key = new_api_key()
    command = await _command(services, caller, form, api_key)
    order = _order(caller, command, fingerprinted=form.model_dump_json().encode())
    try:
        made = await commanded(request, order, status=_MADE, once={"api_key": api_key})
    except Problem as problem:
        if problem.code == Reason.UNKNOWN_SESSION:
            raise Problem("invalid-token") from None  # the caller's, which ended a moment ago
        raise
    if made.status_code == _MADE and "idempotency-replayed" not in made.headers:
        await services.auth.known(api_key)
    return made


async def _command(
    services: Services, caller: Verdict, form: ApiKeyForm, api_key: str
) -> MakeApiKey:
    user, _ = await services.people.user(caller)
    return MakeApiKey(
        username_hmac=caller.username_hmac,
        session_id=caller.session_id,
        name=await services.people.encrypted_name(user, form.name),
        scopes=tuple(each for each in Scope if each in form.scopes),
        secret_hash=hash_of(api_key),
        expires_at_ms=form.expires_at,
    )


async def read_api_keys(request: Request) -> Response:
    """GET /auth/api-keys: those that are good, newest first."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    seen = ApiKeyRows((), 0)

    async def read() -> ApiKeyRows:
        nonlocal seen
        seen = await users.api_keys(
            services.table, caller.user_id, now_ms=services.publisher.clock.now_ms()
        )
        return seen

    is_fresh = await services.freshness.user(caller.username_hmac, read, model="api-keys")
    body = {"data": [await services.people.api_key_view(each) for each in seen.rows]}
    return answer(body, headers={} if is_fresh else {"X-Stale": "true"})


async def delete_api_key(request: Request) -> Response:
    """DELETE /auth/api-keys/{api_key_id}: it is good for nothing, wherever it is."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    api_key_id: str = request.path_params["api_key_id"]
    if _API_KEY_ID.fullmatch(api_key_id) is None:
        raise Problem("unknown-api-key")
    command = DeleteApiKey(username_hmac=caller.username_hmac, api_key_id=api_key_id)
    decided = await commanded(request, _order(caller, command), status=_DELETED)
    if decided.status_code != _DELETED:
        return decided
    services.auth.sessions.end(api_key_id)
    replayed = decided.headers.get("idempotency-replayed")
    headers = {"Idempotency-Replayed": replayed} if replayed else {}
    return Response(status_code=_DELETED, headers=headers)


def _order(caller: Verdict, command: Message, *, fingerprinted: bytes | None = None) -> Order:
    return Order(
        topic=IDENTITY_COMMANDS,
        key=caller.username_hmac,
        command=command,
        context=IDENTITY,
        subject=caller.user_id,
        owner=caller.user_id,
        fingerprinted=fingerprinted,
    )
