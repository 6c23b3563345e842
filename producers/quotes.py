"""What every feed says of a market at a moment, and how it becomes the house's offer."""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from schemas.markets import Quote, Rules
from schemas.money import E8

HOUSE_NOTIONAL_E8: Final = 50_000 * E8
"""What the house offers on each side at the least."""
GAP_MS_MAX: Final = 1_000
"""A feed says something at least this often."""


class Tick(NamedTuple):
    """Best bid and ask with sizes, and the last price; `at_ms` is the feed's own time."""

    at_ms: int
    bid_e8: int
    bid_size_e8: int
    ask_e8: int
    ask_size_e8: int
    last_e8: int


def quote(tick: Tick, rules: Rules, *, feed_id: str, sequence: int, simulated: bool) -> Quote:
    """The house's offer at a tick: the recorded sizes, or $50,000 a side where that is more."""
    return Quote(
        feed_id=feed_id,
        sequence=sequence,
        bid_e8=tick.bid_e8,
        bid_size_e8=house_size(tick.bid_size_e8, tick.bid_e8, rules.lot_e8),
        ask_e8=tick.ask_e8,
        ask_size_e8=house_size(tick.ask_size_e8, tick.ask_e8, rules.lot_e8),
        last_e8=tick.last_e8,
        feed_time_ms=tick.at_ms,
        simulated=simulated,
    )


def house_size(recorded_e8: int, price_e8: int, lot_e8: int) -> int:
    """The larger of the recorded size and $50,000 worth, rounded up to the lot."""
    least_e8 = -(-HOUSE_NOTIONAL_E8 * E8 // price_e8)
    return -(-max(recorded_e8, least_e8) // lot_e8) * lot_e8


def dense(ticks: Iterable[Tick]) -> Iterator[Tick]:
    """The ticks, each said again every second until the next one is due."""
    last: Tick | None = None
    for tick, following in pairwise(ticks):
        for at_ms in range(tick.at_ms, following.at_ms, GAP_MS_MAX):
            yield tick._replace(at_ms=at_ms)
        last = following
    if last is not None:
        yield last
