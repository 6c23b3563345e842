"""What the gateway may ask about an account's money movements and executions."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from read_models.activity.projection import CONCERNS
from read_models.activity.table import (
    ACTIVITY,
    BY_ASSET,
    BY_ORDER,
    TABLES,
    Traded,
    asset_fill_of,
    fill_of,
    stem_of,
)
from read_models.heads import Head, head_in
from runtime.errors import Unavailable
from runtime.table import Beyond, Readable, Row, Span, Stem
from schemas.accounts import CASH, Execution, Side
from schemas.envelope import derived_id

__all__ = [
    "CONCERNS",
    "NOTHING",
    "TABLES",
    "ExecutionRow",
    "ExecutionsPage",
    "Head",
    "Line",
    "Mark",
    "Transaction",
    "TransactionsPage",
    "asset_transactions",
    "executions",
    "head",
    "lines",
    "mark",
    "transactions",
]

_DECODER: Final = msgspec.json.Decoder(Traded, strict=False)
_FIRST: Final = " "
"""Sorts before every asset."""
_LAST: Final = "~"
"""Sorts behind every version."""

TransactionType = Literal["deposit", "withdraw", "order_payment", "order_sale", "fee"]


class Transaction(NamedTuple):
    """One money movement; positive comes in. `sequence` numbers the account's, densely from 1."""

    transaction_id: str
    transaction_type: TransactionType
    amount_e8: int
    asset: str
    created_at_ms: int
    sequence: int
    order_id: str | None = None


class TransactionsPage(NamedTuple):
    """Newest first; `next_cursor` asks for the next page, None at the end."""

    rows: tuple[Transaction, ...]
    total_count: int
    next_cursor: int | None


class ExecutionRow(NamedTuple):
    """One execution of an order; `version` is the account's with it."""

    execution: Execution
    order_id: str
    asset: str
    side: Side
    time_ms: int
    version: int


class ExecutionsPage(NamedTuple):
    """Some executions, and whether more follow in the order that was asked for."""

    rows: tuple[ExecutionRow, ...]
    has_more: bool


class Mark(NamedTuple):
    """A moment between movements: the number of the last one, the version, and what was held."""

    sequence: int
    version: int
    balances_e8: Mapping[str, int]


NOTHING: Final = Mark(0, 0, {CASH: 0})
"""Before the first movement."""


class Line(NamedTuple):
    """One change of one balance; positive comes in. `traded` is the execution behind it."""

    time_ms: int
    kind: TransactionType | Literal["bought", "sold"]
    asset: str
    amount_e8: int
    traded: Traded | None
    transaction_id: str | None = None


async def head(table: Readable, account_id: str) -> Head | None:
    """How far this read model is with the account; None before its first movement."""
    rows = await table.query(ACTIVITY.name, {"account_id": account_id}, newest_first=True, limit=1)
    return head_in(rows[0]) if rows else None


async def transactions(
    table: Readable, account_id: str, *, limit: int = 50, cursor: int | None = None
) -> TransactionsPage:
    """Money movements before `cursor` (the sequence of the last one seen), newest first."""
    partition = {"account_id": account_id}
    newest = await table.query(
        ACTIVITY.name, partition, newest_first=True, limit=limit if cursor is None else 1
    )
    total = newest[0]["sequence"] if newest else 0
    rows = newest
    if cursor is not None:
        # a fee at the cursor shares its row with the payment
        where = Span("sequence", 1, max(cursor, 1))
        rows = await table.query(
            ACTIVITY.name, partition, where=where, newest_first=True, limit=limit + 1
        )
    page = tuple(each for each in _movements(rows) if cursor is None or each.sequence < cursor)[
        :limit
    ]
    is_last = not page or page[-1].sequence == 1
    return TransactionsPage(page, total, None if is_last else page[-1].sequence)


async def asset_transactions(
    table: Readable, account_id: str, asset: str, *, limit: int = 50, offset: int = 0
) -> ExecutionsPage:
    """Executions in one asset, newest first."""
    rows = await table.query(
        ACTIVITY.name,
        {"account_id": account_id},
        where=Stem("asset_fill", stem_of(asset)),
        index=BY_ASSET.name,
        newest_first=True,
        offset=offset,
        limit=limit + 1,
    )
    return ExecutionsPage(tuple(_execution(each) for each in rows[:limit]), len(rows) > limit)


async def executions(
    table: Readable, account_id: str, order_number: int, *, limit: int = 50, after: int = 0
) -> ExecutionsPage:
    """Executions of one order, oldest first, behind the one of version `after`."""
    last = fill_of(order_number + 1, 0) - 1
    rows = await table.query(
        ACTIVITY.name,
        {"account_id": account_id},
        where=Span("fill", min(fill_of(order_number, after + 1), last), last),
        index=BY_ORDER.name,
        limit=limit + 1,
    )
    return ExecutionsPage(tuple(_execution(each) for each in rows[:limit]), len(rows) > limit)


