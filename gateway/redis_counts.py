"""Rates counted in Redis, for gateways of several machines (the `limits` library).

It has no token bucket: its sliding window over the time in which a bucket would fill comes
closest, so a caller may do as much at once and in the long run.
"""

import logging
import math
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from runtime.breaker import Breaker
from runtime.errors import Unavailable
from runtime.security.buckets import Rate, Taken

if TYPE_CHECKING:
    from limits.aio.strategies import SlidingWindowCounterRateLimiter

_LOG: Final = logging.getLogger(__name__)
_ANSWER_S: Final = 0.1


class Fallback(Protocol):
    """Where hits are counted while Redis is away."""

    async def take(self, name: str, rate: Rate) -> Taken:
        """Count a hit, unless there are too many."""
        ...


class RedisCounts:
    """Sliding windows in Redis; while it does not answer, the machine's own counts decide."""

    def __init__(self, url: str, namespace: str, fallback: Fallback) -> None:
        self._windows: Final = _windows(url, namespace)
        self._fallback: Final = fallback
        self._breaker: Final = Breaker("redis")

    async def take(self, name: str, rate: Rate) -> Taken:
        """Count a hit, unless the window is full."""
        try:
            with self._breaker.call():
                return await self._taken(name, rate)
        except Unavailable:
            return await self._fallback.take(name, rate)

    async def _taken(self, name: str, rate: Rate) -> Taken:
        from limits import RateLimitItemPerSecond  # noqa: PLC0415  # only where Redis is used
        from limits.errors import StorageError  # noqa: PLC0415

        item = RateLimitItemPerSecond(rate.burst, math.ceil(rate.burst / rate.per_s))
        try:
            is_allowed = await self._windows.hit(item, name)
            reset_at_s, left = await self._windows.get_window_stats(item, name)
        except StorageError as error:
            _LOG.warning("Redis does not count: %s", type(error.storage_error).__name__)
            raise Unavailable("Redis") from None
        reset_s = max(0.0, reset_at_s - time.time())
        wait_s = 0.0 if is_allowed else reset_s
        return Taken(is_allowed=is_allowed, left=left, full_s=reset_s, wait_s=wait_s)


def _windows(url: str, namespace: str) -> "SlidingWindowCounterRateLimiter":
    from limits.aio.strategies import SlidingWindowCounterRateLimiter  # noqa: PLC0415
    from limits.storage import storage_from_string  # noqa: PLC0415

    options: dict[str, Any] = {
        "implementation": "redispy",
        "key_prefix": f"{namespace}cnop-rates",
        "socket_timeout": _ANSWER_S,
        "socket_connect_timeout": _ANSWER_S,
        "wrap_exceptions": True,
    }
    storage: Any = storage_from_string(f"async+{url}", **options)
    return SlidingWindowCounterRateLimiter(storage)
