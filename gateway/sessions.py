"""What auth said of tokens, remembered for seconds, and the sessions that have ended."""

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from runtime.bounded import Bounded
from schemas.auth import Verdict

_CACHED_MAX: Final = 10_000
_REFUSED_S: Final = 2.0
_ENDED_MAX: Final = 100_000


class Known(NamedTuple):
    """A verdict, when to ask again, and until when it counts (seconds of the clock)."""

    verdict: Verdict
    renewed_s: float
    until_s: float


class Sessions:
    """Verdicts by token, bounded in number and age, and the sessions that have ended."""

    def __init__(self, cached_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._cached_s: Final = cached_s
        self._clock_s: Final = clock_s
        self._known: Final[Bounded[bytes, Known]] = Bounded(_CACHED_MAX)
        self._refused: Final[Bounded[bytes, float]] = Bounded(_CACHED_MAX)
        self._ended: Final[Bounded[str, None]] = Bounded(_ENDED_MAX)

    def get(self, token: bytes) -> tuple[Verdict, bool] | None:
        """A verdict that still counts, and whether it is old enough to be renewed."""
        known = self._known.get(token)
        if known is None:
            return None
        now_s = self._clock_s()
        if now_s < known.until_s and not self.is_dead(known.verdict):
            return known.verdict, now_s > known.renewed_s
        self.drop(token)
        return None

    def put(self, token: bytes, verdict: Verdict) -> None:
        """Remember a verdict."""
        now_s = self._clock_s()
        known = Known(verdict, now_s + self._cached_s / 2, now_s + self._cached_s)
        self._known.put(token, known)

    def refuse(self, token: bytes) -> None:
        """Remember that a token is good for nothing, so that a flood of it is not asked about."""
        self.drop(token)
        self._refused.put(token, self._clock_s() + _REFUSED_S)

    def is_refused(self, token: bytes) -> bool:
        """Whether auth refused this token a moment ago."""
        return self._clock_s() < self._refused.get(token, 0.0)

    def drop(self, token: bytes) -> None:
        """Remember no verdict of this token."""
        self._known.pop(token, None)

    def end(self, session_id: str) -> None:
        """Forget a session for good: also a verdict on its way no longer counts."""
        self._ended.put(session_id, None)

    def is_dead(self, verdict: Verdict) -> bool:
        """Whether the session ended or the token's time is over."""
        return verdict.session_id in self._ended or verdict.expires_at_ms <= time.time() * 1000
