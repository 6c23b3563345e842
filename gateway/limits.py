"""How often one address may ask and one user may order; what is beyond is answered 429.

Headers as in draft-ietf-httpapi-ratelimit-headers-10: what is left, and when all of it is back.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple, Protocol

from starlette.requests import Request
from starlette.types import Scope

from gateway.addresses import network_in, trusted
from gateway.problems import Problem
from gateway.redis_counts import RedisCounts
from runtime import metrics
from runtime.security.buckets import Buckets, Rate, Taken
from runtime.security.files import PSEUDONYMS, ensure_secrets, read_secret
from runtime.security.headers import Header
from runtime.settings import Settings

_LOG: Final = logging.getLogger(__name__)
STATE: Final = "limits"
"""The limits' name in the application's state."""
_FOUND: Final = "cnop.limits"
_FILE: Final = "rate-limits"


Tell = Callable[[Scope, str, str], None]
"""Takes a refused request, its limit's name, and who was counted."""


class Counts(Protocol):
    """Where hits are counted."""

    async def take(self, name: str, rate: Rate) -> Taken:
        """Count a hit, unless there are too many."""
        ...


class _Found(NamedTuple):
    """What one limit said of this request."""

    limit: "Limit"
    taken: Taken


@dataclass(frozen=True)
class Limit:
    """A rate under the name by which callers and metrics know it."""

    name: str
    rate: Rate

    @cached_property
    def policy(self) -> str:
        """How often in how many seconds, as RateLimit-Policy writes it."""
        return f'"{self.name}";q={self.rate.burst};w={math.ceil(self.rate.burst / self.rate.per_s)}'

    def problem(self, taken: Taken) -> Problem:
        """What answers a hit too many."""
        metrics.RATE_LIMITED.labels(self.name).inc()
        wait_s = max(1, math.ceil(taken.wait_s))
        return Problem("rate-limited", headers={"Retry-After": str(wait_s)})


class Limits:
    """The limits of a gateway; `tell` learns of every request that they refuse."""

    def __init__(self, settings: Settings, counts: Counts, tell: Tell) -> None:
        self._counts: Final = counts
        self._tell: Final = tell
        self._proxies: Final = trusted(settings.trusted_proxies)
        self._address: Final = Limit(
            "address", Rate(settings.rate_address_per_s, settings.rate_address_burst)
        )
        self._orders: Final = Limit(
            "orders", Rate(settings.rate_orders_per_s, settings.rate_orders_burst)
        )

    async def count_request(self, scope: Scope) -> None:
        """Count a request of its address; probes of health count by themselves.

        Raises:
            Problem: too many.
        """
        network = network_in(scope, self._proxies)
        kind = "health" if scope["path"].startswith("/health") else "address"
        await self._count(scope, self._address, f"{kind} {network}")

    async def count_order(self, scope: Scope, user_id: str) -> None:
        """Count an order of a user.

        Raises:
            Problem: too many.
        """
        await self._count(scope, self._orders, f"orders {user_id}")

    async def _count(self, scope: Scope, limit: Limit, name: str) -> None:
        taken = await self._counts.take(name, limit.rate)
        scope.setdefault(_FOUND, []).append(_Found(limit, taken))
        if not taken.is_allowed:
            self._tell(scope, limit.name, name)
            raise limit.problem(taken)


async def count_order(request: Request, user_id: str) -> None:
    """Count an order of a user, where orders are limited.

    Raises:
        Problem: too many.
    """
    limits: Limits | None = request.scope.get("state", {}).get(STATE)
    if limits is not None:
        await limits.count_order(request.scope, user_id)


def limit_headers(scope: Scope) -> tuple[Header, ...]:
    """What the answer says of the limits that the request counted for."""
    found: list[_Found] | None = scope.get(_FOUND)
    if found is None:
        return ()
    left = ", ".join(
        f'"{limit.name}";r={taken.left};t={math.ceil(taken.full_s)}' for limit, taken in found
    )
    policies = ", ".join([limit.policy for limit, _ in found])
    return (b"ratelimit", left.encode()), (b"ratelimit-policy", policies.encode())


def limits_of(settings: Settings, telling: Callable[[Buckets], Tell]) -> Limits | None:
    """The limits that are set; None where there are none."""
    if not settings.has_limits:
        return None
    buckets = _buckets(settings)
    counts, tell = MachineCounts(buckets), telling(buckets)
    if settings.rate_redis_url is None:
        return Limits(settings, counts, tell)
    return Limits(settings, RedisCounts(settings.rate_redis_url, settings.namespace, counts), tell)


class MachineCounts:
    """Counts that the gateways of this machine share."""

    def __init__(self, buckets: Buckets) -> None:
        self._buckets: Final = buckets

    async def take(self, name: str, rate: Rate) -> Taken:
        """Count a hit, unless the bucket is empty."""
        return self._buckets.take(name, rate)


def _buckets(settings: Settings) -> Buckets:
    salt = read_secret(ensure_secrets(settings.secrets), PSEUDONYMS)
    try:
        return Buckets.shared(settings.state_dir / _FILE, salt)
    except OSError as error:
        _LOG.warning("each gateway process counts rates by itself: %s", error)
        return Buckets.private(salt)
