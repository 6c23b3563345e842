"""How things are measured: fresh processes, interleaved pairs, medians with their spread."""

import asyncio
import multiprocessing
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from math import ceil
from statistics import median
from time import perf_counter, process_time
from typing import Any, NamedTuple, ParamSpec, TypeVar

import msgspec
import uvloop

from runtime.process import collect_rarely

P = ParamSpec("P")
T = TypeVar("T")


class Cost(NamedTuple):
    """What a piece of work cost the one process that did it, in seconds."""

    count: int
    cpu_s: float
    wall_s: float

    @property
    def cpu_us(self) -> float:
        """CPU per piece, in microseconds."""
        return self.cpu_s / self.count * 1e6

    @property
    def rate(self) -> float:
        """Pieces per second of wall time."""
        return self.count / self.wall_s


class Stopwatch:
    """CPU of this process and wall time since it was made."""

    def __init__(self) -> None:
        self._cpu_s, self._wall_s = process_time(), perf_counter()

    def cost(self, count: int) -> Cost:
        """What `count` pieces cost since then."""
        return Cost(count, process_time() - self._cpu_s, perf_counter() - self._wall_s)


class Ratio(msgspec.Struct, frozen=True):
    """Medians over interleaved pairs; `least` and `most` are what quality.md or the issue asks."""

    name: str
    median: float
    low: float
    high: float
    pairs: int
    least: float | None = None
    most: float | None = None

    @classmethod
    def of(
        cls,
        name: str,
        values: Sequence[float],
        *,
        least: float | None = None,
        most: float | None = None,
    ) -> "Ratio":
        """The ratio of each pair, summed up."""
        return cls(name, median(values), min(values), max(values), len(values), least, most)

    @property
    def is_kept(self) -> bool:
        """Whether it is what is asked for."""
        is_enough = self.least is None or self.median >= self.least
        return is_enough and (self.most is None or self.median <= self.most)

    @property
    def asked(self) -> str:
        """What is asked for; empty when it is only shown."""
        bounds = (("at least", self.least), ("at most", self.most))
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)

    @property
    def spread(self) -> str:
        """Lowest and highest pair."""
        return f"{self.low:.2f}-{self.high:.2f}"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share (0 to 1) of the values does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]


def in_fresh_process(
    function: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Run an async function under uvloop in a process of its own, so that its CPU is only its."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_run, function, args, kwargs).result()


def _run(
    function: Callable[..., Coroutine[Any, Any, T]], args: Sequence[Any], kwargs: dict[str, Any]
) -> T:
    collect_rarely()  # on both sides of a ratio, as every process of the system does
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(function(*args, **kwargs))
