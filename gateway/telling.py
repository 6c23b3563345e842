"""What the gateway tells `security.audit`: of requests that it refused."""

from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.types import Scope

from gateway.addresses import network_in, trusted
from gateway.callers import caller_of
from gateway.edge import request_id_of
from gateway.services import Services
from runtime.errors import Unavailable
from runtime.security.buckets import Buckets, Rate
from schemas.audit import Happened, SecurityEvent

_EACH: Final = Rate(per_s=1 / 60, burst=1)
_ALL: Final = Rate(per_s=1, burst=10)


def tell_refusal(  # noqa: PLR0913  # one keyword per thing told
    services: Services,
    scope: Scope,
    happened: Happened,
    *,
    user: str | None = None,
    call: str | None = None,
    detail: str | None = None,
) -> None:
    """Tell of a request that was refused; of `user`, or of its caller where that is known."""
    request = Request(scope)
    caller = caller_of(request)
    address = network_in(scope, trusted(services.settings.trusted_proxies))
    hmac: str | None = None
    with suppress(Unavailable):  # what happened is told in any case
        hmac = services.pseudonyms.address(address, datetime.now(UTC).date())
    services.audit.tell(
        SecurityEvent(
            happened=happened,
            user=caller.username_hmac if user is None and caller is not None else user,
            address=hmac,
            request_id=request_id_of(request),
            call=call,
            detail=detail,
            api_key=None if caller is None or caller.scopes is None else caller.session_id,
        )
    )


class TellsLimits:
    """Tells of who is above a limit: each once a minute, and never so many that others are lost."""

    def __init__(self, services: Services, buckets: Buckets) -> None:
        self._services: Final = services
        self._buckets: Final = buckets

    def __call__(self, scope: Scope, limit: str, counted: str) -> None:
        """A request was refused for this limit; `counted` is who it counted for."""
        is_new = self._buckets.take(f"told {counted}", _EACH).is_allowed
        if is_new and self._buckets.take("told", _ALL).is_allowed:
            tell_refusal(self._services, scope, Happened.RATE_LIMITED, detail=limit)
