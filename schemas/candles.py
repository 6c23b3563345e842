"""Candles: what prices did within an interval. Times are broker milliseconds.

Intervals begin at multiples of their length since 1970 in UTC.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 3_600_000
DAY_MS: Final = 86_400_000
LONGER_MS: Final = (300_000, HOUR_MS, DAY_MS)
"""The intervals beside the minute, which are summed from minutes."""


class Candle(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Prices from `start_ms` on; `count` of them, with what was traded at them, if it was."""

    interval_ms: int = MINUTE_MS
    start_ms: int
    open_e8: int
    high_e8: int
    low_e8: int
    close_e8: int
    quantity_e8: int = 0
    notional_e8: int = 0
    count: int = 1


def point(price_e8: int, time_ms: int, *, quantity_e8: int = 0, notional_e8: int = 0) -> Candle:
    """The minute of a single price."""
    return Candle(
        start_ms=time_ms - time_ms % MINUTE_MS,
        open_e8=price_e8,
        high_e8=price_e8,
        low_e8=price_e8,
        close_e8=price_e8,
        quantity_e8=quantity_e8,
        notional_e8=notional_e8,
    )


def joined(before: Candle, after: Candle) -> Candle:
    """The first candle with what came after it; it keeps its start and its interval."""
    return Candle(
        interval_ms=before.interval_ms,
        start_ms=before.start_ms,
        open_e8=before.open_e8,
        high_e8=max(before.high_e8, after.high_e8),
        low_e8=min(before.low_e8, after.low_e8),
        close_e8=after.close_e8,
        quantity_e8=before.quantity_e8 + after.quantity_e8,
        notional_e8=before.notional_e8 + after.notional_e8,
        count=before.count + after.count,
    )


def stretched(candle: Candle, interval_ms: int) -> Candle:
    """The same prices as a candle of a longer interval."""
    start_ms = candle.start_ms - candle.start_ms % interval_ms
    return msgspec.structs.replace(candle, interval_ms=interval_ms, start_ms=start_ms)


def extended(before: Candle | None, minute: Candle, interval_ms: int) -> Candle:
    """The candle of a longer interval after this minute; `before` may be of an earlier one."""
    fresh = stretched(minute, interval_ms)
    return fresh if before is None or before.start_ms != fresh.start_ms else joined(before, fresh)


def summed(candles: Iterable[Candle]) -> Candle | None:
    """All candles, oldest first, as one; None of none."""
    total: Candle | None = None
    for each in candles:
        total = each if total is None else joined(total, each)
    return total
