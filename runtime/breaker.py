"""A circuit breaker: what fails mostly is left alone for a while, and its callers told at once.

Closed, it counts calls over some seconds and opens when half of them failed. Open, it refuses
until its time is up. Then it is half open: one call goes through as a probe, and decides.
"""

import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Literal

from runtime import metrics
from runtime.errors import Unavailable

State = Literal["closed", "half-open", "open"]

_NUMBERS: Final[dict[State, int]] = {"closed": 0, "half-open": 1, "open": 2}


class BreakerOpen(Unavailable):
    """Not even tried; `retry_after_s` says when it will be."""

    def __init__(self, name: str, retry_after_s: float) -> None:
        super().__init__(f"the breaker of {name} is open")
        self.retry_after_s: Final = retry_after_s


class Breaker:
    """Around calls of one dependency: `with breaker.call(): await …`; failing is `Unavailable`.

    What is raised else is an answer. A call that is canceled counts as neither.
    """

    def __init__(  # noqa: PLR0913  # each is a figure of its own
        self,
        name: str,
        *,
        failures_share: float = 0.5,
        calls_min: int = 10,
        window_s: float = 10.0,
        open_s: float = 2.0,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name: Final = name
        self._failures_share: Final = failures_share
        self._calls_min: Final = calls_min
        self._window_s: Final = window_s
        self._open_s: Final = open_s
        self._clock_s: Final = clock_s
        self._gauge: Final = metrics.BREAKER_STATE.labels(name)
        self._calls = 0
        self._failures = 0
        self._since_s = 0.0
        self._until_s = 0.0
        self._turn("closed")

    @property
    def state(self) -> State:
        """What it does with the next call."""
        return self._state

    def call(self) -> "_Call":
        """Guard one call.

        Raises:
            BreakerOpen: it is open, or its probe is still out.
        """
        if self._state == "closed":
            return _Call(self, is_probe=False)
        now_s = self._clock_s()
        if self._state == "half-open" or now_s < self._until_s:
            raise BreakerOpen(self.name, max(0.0, self._until_s - now_s))
        self._turn("half-open")
        return _Call(self, is_probe=True)

    def ended(self, error: type[BaseException] | None, *, is_probe: bool) -> None:
        """Take how a call ended."""
        has_failed = error is not None and issubclass(error, Unavailable)
        is_answered = error is None or (issubclass(error, Exception) and not has_failed)
        if is_probe:
            self._judge(is_answered=is_answered)
        elif self._state == "closed" and (has_failed or is_answered):
            self._count(has_failed=has_failed)

    def _judge(self, *, is_answered: bool) -> None:
        if is_answered:
            self._calls = self._failures = 0
            self._turn("closed")
        else:
            self._open()

    def _count(self, *, has_failed: bool) -> None:
        now_s = self._clock_s()
        if now_s - self._since_s > self._window_s:
            self._since_s, self._calls, self._failures = now_s, 0, 0
        self._calls += 1
        self._failures += has_failed
        is_enough = self._calls >= self._calls_min
        if has_failed and is_enough and self._failures >= self._failures_share * self._calls:
            self._open()

    def _open(self) -> None:
        self._until_s = self._clock_s() + self._open_s
        self._turn("open")

    def _turn(self, state: State) -> None:
        self._state: State = state
        self._gauge.set(_NUMBERS[state])


class _Call:
    """One call, for as long as it takes."""

    __slots__ = ("_breaker", "_is_probe")

    def __init__(self, breaker: Breaker, *, is_probe: bool) -> None:
        self._breaker = breaker
        self._is_probe = is_probe

    def __enter__(self) -> None:
        return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._breaker.ended(kind, is_probe=self._is_probe)
