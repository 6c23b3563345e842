"""What the gateway may ask about an account's money movements and executions."""

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from read_models.activity.projection import CONCERNS
from read_models.activity.table import (
    ACTIVITY,
    BY_ASSET,
    BY_ORDER,
    TABLES,
    Traded,
    fill_of,
    stem_of,
)
from read_models.heads import Head, head_in
from runtime.table import Readable, Row, Span, Stem
from schemas.accounts import CASH, Execution, Side
from schemas.envelope import derived_id

__all__ = [
    "CONCERNS",
    "TABLES",
    "ExecutionRow",
    "ExecutionsPage",
    "Head",
    "Transaction",
    "TransactionsPage",
    "asset_transactions",
    "executions",
    "head",
    "transactions",
]

_DECODER: Final = msgspec.json.Decoder(Traded, strict=False)

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
    traded: Traded = _DECODER.decode(row["traded"])
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


def _execution(row: Row) -> ExecutionRow:
    traded: Traded = _DECODER.decode(row["traded"])
    return ExecutionRow(
        traded.execution,
        traded.order_id,
        traded.asset,
        traded.side,
        row["time_ms"],
        row["version"],
    )
