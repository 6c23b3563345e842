"""Simulated markets: seeded random walks, which say that they are simulated."""

from collections.abc import Iterator
from random import Random
from typing import Final

from producers.quotes import Tick
from schemas.money import PPM

STEP_MS: Final = 500
_STEP_PPM: Final = 300
_HALF_SPREAD_PPM: Final = 50
_PULL: Final = 20_000
"""Each step goes back by a 20,000th of the way from the start, so that prices stay plausible."""


def walk(*, seed: int, start_e8: int, tick_e8: int) -> Iterator[Tick]:
    """An endless walk around a start price, the same for the same seed; two steps a second."""
    chance = Random(seed)  # noqa: S311  # a simulation, not a secret
    reach_e8 = max(tick_e8, start_e8 * _STEP_PPM // PPM)
    half_e8 = max(tick_e8, start_e8 * _HALF_SPREAD_PPM // PPM // tick_e8 * tick_e8)
    price_e8, at_ms = start_e8, 0
    while True:
        middle_e8 = max(half_e8 + tick_e8, price_e8 - price_e8 % tick_e8)
        yield Tick(at_ms, middle_e8 - half_e8, 0, middle_e8 + half_e8, 0, middle_e8)
        price_e8 += chance.randint(-reach_e8, reach_e8) + (start_e8 - price_e8) // _PULL
        at_ms += STEP_MS
