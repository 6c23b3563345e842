"""Fees by tier: the more an account traded in the last 30 days, the less it pays.

Volumes are notionals in 1e-8 USD, by days (UTC days since 1970 of logical time); rates are parts
per million of the notional.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import msgspec

from schemas.candles import DAY_MS
from schemas.money import E8, PPM, format_e8, parse_e8

VOLUME_DAYS: Final = 30
"""A trade counts on its day and on the 29 days after it."""
TIERS_MAX: Final = 20
_VOLUME_MAX_E8: Final = 1 << 62


class FeeTier(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What accounts pay that traded at least this much; a market's own fees come on top."""

    volume_e8: int
    maker_fee_ppm: int
    taker_fee_ppm: int


Tiers = tuple[FeeTier, ...]
NO_FEES: Final[Tiers] = (FeeTier(volume_e8=0, maker_fee_ppm=0, taker_fee_ppm=0),)
"""What counts until an operator sets fees."""


def check_tiers(tiers: Tiers) -> None:
    """Whether these are the tiers of a schedule.

    Raises:
        ValueError: in a sentence, why not.
    """
    if not 0 < len(tiers) <= TIERS_MAX or tiers[0].volume_e8 != 0:
        raise ValueError(f"a schedule has 1 to {TIERS_MAX} tiers, the first from volume 0 on")
    if any(low.volume_e8 >= high.volume_e8 for low, high in pairwise(tiers)):
        raise ValueError("each tier begins at a higher volume than the one before")
    if tiers[-1].volume_e8 > _VOLUME_MAX_E8:
        raise ValueError("nobody trades that much")
    if not all(
        0 <= ppm <= PPM for each in tiers for ppm in (each.maker_fee_ppm, each.taker_fee_ppm)
    ):
        raise ValueError("a fee rate is from 0 to 1")


def rate_text(rate_ppm: int) -> str:
    """A rate as the shortest exact decimal."""
    return format_e8(rate_ppm * (E8 // PPM))


def rate_ppm(text: str) -> int:
    """A rate such as "0.001" in parts per million.

    Raises:
        ValueError: no decimal, or finer than a millionth.
    """
    ppm, rest = divmod(parse_e8(text), E8 // PPM)
    if rest:
        raise ValueError("a fee rate has at most 6 decimals")
    return ppm


def tier_of(tiers: Tiers, volume_e8: int) -> int:
    """The number of the highest tier that this volume reaches, from 0 on."""
    return sum(each.volume_e8 <= volume_e8 for each in tiers[1:])


def counts(day: int, today: int) -> bool:
    """Whether what was traded on a day is in the volume of `today`."""
    return day > today - VOLUME_DAYS


def volume_of(volumes_e8: Mapping[int, int], now_ms: int) -> int:
    """The 30-day volume at a time, from the volumes by day."""
    today = now_ms // DAY_MS
    return sum(volume_e8 for day, volume_e8 in volumes_e8.items() if counts(day, today))
