"""What the gateway may ask about an account's money movements and executions."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    stem_of,
)
from read_models.heads import Head, head_in
from read_models.past import NOW, Numbered, Until, in_order, last_row, outdated
from runtime.table import Beyond, Readable, Row, Span, Stem
from schemas.accounts import CASH, Execution, Holding, Order, Side
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
    "Step",
    "Transaction",
    "TransactionsPage",
    "asset_transactions",
    "cash",
    "executions",
    "head",
    "lines",
    "mark",
    "steps",
    "trade_of",
    "transactions",
]

_DECODER: Final = msgspec.json.Decoder(Traded, strict=False)
_HOLDING: Final = msgspec.json.Decoder(Holding, strict=False)
_MOVEMENTS: Final = Numbered(ACTIVITY.name, "sequence")
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
    """A moment between movements: the number of the last one, its event, and what was held.

    Of each holding free and locked together are exact: locks move without movements.
    """

    sequence: int
    head: Head
    holdings: Mapping[str, Holding]


NOTHING: Final = Mark(0, Head(0, 0, 0), {})
"""Before the first movement."""


class Step(NamedTuple):
    """A movement's time, and the holdings that it touched, as it left them."""

    time_ms: int
    holdings: tuple[Holding, ...]


class Line(NamedTuple):
    """One change of one balance; positive comes in. `traded` is the execution behind it."""

    time_ms: int
    kind: TransactionType | Literal["bought", "sold"]
    asset: str
    amount_e8: int
    traded: Traded | None
    transaction_id: str | None = None


async def head(table: Readable, account_id: str, until: Until = NOW) -> Head | None:
    """How far this read model is with the account, or was; None before its first movement."""
    row = await _last(table, account_id, until)
    return head_in(row) if row else None


async def cash(table: Readable, account_id: str, until: Until = NOW) -> tuple[Holding, Head] | None:
    """USD as the last movement left it; None before the first."""
    row = await _last(table, account_id, until)
    return (_in(CASH, _held(row)), head_in(row)) if row else None


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
    last = in_order(order_number + 1, 0) - 1
    rows = await table.query(
        ACTIVITY.name,
        {"account_id": account_id},
        where=Span("fill", min(in_order(order_number, after + 1), last), last),
        index=BY_ORDER.name,
        limit=limit + 1,
    )
    return ExecutionsPage(tuple(_execution(each) for each in rows[:limit]), len(rows) > limit)


async def mark(table: Readable, account_id: str, until: Until = NOW) -> Mark:
    """Where the account was then; found in log2(movements) requests and two per asset."""
    row = await _last(table, account_id, until)
    if row is None:
        return NOTHING
    held = {each.asset: each for each in _held(row)}
    traded = await _traded_assets(table, account_id, row["version"])
    return Mark(row["sequence"], head_in(row), held | traded)


async def trade_of(
    table: Readable, account_id: str, order_number: int, version: int
) -> tuple[Order, Head] | None:
    """The order as its last trade up to a version left it; None before the first."""
    rows = await table.query(
        ACTIVITY.name,
        {"account_id": account_id},
        where=Span("fill", in_order(order_number, 0), in_order(order_number, version)),
        index=BY_ORDER.name,
        newest_first=True,
        limit=1,
    )
    return (_traded(rows[0]).order, head_in(rows[0])) if rows else None


async def lines(table: Readable, account_id: str, after: Mark, until: Mark) -> tuple[Line, ...]:
    """What moved between two marks, oldest first."""
    rows = await _rows(table, account_id, after, until)
    return tuple(line for row in rows for line in _lines(row))


async def steps(table: Readable, account_id: str, after: Mark, until: Mark) -> tuple[Step, ...]:
    """What was held between two marks, oldest first."""
    rows = await _rows(table, account_id, after, until)
    return tuple(Step(each["time_ms"], _held(each)) for each in rows)


async def _rows(table: Readable, account_id: str, after: Mark, until: Mark) -> Sequence[Row]:
    if until.sequence <= after.sequence:
        return ()
    where = Span("sequence", after.sequence + 1, until.sequence)
    return await table.query(ACTIVITY.name, {"account_id": account_id}, where=where)


async def _traded_assets(table: Readable, account_id: str, version: int) -> dict[str, Holding]:
    """What the account had of each asset at this version: what the last trade of each left."""
    partition, held = {"account_id": account_id}, dict[str, Holding]()
    edge = _FIRST
    while rows := await table.query(
        ACTIVITY.name,
        partition,
        where=Beyond("asset_fill", edge),
        index=BY_ASSET.name,
        limit=1,
    ):
        asset = _traded(rows[0]).order.asset
        last = await table.query(
            ACTIVITY.name,
            partition,
            where=Span("asset_fill", asset_fill_of(asset, 0), asset_fill_of(asset, version)),
            index=BY_ASSET.name,
            newest_first=True,
            limit=1,
        )
        if last:
            held[asset] = _in(asset, _held(last[0]))
        edge = stem_of(asset) + _LAST
    return held


async def _last(table: Readable, account_id: str, until: Until) -> Row | None:
    return await last_row(
        table,
        _MOVEMENTS,
        account_id,
        lambda row: until.includes(row["version"], row["time_ms"]),
    )


def _in(asset: str, holdings: Iterable[Holding]) -> Holding:
    return next(each for each in holdings if each.asset == asset)


def _held(row: Row) -> tuple[Holding, ...]:
    """USD, and the asset of a trade, as the movement left them."""
    if row["kind"] == "trade":
        return _traded(row).holdings
    try:
        return (_HOLDING.decode(row["cash"]),)
    except KeyError:
        raise outdated(ACTIVITY.name) from None


def _lines(row: Row) -> Iterator[Line]:
    """An execution moves the asset, its payment, and its fee."""
    time_ms = row["time_ms"]
    traded = None
    if row["kind"] == "trade":
        traded = _traded(row)
        is_buy = traded.order.side is Side.BUY
        quantity_e8 = traded.execution.quantity_e8 * (1 if is_buy else -1)
        kind = "bought" if is_buy else "sold"
        yield Line(time_ms, kind, traded.order.asset, quantity_e8, traded)
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
    execution, sequence = traded.execution, row["sequence"]
    order_id = traded.order.order_id
    if execution.fee_e8:
        fee_id = derived_id("fee", execution.trade_id, order_id)
        yield Transaction(
            fee_id, "fee", -execution.fee_e8, CASH, row["time_ms"], sequence, order_id
        )
        sequence -= 1
    is_buy = traded.order.side is Side.BUY
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
    try:
        return _DECODER.decode(row["traded"])
    except msgspec.ValidationError:
        raise outdated(ACTIVITY.name) from None


def _execution(row: Row) -> ExecutionRow:
    traded = _traded(row)
    return ExecutionRow(
        traded.execution,
        traded.order.order_id,
        traded.order.asset,
        traded.order.side,
        row["time_ms"],
        row["version"],
    )
