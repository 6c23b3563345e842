"""/auth/sessions: where one is signed in, and an end to any of it."""

import re
import time
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer
from gateway.commanding import commanded
from gateway.deciding import Order
from gateway.problems import Problem
from gateway.services import services_of
from read_models.users import queries as users
from read_models.users.queries import SessionRow, SessionRows
from schemas.envelope import rfc3339
from schemas.identity import EndSession
from schemas.topics import IDENTITY, IDENTITY_COMMANDS

_SESSION_ID: Final = re.compile(r"[0-9a-f]{32}")


async def read_sessions(request: Request) -> Response:
    """GET /auth/sessions: those that live, newest first."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    seen = SessionRows((), 0)

    async def read() -> SessionRows:
        nonlocal seen
        now_ms = int(time.time() * 1_000)
        seen = await users.sessions(services.table, caller.user_id, now_ms=now_ms)
        return seen

    is_fresh = await services.freshness.user(caller.username_hmac, read, model="sessions")
    body = {
        "data": [_view(each, is_current=each.session_id == caller.session_id) for each in seen.rows]
    }
    return answer(body, headers={} if is_fresh else {"X-Stale": "true"})


async def end_session(request: Request) -> Response:
    """DELETE /auth/sessions/{session_id}: its tokens are dead, wherever they are."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    session_id: str = request.path_params["session_id"]
    if _SESSION_ID.fullmatch(session_id) is None:
        raise Problem("unknown-session")
    order = Order(
        topic=IDENTITY_COMMANDS,
        key=caller.username_hmac,
        command=EndSession(username_hmac=caller.username_hmac, session_id=session_id),
        context=IDENTITY,
        subject=caller.user_id,
        owner=caller.user_id,
    )
    decided = await commanded(request, order, status=204)
    if decided.status_code != 204:  # noqa: PLR2004  # not decided yet
        return decided
    services.auth.sessions.end(session_id)
    replayed = decided.headers.get("idempotency-replayed")
    return Response(status_code=204, headers={"Idempotency-Replayed": replayed} if replayed else {})


def _view(session: SessionRow, *, is_current: bool) -> dict[str, object]:
    return {
        "session_id": session.session_id,
        "created_at": rfc3339(session.created_at_ms),
        "last_used_at": rfc3339(session.last_used_at_ms),
        "expires_at": rfc3339(session.expires_at_ms),
        "current": is_current,
    }
