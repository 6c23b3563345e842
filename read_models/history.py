"""An account as it was: its orders and its cash as of a version, from orders and activity.

Every event says what it left, so what counts is the newest event up to the version: a movement,
an acceptance, a change, or an order's last event. What the newest of each is takes log2(rows)
requests; an order that was open then takes two more.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Final, NamedTuple

from read_models.activity import queries as activity
from read_models.heads import Head, head_in
from read_models.orders.queries import OrderRow, OrdersPage, after_in
from read_models.orders.table import BY_ORDER, BY_VERSION, CHANGES, ORDERS, After
from read_models.past import Numbered, Until, in_order, last_row
from runtime.table import Readable, Row, Span
from schemas.accounts import Holding, OrderStatus, OrderType, Side

_ACCEPTED: Final = Numbered(ORDERS.name, "position")
_LAST: Final = Numbered(ORDERS.name, "version", BY_VERSION.name)
_CHANGED: Final = Numbered(CHANGES.name, "version")
_CHUNK: Final = 100


class Cash(NamedTuple):
    """USD as it was, and which event left it so."""

    holding: Holding
    version: int
    time_ms: int


async def head(table: Readable, account_id: str, until: Until) -> Head | None:
    """The last event that changed the account; None before the first."""
    movement, accepted, last, changed = await asyncio.gather(
        activity.head(table, account_id, until),
        _last_accepted(table, account_id, until),
        _last(table, _LAST, account_id, until),
        _last(table, _CHANGED, account_id, until),
    )
    heads = [] if movement is None else [movement]
    heads += [head_in(row) for row in (last, changed) if row]
    if accepted is not None:
        after = after_in(accepted, "accepted")
        heads.append(Head(after.version, accepted["offset"], after.order.created_at_ms))
    return max(heads, default=None)


async def cash(table: Readable, account_id: str, version: int) -> Cash | None:
    """USD as of a version; None when it was never there.

    It costs what it skips of orders that ended or changed without moving USD, as sales do.
    """
    moved, accepted = await asyncio.gather(
        activity.cash(table, account_id, Until(version)),
        _last_buy(table, account_id, version),
    )
    known = [Cash(holding, head.version, head.time_ms) for holding, head in filter(None, [moved])]
    if accepted is not None:
        known += _cash(after_in(accepted, "accepted"))
    newest = max((each.version for each in known), default=0)
    later = await asyncio.gather(
        *(_last_cash(table, each, account_id, newest + 1, version) for each in (_LAST, _CHANGED))
    )
    known += filter(None, later)
    return max(known, key=lambda each: each.version, default=None)


async def orders(  # noqa: PLR0913  # each one is a part of one question
    table: Readable,
    account_id: str,
    *,
    version: int,
    asset: str | None = None,
    side: Side | None = None,
    order_type: OrderType | None = None,
    status: OrderStatus | None = None,
    limit: int = 50,
    offset: int = 0,
) -> OrdersPage:
    """Orders as of a version that matched then, newest first, as `orders.queries` lists them.

    With a filter it costs what it skips.
    """
    wanted = {"asset": asset, "side": side, "order_type": order_type}
    matching = {name: str(value) for name, value in wanted.items() if value is not None}
    last = await _last_accepted(table, account_id, Until(version))
    top = last["position"] if last else 0
    chunk = _CHUNK
    if not matching and status is None:  # numbers are dense
        top, offset, chunk = top - offset, 0, limit + 1
    found: list[OrderRow] = []
    standing = _standing(table, account_id, version, top=top, matching=matching, chunk=chunk)
    async for each in standing:
        if status is None or each.order.status is status:
            found.append(each)
            if len(found) > offset + limit:
                break
    if status is OrderStatus.REJECTED:
        found += await _refused(table, account_id, version, matching, offset + limit + 1)
        found.sort(key=lambda each: (each.order.updated_at_ms, each.version), reverse=True)
    page = found[offset : offset + limit + 1]
    return OrdersPage(tuple(page[:limit]), len(page) > limit)


async def _standing(  # noqa: PLR0913  # each one is a part of one question
    table: Readable, account_id: str, version: int, *, top: int, matching: Row, chunk: int
) -> AsyncIterator[OrderRow]:
    """Every order up to a number as it was, newest first."""
    while top > 0:
        rows = await table.query(
            ORDERS.name,
            {"account_id": account_id},
            where=Span("position", 1, top),
            matching=matching or None,
            newest_first=True,
            limit=chunk,
        )
        standing = [_standing_order(table, account_id, version, row) for row in rows]
        for each in await asyncio.gather(*standing):
            yield each
        top = rows[-1]["position"] - 1 if len(rows) == chunk else 0


async def _standing_order(table: Readable, account_id: str, version: int, row: Row) -> OrderRow:
    """An order that was accepted by then: as it is, or what its newest event until then left."""
    if row["version"] <= version:
        return OrderRow(after_in(row).order, row["version"])
    number = row["position"]
    traded, changed = await asyncio.gather(
        activity.trade_of(table, account_id, number, version),
        table.query(
            CHANGES.name,
            {"account_id": account_id},
            where=Span("change", in_order(number, 0), in_order(number, version)),
            index=BY_ORDER.name,
            newest_first=True,
            limit=1,
        ),
    )
    accepted = after_in(row, "accepted")
    known = [OrderRow(accepted.order, accepted.version)]
    known += [OrderRow(order, head.version) for order, head in filter(None, [traded])]
    known += [OrderRow(after_in(each).order, each["version"]) for each in changed]
    return max(known, key=lambda each: each.version)


async def _refused(
    table: Readable, account_id: str, version: int, matching: Row, limit: int
) -> list[OrderRow]:
    """Refused before acceptance; nothing comes after that."""
    if not version:
        return []
    rows = await table.query(
        ORDERS.name,
        {"account_id": account_id},
        where=Span("position", -version, -1),
        matching=matching or None,
        limit=limit,
    )
    return [OrderRow(after_in(row).order, row["version"]) for row in rows]


async def _last_accepted(table: Readable, account_id: str, until: Until) -> Row | None:
    def is_within(row: Row) -> bool:
        after = after_in(row, "accepted")
        return until.includes(after.version, after.order.created_at_ms)

    return await last_row(table, _ACCEPTED, account_id, is_within)


async def _last(table: Readable, numbered: Numbered, account_id: str, until: Until) -> Row | None:
    return await last_row(
        table,
        numbered,
        account_id,
        lambda row: until.includes(row["version"], row["time_ms"]),
    )


async def _last_buy(table: Readable, account_id: str, version: int) -> Row | None:
    """Every buy locks USD when it is accepted."""
    last = await _last_accepted(table, account_id, Until(version))
    if last is None or last["side"] == Side.BUY.value:
        return last
    rows = await table.query(
        ORDERS.name,
        {"account_id": account_id},
        where=Span("position", 1, last["position"]),
        matching={"side": Side.BUY.value},
        newest_first=True,
        limit=1,
    )
    return rows[0] if rows else None


async def _last_cash(
    table: Readable, numbered: Numbered, account_id: str, low: int, high: int
) -> Cash | None:
    """What the newest event of these versions that moved USD left of it."""
    name, attribute, index = numbered
    while low <= high:
        rows = await table.query(
            name,
            {"account_id": account_id},
            where=Span(attribute, low, high),
            index=index,
            newest_first=True,
            limit=_CHUNK,
        )
        for row in rows:
            for each in _cash(after_in(row)):
                return each
        high = rows[-1][attribute] - 1 if len(rows) == _CHUNK else 0
    return None


def _cash(after: After) -> list[Cash]:
    if after.cash is None:
        return []
    return [Cash(after.cash, after.version, after.order.updated_at_ms)]
