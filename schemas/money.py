"""Money as integers of 1e-8 units, and the only places where it is rounded."""

import re
from typing import Final

E8: Final = 100_000_000
PPM: Final = 1_000_000
_DECIMAL: Final = re.compile(r"(-?)(\d{1,18})(?:\.(\d{1,18}))?")


def parse_e8(text: str) -> int:
    """Read a plain decimal string such as `"0.001"` as a count of 1e-8 units.

    Raises:
        ValueError: not a plain decimal, or finer than 1e-8.
    """
    if not text.isascii() or (match := _DECIMAL.fullmatch(text)) is None:
        raise ValueError("not a plain decimal number")
    sign, whole, fraction = match.groups()
    digits = (fraction or "").rstrip("0")
    if len(digits) > 8:  # noqa: PLR2004  # 1e-8 is the unit
        raise ValueError("more than 8 decimal places")
    value_e8 = int(whole) * E8 + int(digits.ljust(8, "0"))
    return -value_e8 if sign else value_e8


def format_e8(value_e8: int) -> str:
    """Write a count of 1e-8 units as the shortest exact decimal string."""
    whole, fraction = divmod(abs(value_e8), E8)
    sign = "-" if value_e8 < 0 else ""
    if not fraction:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:08d}".rstrip("0")


def notional_floor(price_e8: int, quantity_e8: int) -> int:
    """Price times quantity in 1e-8 units, rounded down; both legs of a trade use it."""
    return price_e8 * quantity_e8 // E8


def notional_ceil(price_e8: int, quantity_e8: int) -> int:
    """Price times quantity in 1e-8 units, rounded up: what a lock must cover."""
    return -(-price_e8 * quantity_e8 // E8)


def share_floor(amount_e8: int, part_e8: int, whole_e8: int) -> int:
    """The part's share of an amount, rounded down: parts one by one leave nothing of it."""
    return amount_e8 * part_e8 // whole_e8


def fee_ceil(notional_e8: int, rate_ppm: int) -> int:
    """Fee on a cumulative notional, rounded up once; `rate_ppm` is parts per million."""
    return -(-notional_e8 * rate_ppm // PPM)
