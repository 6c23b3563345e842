"""What the gateway may ask about orders."""

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from read_models.heads import Head, head_in
from read_models.orders.projection import CONCERNS
from read_models.orders.table import BY_ORDER_ID, BY_VERSION, ORDERS, TABLES, After
from read_models.past import outdated
from runtime.table import Beyond, Readable, Row, Span, Where
from schemas.accounts import Order, OrderStatus, OrderType, Side

__all__ = ["CONCERNS", "TABLES", "Head", "OrderRow", "OrdersPage", "head", "order", "orders"]

_DECODER: Final = msgspec.json.Decoder(After, strict=False)
_ACCEPTED: Final = Beyond("position", 0)
_REFUSED: Final = Beyond("position", 0, below=True)


class OrderRow(NamedTuple):
    """An order after its last event; `version` is its account's then."""

    order: Order
    version: int


class OrdersPage(NamedTuple):
    """Orders, newest first, and whether there are older ones."""

    rows: tuple[OrderRow, ...]
    has_more: bool


async def head(table: Readable, account_id: str) -> Head | None:
    """How far this read model is with the account; None before its first order."""
    rows = await table.query(
        ORDERS.name, {"account_id": account_id}, index=BY_VERSION.name, newest_first=True, limit=1
    )
    return head_in(rows[0]) if rows else None


async def order(table: Readable, account_id: str, order_id: str) -> OrderRow | None:
    """One order of this account; None when it has no such order."""
    rows = await table.query(
        ORDERS.name,
        {"account_id": account_id},
        where=Span("order_id", order_id, order_id),
        index=BY_ORDER_ID.name,
    )
    return _order(rows[-1]) if rows else None


async def orders(  # noqa: PLR0913  # each one is a part of one question
    table: Readable,
    account_id: str,
    *,
    asset: str | None = None,
    side: Side | None = None,
    order_type: OrderType | None = None,
    status: OrderStatus | None = None,
    limit: int = 50,
    offset: int = 0,
) -> OrdersPage:
    """Orders that match, newest first; those refused before acceptance only by their status.

    Without a filter any offset costs the same; with one it costs what it skips.
    """
    wanted = {"asset": asset, "side": side, "order_type": order_type, "status": status}
    matching = {name: str(value) for name, value in wanted.items() if value is not None}
    if not matching:
        rows = await _numbered(table, account_id, limit=limit + 1, offset=offset)
    elif status is OrderStatus.REJECTED:
        rows = (await _refused(table, account_id, matching, offset + limit + 1))[offset:]
    else:
        rows = await table.query(
            ORDERS.name,
            {"account_id": account_id},
            where=_ACCEPTED,
            matching=matching,
            newest_first=True,
            offset=offset,
            limit=limit + 1,
        )
    return OrdersPage(tuple(_order(each) for each in rows[:limit]), len(rows) > limit)


async def _numbered(table: Readable, account_id: str, *, limit: int, offset: int) -> Sequence[Row]:
    """Numbers are dense, so the offset gives the range."""
    where: Where = _ACCEPTED
    if offset:
        newest = await _range(table, account_id, _ACCEPTED, 1)
        top = newest[0]["position"] - offset if newest else 0
        if top < 1:
            return ()
        where = Span("position", max(1, top - limit + 1), top)
    return await _range(table, account_id, where, limit)


async def _range(table: Readable, account_id: str, where: Where, limit: int) -> Sequence[Row]:
    return await table.query(
        ORDERS.name, {"account_id": account_id}, where=where, newest_first=True, limit=limit
    )


async def _refused(table: Readable, account_id: str, matching: Row, limit: int) -> Sequence[Row]:
    """Refused by the market, and refused before that: two ranges of one partition."""
    partition = {"account_id": account_id}
    by_market, before = await asyncio.gather(
        table.query(
            ORDERS.name,
            partition,
            where=_ACCEPTED,
            matching=matching,
            newest_first=True,
            limit=limit,
        ),
        table.query(ORDERS.name, partition, where=_REFUSED, matching=matching, limit=limit),
    )
    merged = [*by_market, *before]
    return sorted(merged, key=lambda row: (row["time_ms"], row["version"]), reverse=True)


def after_in(row: Row, attribute: str = "after") -> After:
    """What a row says of an order after its last event, or as it was `accepted`."""
    try:
        return _DECODER.decode(row[attribute])
    except KeyError:
        raise outdated(ORDERS.name) from None


def _order(row: Row) -> OrderRow:
    return OrderRow(after_in(row).order, row["version"])
