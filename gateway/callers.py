"""The caller of a request, once auth has said who that is."""

from typing import Final

from starlette.requests import Request

from schemas.auth import Verdict

_CALLER: Final = "cnop.caller"


def caller_of(request: Request) -> Verdict | None:
    """Who sent this request, if that was asked."""
    return request.scope.get(_CALLER)


def set_caller(request: Request, caller: Verdict) -> None:
    """Remember who sent this request."""
    request.scope[_CALLER] = caller
