"""`?as_of=`: balance, portfolio and orders as they were at a version of the account or a time."""

import asyncio
import re
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from starlette.requests import Request

from gateway.freshness import AsOf, min_version
from gateway.parameters import time_in_query
from gateway.problems import Problem
from gateway.services import ACTIVITY, ORDERS, Services
from read_models import history
from read_models.activity import queries as activity
from read_models.heads import Head
from read_models.orders import queries as orders
from read_models.past import Until

_VERSION: Final = re.compile(r"[0-9]{1,15}")


class Past(NamedTuple):
    """The version that was asked for, or the last one by then, and what the answer says of it.

    `time_ms` is the time that was asked for, or when the account had last changed by the version.
    """

    version: int
    time_ms: int
    as_of: AsOf


async def past_in_query(services: Services, account_id: str, request: Request) -> Past | None:
    """What the request's `as_of` asks for; None when it asks for now.

    Raises:
        Problem: it is neither a version nor a time, or beyond what is decided or readable.
    """
    until = _until(request)
    return None if until is None else await _past(services, account_id, until, min_version(request))


async def past_at(services: Services, account_id: str, time_ms: int) -> Past:
    """The account as of a time in broker ms.

    Raises:
        Problem: the time is beyond what is decided or readable.
    """
    return await _past(services, account_id, Until(before_ms=time_ms + 1), None)


async def _past(services: Services, account_id: str, until: Until, at_least: int | None) -> Past:
    asked_ms = until.time_ms
    if asked_ms is not None and asked_ms > services.publisher.clock.now_ms():
        raise Problem("as-of-undecided")
    table = services.table
    fresh = await asyncio.gather(
        *(
            services.freshness.account(
                account_id, name, partial(model.head, table, account_id), at_least=at_least
            )
            for name, model in ((ORDERS, orders), (ACTIVITY, activity))
        )
    )
    check_decided(until, fresh)
    last = await history.head(table, account_id, until) or Head(0, 0, 0)
    version = until.version if asked_ms is None else last.version
    as_of = AsOf(version, last.time_ms if last.version else None, 0, is_stale=False)
    return Past(version, last.time_ms if asked_ms is None else asked_ms, as_of)


def check_decided(until: Until, fresh: Sequence[AsOf]) -> None:
    """Let pass what every read model shows; what is not projected yet is worth another try.

    Raises:
        Problem: nobody has decided so much, or not all of it is readable yet.
    """
    behind = [each for each in fresh if each.is_stale]
    if until.time_ms is not None:
        is_readable = all((each.time_ms or 0) > until.time_ms for each in behind)
    else:
        is_readable = all(each.version >= until.version for each in behind)
        if not behind and until.version > max(each.version for each in fresh):
            raise Problem("as-of-undecided")
    if not is_readable:
        raise Problem("version-not-reached")


def _until(request: Request) -> Until | None:
    given = request.query_params.get("as_of")
    if given is not None and _VERSION.fullmatch(given):
        return Until(int(given))
    time_ms = time_in_query(request, "as_of")
    return None if time_ms is None else Until(before_ms=time_ms + 1)
