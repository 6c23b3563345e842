"""GET /account/statement: what one had, what moved it, what one has; as JSON or CSV."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, Final, NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from gateway.answers import answer
from gateway.freshness import min_version
from gateway.parameters import time_in_query, word
from gateway.problems import Problem, invalid
from gateway.services import ACTIVITY, services_of
from read_models.activity import queries as activity
from read_models.activity.queries import Line, Mark
from read_models.past import NOW, Until
from runtime.table import Readable
from schemas.accounts import CASH
from schemas.envelope import rfc3339
from schemas.money import format_e8

MOVEMENTS_MAX: Final = 10_000
_CSV: Final = "text/csv"
_COLUMNS: Final = (
    "time",
    "type",
    "asset_id",
    "amount",
    "balance",
    "price",
    "transaction_id",
    "order_id",
    "trade_id",
)


class Format(StrEnum):
    """What a statement may be written in."""

    JSON = "json"
    CSV = "csv"


class Period(NamedTuple):
    """From a time on and before another, in broker ms; None is without end."""

    begin_ms: int | None
    end_ms: int | None


class Statement(NamedTuple):
    """The marks on both sides of a period, and what moved in it."""

    opening: Mark
    lines: tuple[Line, ...]
    closing: Mark


async def read_statement(request: Request) -> Response:
    """Periods that meet (one's `to` is the next one's `from`) have every movement once."""
    services = services_of(request)
    caller = await services.auth.caller(request)
    period, wanted = _period(request), _format(request)
    as_of = await services.freshness.account(
        caller.user_id,
        ACTIVITY,
        partial(activity.head, services.table, caller.user_id),
        at_least=min_version(request),
    )
    statement = await read(services.table, caller.user_id, period)
    if wanted is Format.CSV:
        name = {"Content-Disposition": 'attachment; filename="statement.csv"'}
        return Response(csv_text(statement, period), 200, as_of.headers() | name, _CSV)
    body = json_view(statement, period) | {"as_of": as_of.view()}
    return answer(body, headers=as_of.headers())


async def read(table: Readable, account_id: str, period: Period) -> Statement:
    """The account's statement.

    Raises:
        Problem: the period has more than `MOVEMENTS_MAX` movements.
    """
    begin_ms, opening = period.begin_ms, activity.NOTHING
    if begin_ms is not None:
        opening = await activity.mark(table, account_id, Until(before_ms=begin_ms))
    until = NOW if period.end_ms is None else Until(before_ms=period.end_ms)
    closing = await activity.mark(table, account_id, until)
    if closing.sequence - opening.sequence > MOVEMENTS_MAX:
        raise Problem("statement-too-long")
    return Statement(opening, await activity.lines(table, account_id, opening, closing), closing)


def json_view(statement: Statement, period: Period) -> dict[str, Any]:
    """As JSON; each movement says what there was of its asset after it."""
    opening_e8, closing_e8 = _balances_e8(statement.opening), _balances_e8(statement.closing)
    assets = sorted({*opening_e8, *closing_e8})
    return {
        "from": _time(period.begin_ms),
        "to": _time(period.end_ms),
        "opening": _balances_view(assets, opening_e8),
        "movements": [_line_view(*each) for each in _balanced(statement)],
        "closing": _balances_view(assets, closing_e8),
    }


def csv_text(statement: Statement, period: Period) -> str:
    """One table: opening balances, movements, closing balances."""
    view, written = json_view(statement, period), io.StringIO()
    table = csv.DictWriter(written, _COLUMNS)
    table.writeheader()
    table.writerows({"time": view["from"], "type": "opening"} | each for each in view["opening"])
    table.writerows(view["movements"])
    table.writerows({"time": view["to"], "type": "closing"} | each for each in view["closing"])
    return written.getvalue()


def _balanced(statement: Statement) -> Iterator[tuple[Line, int]]:
    balances_e8 = Counter(_balances_e8(statement.opening))
    for line in statement.lines:
        balances_e8[line.asset] += line.amount_e8
        yield line, balances_e8[line.asset]


def _line_view(line: Line, balance_e8: int) -> dict[str, Any]:
    execution = line.traded.execution if line.traded else None
    return {
        "time": rfc3339(line.time_ms),
        "type": line.kind,
        "asset_id": line.asset,
        "amount": format_e8(line.amount_e8),
        "balance": format_e8(balance_e8),
        "price": format_e8(execution.price_e8) if execution else None,
        "transaction_id": line.transaction_id,
        "order_id": line.traded.order.order_id if line.traded else None,
        "trade_id": execution.trade_id if execution else None,
    }


def _balances_e8(mark: Mark) -> Mapping[str, int]:
    """Free and locked together; there is always USD."""
    held = mark.holdings.values()
    return {CASH: 0} | {each.asset: each.free_e8 + each.locked_e8 for each in held}


def _balances_view(assets: Iterable[str], balances_e8: Mapping[str, int]) -> list[dict[str, str]]:
    return [{"asset_id": each, "balance": format_e8(balances_e8.get(each, 0))} for each in assets]


def _time(time_ms: int | None) -> str | None:
    return None if time_ms is None else rfc3339(time_ms)


def _period(request: Request) -> Period:
    period = Period(time_in_query(request, "from"), time_in_query(request, "to"))
    if period.end_ms is not None and (period.begin_ms or 0) > period.end_ms:
        raise invalid("to", "may not be before from")
    return period


def _format(request: Request) -> Format:
    """The query's word first; else CSV if it is the first type that the caller accepts."""
    accepted = request.headers.get("accept", "").split(",")[0].split(";")[0].strip().lower()
    return word(request, "format", Format) or (Format.CSV if accepted == _CSV else Format.JSON)
