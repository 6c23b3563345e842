"""What every answer's headers say besides its own: security, caching, and to whom it may be shown.

Other origins read answers only where `CNOP_CORS_ORIGINS` names them (Fetch standard, CORS).
"""

from collections.abc import Iterable
from typing import Final

from starlette.types import Scope

from runtime.security.headers import NOTHING, SECURITY_HEADERS, STRICT_TRANSPORT, Header

_PUBLIC: Final = (
    "/api/v1/markets",
    "/api/v1/inventory/",
    "/openapi.json",
    "/docs",
    "/.well-known/",
)
"""What is the same for everybody; all else is not to be stored."""
_CONFINED: Final = (b"content-security-policy", NOTHING)
_NO_STORE: Final = (b"cache-control", b"no-store")
_OPEN: Final = (*SECURITY_HEADERS, _CONFINED)
_PRIVATE: Final = (*_OPEN, _NO_STORE)
_OWN: Final = frozenset({_CONFINED[0], _NO_STORE[0]})
"""Which of them an answer may set itself."""

_METHODS: Final = b"GET, POST, PUT, PATCH, DELETE"
_ASKED: Final = (
    b"Authorization, Content-Type, Idempotency-Key, Last-Event-ID, Prefer, X-Min-Account-Version, "
    b"X-Request-ID"
)
_TOLD: Final = (
    b"Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, X-Account-Version, "
    b"X-Request-ID, X-Stale"
)
_REMEMBERED_S: Final = b"600"
_VARY: Final = (b"vary", b"Origin")


def finished(scope: Scope, given: Iterable[Header]) -> list[Header]:
    """An answer's own headers and those that it does not set itself."""
    headers = list(given)
    more = _OPEN if scope["path"].startswith(_PUBLIC) else _PRIVATE
    own = _OWN.intersection([name for name, _ in headers])
    headers += [each for each in more if each[0] not in own] if own else more
    if scope.get("scheme") == "https":
        headers.append(STRICT_TRANSPORT)
    return headers


class Origins:
    """The other origins whose pages may call the gateway; none unless they are named."""

    def __init__(self, setting: str) -> None:
        named = (each.strip().rstrip("/") for each in setting.split(","))
        self._allowed: Final = frozenset(each.encode() for each in named if each)

    def headers(self, scope: Scope) -> tuple[Header, ...]:
        """What lets the caller's page read this answer, where it may."""
        if not self._allowed:
            return ()
        origin = _header(scope, b"origin")
        if origin not in self._allowed:
            return (_VARY,)
        return (
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _TOLD),
            _VARY,
        )

    def preflight(self, scope: Scope) -> tuple[Header, ...] | None:
        """The answer to a browser that asks first; None where nobody does or may."""
        if scope["method"] != "OPTIONS" or _header(scope, b"origin") not in self._allowed:
            return None
        if not _header(scope, b"access-control-request-method"):
            return None
        return (
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", _ASKED),
            (b"access-control-max-age", _REMEMBERED_S),
        )


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for each, value in scope["headers"] if each == name), b"")
