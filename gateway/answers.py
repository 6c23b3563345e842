"""JSON answers, and the header that says how far an account has come."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Final

import msgspec
from starlette.responses import Response

from gateway.problems import Problem
from schemas.money import E8, format_e8

ACCOUNT_VERSION: Final = "X-Account-Version"
_ENCODER: Final = msgspec.json.Encoder()
_CENTS_E8: Final = E8 // 100
_HUNDREDTHS: Final = 10_000


def answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer with a JSON body."""
    return Response(_ENCODER.encode(body), status, headers, "application/json")


def problem_answer(problem: Problem, *, instance: str, request_id: str) -> Response:
    """An answer that says what went wrong (RFC 9457)."""
    return Response(
        _ENCODER.encode(problem.body(instance=instance, request_id=request_id)),
        problem.kind.status,
        problem.headers,
        "application/problem+json",
    )


def dollars(amount_e8: int) -> str:
    """An amount as messages say it: $500 for whole dollars, else with its cents ($12.50)."""
    whole, rest = divmod(amount_e8, E8)
    return f"${whole}.{rest // _CENTS_E8:02d}" if rest else f"${whole}"


def optional_e8(value_e8: int | None) -> str | None:
    """A decimal string, or null."""
    return None if value_e8 is None else format_e8(value_e8)


def as_float(value_e8: int) -> float:
    """The nearest float, only where the contract says float."""
    return float(Decimal(value_e8) / E8)


def change_percentage(before_e8: int, after_e8: int) -> float:
    """By how much a price changed, in percent with two decimals."""
    return round((after_e8 - before_e8) * _HUNDREDTHS / before_e8) / 100
