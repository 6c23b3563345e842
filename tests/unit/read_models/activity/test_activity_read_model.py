from collections.abc import Awaitable, Callable

import pytest
from journals import History

from read_models.activity import queries
from read_models.activity.projection import PROJECTION
from runtime.memory_table import MemoryTable
from runtime.projection import Projection
from schemas.accounts import Execution, FundsDeposited, FundsWithdrawn, OrderTraded, Side
from schemas.codec import Message

Folded = Callable[[Projection, History], Awaitable[MemoryTable]]
Moved = tuple[str, int]


@pytest.fixture(scope="module", params=[0, 700], ids=["without fees", "with fees"])
def history(request: pytest.FixtureRequest) -> History:
    return History(31, accounts=3, fee_ppm=request.param).live(400)


@pytest.fixture
async def table(folded: Folded, history: History) -> MemoryTable:
    return await folded(PROJECTION, history)


def moved(event: Message) -> list[Moved]:
    """What an event moves, oldest first."""
    match event:
        case FundsDeposited():
            return [("deposit", event.amount_e8)]
        case FundsWithdrawn():
            return [("withdraw", -event.amount_e8)]
        case OrderTraded(order=order, execution=done):
            is_buy = order.side is Side.BUY
            kind, sign = ("order_payment", -1) if is_buy else ("order_sale", 1)
            fee = [("fee", -done.fee_e8)] if done.fee_e8 else []
            return [(kind, sign * done.notional_e8), *fee]
        case _:
            return []


def movements(history: History, account: str) -> list[Moved]:
    return [
        each
        for event, _ in history.events
        if getattr(event, "account_id", None) == account
        for each in moved(event)
    ]


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
async def test_pages_list_every_movement_newest_first(
    table: MemoryTable, history: History, limit: int
) -> None:
    account = history.accounts[1]
    expected = movements(history, account)[::-1]
    assert len(expected) > 20
    listed: list[queries.Transaction] = []
    cursor: int | None = None
    while True:
        page = await queries.transactions(table, account, limit=limit, cursor=cursor)
        assert page.total_count == len(expected)
        listed += page.rows
        cursor = page.next_cursor
        if cursor is None:
            break
    assert [(each.transaction_type, each.amount_e8) for each in listed] == expected
    assert [each.sequence for each in listed] == list(range(len(expected), 0, -1))
    assert len({each.transaction_id for each in listed}) == len(listed)


async def test_no_cursor_finds_what_is_not_there(table: MemoryTable, history: History) -> None:
    for beyond in (0, 1):
        page = await queries.transactions(table, history.accounts[1], cursor=beyond)
        assert (page.rows, page.next_cursor) == ((), None)


async def test_movements_sum_to_the_balance(table: MemoryTable, history: History) -> None:
    for account in history.accounts:
        page = await queries.transactions(table, account, limit=10_000)
        cash = history.state.account(account).holdings["USD"]
        assert sum(each.amount_e8 for each in page.rows) == cash.free_e8 + cash.locked_e8


async def test_executions_are_found_by_order_and_by_asset(
    table: MemoryTable, history: History
) -> None:
    account = history.accounts[0]
    trades = [
        event
        for event, _ in history.events
        if isinstance(event, OrderTraded) and event.account_id == account
    ]
    assert len(trades) > 10
    page = await queries.asset_transactions(table, account, "BTC", limit=4, offset=3)
    assert [each.execution for each in page.rows] == [each.execution for each in trades[::-1][3:7]]
    assert page.has_more
    assert not (await queries.asset_transactions(table, account, "BT")).rows
    for number in {each.order.number for each in trades}:
        found = await queries.executions(table, account, number)
        expected = [each.execution for each in trades if each.order.number == number]
        assert [each.execution for each in found.rows] == expected
        assert not found.has_more


async def test_an_orders_executions_come_in_pages_oldest_first(
    table: MemoryTable, history: History
) -> None:
    fills: dict[tuple[str, int], list[Execution]] = {}
    for event, _ in history.events:
        if isinstance(event, OrderTraded):
            fills.setdefault((event.account_id, event.order.number), []).append(event.execution)
    (account, number), expected = max(fills.items(), key=lambda each: len(each[1]))
    assert len(expected) > 1
    listed: list[Execution] = []
    has_more, after = True, 0
    while has_more:
        rows, has_more = await queries.executions(table, account, number, limit=1, after=after)
        assert len(rows) == 1
        listed, after = [*listed, rows[0].execution], rows[0].version
    assert listed == expected
    for beyond in (after, 10**15, 10**18 - 1):
        rest = await queries.executions(table, account, number, after=beyond)
        assert rest == queries.ExecutionsPage((), has_more=False)


async def test_the_head_is_the_newest_movement(table: MemoryTable, history: History) -> None:
    for account in history.accounts:
        head = await queries.head(table, account)
        assert head is not None
        assert head.version == max(
            version
            for event, version in history.events
            if event.TYPE in queries.CONCERNS and event.account_id == account
        )
    nobody = await queries.transactions(table, "nobody")
    assert nobody == queries.TransactionsPage((), 0, None)