async def mark(table: Readable, account_id: str, before_ms: int | None) -> Mark:
    """Where the account was before this time, or is now; found in log2(movements) requests."""
    row = await _last_before(table, account_id, before_ms)
    if row is None:
        return NOTHING
    balances = await _balances(table, account_id, row["version"])
    return Mark(row["sequence"], row["version"], {CASH: _cash_e8(row)} | balances)


async def lines(table: Readable, account_id: str, after: Mark, until: Mark) -> tuple[Line, ...]:
    """What moved between two marks, oldest first."""
    if until.sequence <= after.sequence:
        return ()
    where = Span("sequence", after.sequence + 1, until.sequence)
    rows = await table.query(ACTIVITY.name, {"account_id": account_id}, where=where)
    return tuple(line for row in rows for line in _lines(row))


async def _last_before(table: Readable, account_id: str, before_ms: int | None) -> Row | None:
    """Times never fall along the sequence (T1), so halving finds it."""
    partition = {"account_id": account_id}
    newest = await table.query(ACTIVITY.name, partition, newest_first=True, limit=1)
    if not newest or before_ms is None or newest[0]["time_ms"] < before_ms:
        return newest[0] if newest else None
    found: Row | None = None
    low, high = 0, newest[0]["sequence"]  # none up to low is too late, all from high on are
    while high - low > 1:
        middle = (low + high) // 2
        where = Span("sequence", middle, high)
        (row,) = await table.query(ACTIVITY.name, partition, where=where, limit=1)
        if row["time_ms"] < before_ms:
            found, low = row, row["sequence"]
        else:
            high = middle
    return found


async def _balances(table: Readable, account_id: str, version: int) -> dict[str, int]:
    """What the account had of each asset at this version: what the last trade of each left."""
    partition, held = {"account_id": account_id}, dict[str, int]()
    edge = _FIRST
    while rows := await table.query(
        ACTIVITY.name,
        partition,
        where=Beyond("asset_fill", edge),
        index=BY_ASSET.name,
        limit=1,
    ):
        asset = _traded(rows[0]).asset
        last = await table.query(
            ACTIVITY.name,
            partition,
            where=Span("asset_fill", asset_fill_of(asset, 0), asset_fill_of(asset, version)),
            index=BY_ASSET.name,
            newest_first=True,
            limit=1,
        )
        if last:
            held[asset] = _known(_traded(last[0]).held_e8)
        edge = stem_of(asset) + _LAST
    return held


def _cash_e8(row: Row) -> int:
    if row["kind"] == "trade":
        return _known(_traded(row).cash_e8)
    return _known(row.get("cash_e8"))


def _known(balance_e8: int | None) -> int:
    if balance_e8 is None:
        raise Unavailable("activity has rows of before there were statements: project it anew")
    return balance_e8


def _lines(row: Row) -> Iterator[Line]:
    """An execution moves the asset, its payment, and its fee."""
    time_ms = row["time_ms"]
    traded = None
    if row["kind"] == "trade":
        traded = _traded(row)
        is_buy = traded.side is Side.BUY
        quantity_e8 = traded.execution.quantity_e8
        kind = "bought" if is_buy else "sold"
        yield Line(time_ms, kind, traded.asset, quantity_e8 if is_buy else -quantity_e8, traded)
    for each in reversed(tuple(_movements([row]))):
        yield Line(
            time_ms, each.transaction_type, CASH, each.amount_e8, traded, each.transaction_id
        )


def _movements(rows: Sequence[Row]) -> Iterator[Transaction]:
    for row in rows:
        if row["kind"] != "trade":
            yield Transaction(
                row["transaction_id"],
                row["kind"],
                row["amount_e8"],
                CASH,
                row["time_ms"],
                row["sequence"],
            )
        else:
            yield from _trade(row)


def _trade(row: Row) -> Iterator[Transaction]:
    """A trade is a payment or a sale, after which its fee was taken, where there was one."""
    traded = _traded(row)
    execution, order_id, sequence = traded.execution, traded.order_id, row["sequence"]
    if execution.fee_e8:
        fee_id = derived_id("fee", execution.trade_id, order_id)
        yield Transaction(
            fee_id, "fee", -execution.fee_e8, CASH, row["time_ms"], sequence, order_id
        )
        sequence -= 1
    is_buy = traded.side is Side.BUY
    yield Transaction(
        derived_id("trade", execution.trade_id, order_id),
        "order_payment" if is_buy else "order_sale",
        -execution.notional_e8 if is_buy else execution.notional_e8,
        CASH,
        row["time_ms"],
        sequence,
        order_id,
    )


def _traded(row: Row) -> Traded:
    return _DECODER.decode(row["traded"])


def _execution(row: Row) -> ExecutionRow:
    traded = _traded(row)
    return ExecutionRow(
        traded.execution,
        traded.order_id,
        traded.asset,
        traded.side,
        row["time_ms"],
        row["version"],
    )
