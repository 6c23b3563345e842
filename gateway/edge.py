"""The outermost layer: limits, the headers of every answer, and a problem for every failure."""

import logging
import math
import re
import secrets
from collections.abc import Sequence
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.answers import problem_answer
from gateway.headers import Origins, finished
from gateway.limits import STATE, Limits, limit_headers
from gateway.problems import Problem, unavailable
from runtime.breaker import BreakerOpen
from runtime.errors import Unavailable
from runtime.logs import correlation_id
from runtime.security.headers import Header

_LOG: Final = logging.getLogger(__name__)
_SANE_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_REQUEST_ID: Final = "cnop.request_id"
_PATH_CHARACTERS_MAX: Final = 200
_HIDDEN: Final = re.compile(rb"%(?:2f|5c)|%0a\Z", re.IGNORECASE)
"""Separators, and an end of line that routes overlook (`$`): others may see another path."""
_CODES: Final = {404: "not-found", 413: "body-too-large"}


class Edge:
    """ASGI middleware; what is raised below it becomes an answer here."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self._app: Final = app
        self._origins: Final = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; connections of other kinds pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope[_REQUEST_ID] = request_id
        correlation_id.set(request_id)
        header = (b"x-request-id", request_id.encode())
        started = False

        async def send_marked(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = finished(scope, message.get("headers", ()))
                message["headers"] = [*headers, header, *limit_headers(scope), *shown]
            await send(message)

        shown = self._origins.headers(scope)
        try:
            await self._admit(scope)
            _check_path(scope)
            if (allowed := self._origins.preflight(scope)) is not None:
                await _nothing(allowed)(scope, receive, send_marked)
            else:
                await self._app(scope, receive, send_marked)
        except Exception as error:  # the last place where a request can still get an answer
            if started:
                raise
            await failure(error, scope)(scope, receive, send_marked)

    async def _admit(self, scope: Scope) -> None:
        limits: Limits | None = scope.get("state", {}).get(STATE)
        if limits is not None:
            await limits.count_request(scope)


def _check_path(scope: Scope) -> None:
    """Refuse a path of which a proxy in front may have seen another one.

    Raises:
        Problem: there is no such path.
    """
    raw: bytes = scope.get("raw_path") or b""
    if b"%" in raw and _HIDDEN.search(raw):
        raise Problem("not-found")


def _nothing(headers: Sequence[Header]) -> Response:
    response = Response(status_code=204)
    response.raw_headers = list(headers)
    return response


def request_id_of(request: Request) -> str:
    """The id under which this request is known."""
    return request.scope[_REQUEST_ID]


def failure(error: Exception, scope: Scope) -> Response:
    """The problem that answers an exception."""
    problem = _problem(error, scope)
    return problem_answer(problem, instance=_path(scope), request_id=scope[_REQUEST_ID])


def _problem(error: Exception, scope: Scope) -> Problem:
    match error:
        case Problem():
            return error
        case HTTPException(status_code=405):
            return Problem("method-not-allowed", headers={"Allow": _methods(scope)})
        case HTTPException(status_code=status):
            return Problem(_CODES.get(status, "bad-request"), headers=error.headers)
        case BreakerOpen(retry_after_s=retry_after_s):
            return unavailable(retry_after_s=math.ceil(retry_after_s))
        case Unavailable():
            _LOG.warning("what a request needs does not answer: %s", error)
            return unavailable()
        case _:
            _LOG.error("a request failed", exc_info=error)
            return Problem("internal-error")


def _methods(scope: Scope) -> str:
    """The methods of all routes of this path."""
    routes = [each for each in scope["router"].routes if each.path_regex.match(scope["path"])]
    return ", ".join(sorted({method for each in routes for method in each.methods}))


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _SANE_ID.fullmatch(value):
            return value.decode()
    return secrets.token_hex(16)


def _path(scope: Scope) -> str:
    raw: bytes = scope.get("raw_path") or b""
    return raw.split(b"?", 1)[0].decode("ascii", "replace")[:_PATH_CHARACTERS_MAX]
