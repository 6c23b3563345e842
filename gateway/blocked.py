"""Addresses that identity lets try no password for a while: a flood of theirs ends here."""

import math
import time
from collections.abc import Callable
from typing import Final

from runtime.bounded import Bounded

_BLOCKED_MAX: Final = 10_000


class Blocked:
    """Until when addresses are blocked; the oldest are forgotten first, and identity asked again.

    The last second is left to identity, whose clock counts.
    """

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s: Final = clock_s
        self._until_s: Final[Bounded[str, float]] = Bounded(_BLOCKED_MAX)

    def add(self, address: str, duration_s: int) -> None:
        """Take that identity blocks an address for so long."""
        self._until_s.put(address, self._clock_s() + duration_s - 1)

    def left_s(self, address: str) -> int:
        """How long an address stays blocked; 0 when it is not, as far as known here."""
        left_s = self._until_s.get(address, 0.0) - self._clock_s()
        if left_s > 0:
            return math.ceil(left_s) + 1
        self._until_s.pop(address, None)
        return 0
