"""Query and path parameters, read once and strictly; what is unknown is ignored."""

import re
from enum import StrEnum
from typing import Final, TypeVar

from starlette.requests import Request

from gateway.forms import moment, username
from gateway.problems import invalid

_WHOLE: Final = re.compile(r"[0-9]{1,18}")
_ASSET: Final = re.compile(r"[A-Za-z0-9]{1,10}")
_SYMBOL: Final = re.compile(r"[A-Za-z0-9]{1,10}-[A-Za-z]{3,5}")
_ORDER_ID: Final = re.compile(r"[A-Za-z0-9_]{10,50}")
_TIME_MS_END: Final = 253_402_300_800_000
"""The end of the year 9999."""
_TRUTHS: Final = {"true": True, "1": True, "false": False, "0": False}


class OrderWord(StrEnum):
    """The contract's order types."""

    MARKET_BUY = "market_buy"
    MARKET_SELL = "market_sell"
    LIMIT_BUY = "limit_buy"
    LIMIT_SELL = "limit_sell"


class Interval(StrEnum):
    """How long a candle is."""

    MINUTE = "1m"
    FIVE_MINUTES = "5m"
    HOUR = "1h"
    DAY = "1d"


class Source(StrEnum):
    """Whose prices candles show: those at which was traded, or the feed's last prices."""

    TRADES = "trades"
    FEED = "feed"


Word = TypeVar("Word", bound=StrEnum)


def whole(request: Request, name: str, default: int, *, low: int, high: int) -> int:
    """A whole number between low and high.

    Raises:
        Problem: anything else.
    """
    given = request.query_params.get(name)
    if given is None:
        return default
    if _WHOLE.fullmatch(given) is None or not low <= int(given) <= high:
        raise invalid(name, f"has to be a whole number from {low} to {high}")
    return int(given)


def cursor(request: Request) -> int | None:
    """Where the page before ended."""
    given = request.query_params.get("cursor")
    if given is None:
        return None
    if _WHOLE.fullmatch(given) is None:
        raise invalid("cursor", "has to be a next_cursor of an earlier answer")
    return int(given)


def time_in_query(request: Request, name: str) -> int | None:
    """An RFC 3339 time from 1970 on, as milliseconds since then."""
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        time_ms = moment(given)
    except ValueError as error:
        raise invalid(name, str(error)) from None
    if not 0 <= time_ms < _TIME_MS_END:
        raise invalid(name, "has to be from 1970 to 9999")
    return time_ms


def truth(request: Request, name: str, *, default: bool) -> bool:
    """`true` or `false`."""
    given = request.query_params.get(name)
    if given is None:
        return default
    if (value := _TRUTHS.get(given.lower())) is None:
        raise invalid(name, "has to be true or false")
    return value


def word(request: Request, name: str, words: type[Word]) -> Word | None:
    """One of the words, or None when it is not given."""
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        return words(given)
    except ValueError:
        raise invalid(name, f"has to be one of {', '.join(words)}") from None


def asset_parameter(request: Request) -> str | None:
    """The query's asset_id in upper case."""
    given = request.query_params.get("asset_id")
    return None if given is None else _asset(given)


def asset_in_path(request: Request) -> str:
    """The path's asset_id in upper case."""
    return _asset(request.path_params["asset_id"])


def symbol_in_path(request: Request) -> str:
    """The path's symbol in upper case."""
    given: str = request.path_params["symbol"]
    if _SYMBOL.fullmatch(given) is None:
        raise invalid("symbol", "has to be a market such as BTC-USD")
    return given.upper()


def username_in_path(request: Request) -> str:
    """The path's username as it is stored."""
    try:
        return username(request.path_params["username"])
    except ValueError as error:
        raise invalid("username", str(error)) from None


def order_in_path(request: Request) -> str:
    """The path's order_id."""
    given: str = request.path_params["order_id"]
    if _ORDER_ID.fullmatch(given) is None:
        raise invalid("order_id", "has to be 10 to 50 letters, digits or underscores")
    return given


def _asset(given: str) -> str:
    if _ASSET.fullmatch(given) is None:
        raise invalid("asset_id", "has to be 1 to 10 letters or digits")
    return given.upper()
