"""Amounts as clients write them, JSON strings or numbers, read exactly into 1e-8 units."""

from decimal import Decimal
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from schemas.money import E8, parse_e8

AMOUNT_E8_MAX: Final = 1_000_000 * E8
PRICE_E8_MAX: Final = 1_000_000 * E8
QUANTITY_E8_MIN: Final = E8 // 1_000
QUANTITY_E8_MAX: Final = 1_000_000_000 * E8
_CENT_E8: Final = E8 // 100
_EXPONENT_MAX: Final = 30


def read_e8(value: Any) -> int:  # noqa: ANN401  # whatever the JSON held
    """A count of 1e-8 units.

    Raises:
        ValueError: not a plain decimal number, or finer than 1e-8.
    """
    if isinstance(value, str):
        return parse_e8(value)
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise ValueError("has to be a decimal number, as a string or a number")  # noqa: TRY004  # pydantic wants it
    if isinstance(value, Decimal):
        return parse_e8(_plain(value))
    return parse_e8(str(value)) if abs(value) <= QUANTITY_E8_MAX else _too_long()


def _plain(value: Decimal) -> str:
    if not value.is_finite() or abs(int(value.as_tuple().exponent)) > _EXPONENT_MAX:
        raise ValueError("not a plain decimal number")
    return f"{value:f}"


def _too_long() -> int:
    raise ValueError("is out of range")


def _amount(value: Any) -> int:  # noqa: ANN401
    amount_e8 = read_e8(value)
    if amount_e8 <= 0:
        raise ValueError("has to be greater than 0")
    if amount_e8 > AMOUNT_E8_MAX:
        raise ValueError("has to be at most 1,000,000")
    if amount_e8 % _CENT_E8:
        raise ValueError("may have at most 2 decimals")
    return amount_e8


def _quantity(value: Any) -> int:  # noqa: ANN401
    quantity_e8 = read_e8(value)
    if quantity_e8 < QUANTITY_E8_MIN:
        raise ValueError("has to be at least 0.001")
    if quantity_e8 > QUANTITY_E8_MAX:
        raise ValueError("is out of range")
    return quantity_e8


def _price(value: Any) -> int:  # noqa: ANN401
    price_e8 = read_e8(value)
    if price_e8 <= 0:
        raise ValueError("has to be greater than 0")
    if price_e8 > PRICE_E8_MAX:
        raise ValueError("has to be at most 1,000,000")
    return price_e8


_READ: Final = Field(json_schema_extra={"format": "decimal"})

Amount = Annotated[int, BeforeValidator(_amount, json_schema_input_type=str | float), _READ]
"""US dollars: above 0, at most 1,000,000, whole cents."""
Quantity = Annotated[int, BeforeValidator(_quantity, json_schema_input_type=str | float), _READ]
Price = Annotated[int, BeforeValidator(_price, json_schema_input_type=str | float), _READ]
