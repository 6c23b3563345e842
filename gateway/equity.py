"""GET /account/equity: what one's cash and positions were worth, point by point."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer, optional_e8
from gateway.freshness import min_version
from gateway.markets import INTERVALS_MS
from gateway.parameters import Interval, Source, time_in_query, word
from gateway.portfolio import Totals, quantity_e8, totals
from gateway.problems import Problem, invalid
from gateway.services import ACTIVITY, services_of
from gateway.statement import MOVEMENTS_MAX
from read_models.activity import queries as activity
from read_models.markets import queries as markets
from read_models.markets.queries import Price
from read_models.past import Until
from runtime.table import Readable
from schemas.accounts import CASH, Holding
from schemas.envelope import rfc3339
from schemas.money import format_e8

POINTS_MAX: Final = 1_000
_POINTS_DEFAULT: Final = 100

Closes = Mapping[str, Sequence[Price]]
"""Prices of each asset, oldest first."""


class Point(NamedTuple):
    """An account at a time; `totals` is None where a position had no price.

    `priced_at_ms` is the time of the oldest price that counts, None without positions.
    """

    time_ms: int
    holdings: Sequence[Holding]
    totals: Totals | None
    priced_at_ms: int | None


async def read_equity(request: Request) -> Response:
    """Points are of the multiples of the interval since 1970, those of the future left out."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    interval = word(request, "interval", Interval) or Interval.HOUR
    interval_ms = INTERVALS_MS[interval]
    times = _times(request, interval_ms, services.publisher.clock.now_ms())
    as_of = await services.freshness.account(
        caller.user_id,
        ACTIVITY,
        partial(activity.head, services.table, caller.user_id),
        at_least=min_version(request),
    )
    points = await curve(services.table, caller.user_id, times, interval_ms)
    body = {
        "interval": str(interval),
        "price_source": str(Source.FEED),
        "data": [_point_view(each) for each in points],
        "as_of": as_of.view(),
    }
    return answer(body, headers=as_of.headers())


async def curve(
    table: Readable, account_id: str, times: range, interval_ms: int
) -> tuple[Point, ...]:
    """The account at these times, each as a portfolio as of it; one pass over what moved.

    Raises:
        Problem: more than `MOVEMENTS_MAX` movements lie between the first and the last.
    """
    if not times:
        return ()
    opening, closing = await asyncio.gather(
        activity.mark(table, account_id, Until(before_ms=times[0] + 1)),
        activity.mark(table, account_id, Until(before_ms=times[-1] + 1)),
    )
    if closing.sequence - opening.sequence > MOVEMENTS_MAX:
        raise Problem("statement-too-long")
    steps = await activity.steps(table, account_id, opening, closing)
    assets = closing.holdings.keys() - {CASH}
    closes = await markets.closes(
        table, assets, interval_ms=interval_ms, first_ms=times[0], last_ms=times[-1]
    )
    return tuple(_points(times, opening.holdings, steps, closes))


def _points(
    times: range,
    opening: Mapping[str, Holding],
    steps: Sequence[activity.Step],
    closes: Closes,
) -> Iterator[Point]:
    held, prices = dict(opening), dict[str, Price]()
    moving = iter(steps)
    step = next(moving, None)
    coming = {asset: iter(each) for asset, each in closes.items()}
    following = {asset: next(each, None) for asset, each in coming.items()}
    for time_ms in times:
        while step is not None and step.time_ms <= time_ms:
            held |= {each.asset: each for each in step.holdings}
            step = next(moving, None)
        for asset, each in coming.items():
            while (price := following[asset]) is not None and price.time_ms <= time_ms:
                prices[asset], following[asset] = price, next(each, None)
        yield _point(time_ms, tuple(held.values()), prices)


def _point(time_ms: int, holdings: Sequence[Holding], prices: Mapping[str, Price]) -> Point:
    positions = [each.asset for each in holdings if each.asset != CASH and quantity_e8(each)]
    used = [prices[each] for each in positions if each in prices]
    prices_e8 = {asset: price.price_e8 for asset, price in prices.items()}
    known = totals(holdings, prices_e8)
    return Point(
        time_ms,
        holdings,
        known if len(used) == len(positions) else None,
        min((each.time_ms for each in used), default=None),
    )


def _point_view(point: Point) -> dict[str, Any]:
    """What needs no price is always there."""
    known = totals(point.holdings, {})
    priced = point.totals
    return {
        "time": rfc3339(point.time_ms),
        "cash": format_e8(known.cash_e8),
        "cost_basis": format_e8(known.cost_e8),
        "realized_pl": format_e8(known.realized_e8),
        "market_value": optional_e8(priced and priced.value_e8),
        "unrealized_pl": optional_e8(priced and priced.value_e8 - priced.cost_e8),
        "equity": optional_e8(priced and priced.cash_e8 + priced.value_e8),
        "priced_at": None if point.priced_at_ms is None else rfc3339(point.priced_at_ms),
    }


def _times(request: Request, interval_ms: int, now_ms: int) -> range:
    until_ms, from_ms = time_in_query(request, "to"), time_in_query(request, "from")
    if until_ms is not None and from_ms is not None and until_ms < from_ms:
        raise invalid("to", "may not be before from")
    last_ms = min(now_ms if until_ms is None else until_ms, now_ms) // interval_ms * interval_ms
    if from_ms is None:
        from_ms = max(0, last_ms - (_POINTS_DEFAULT - 1) * interval_ms)
    times = range(-(-from_ms // interval_ms) * interval_ms, last_ms + 1, interval_ms)
    if len(times) > POINTS_MAX:
        raise invalid("from", f"may be at most {POINTS_MAX:,} intervals before to")
    return times
