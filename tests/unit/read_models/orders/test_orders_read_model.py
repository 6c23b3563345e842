from collections.abc import Awaitable, Callable

import pytest
from journals import History

from read_models.orders import queries
from read_models.orders.projection import PROJECTION
from runtime.memory_table import MemoryTable
from runtime.projection import Projection
from schemas.accounts import (
    DepositFunds,
    Order,
    OrderStatus,
    OrderType,
    PlaceOrder,
    Side,
    WithdrawFunds,
)
from schemas.money import E8

Folded = Callable[[Projection, History], Awaitable[MemoryTable]]


@pytest.fixture(scope="module")
def history() -> History:
    return History(11, accounts=3, fee_ppm=100).live(400)


@pytest.fixture
async def table(folded: Folded, history: History) -> MemoryTable:
    return await folded(PROJECTION, history)


def latest(history: History, account: str) -> dict[str, tuple[Order, int]]:
    """Each order after its last event of interest, with that event's account version."""
    return {
        event.order.order_id: (event.order, version)
        for event, version in history.events
        if event.TYPE in queries.CONCERNS and event.account_id == account
    }


async def test_every_order_is_as_its_last_event_left_it(
    table: MemoryTable, history: History
) -> None:
    for account in history.accounts:
        expected = latest(history, account)
        assert len(expected) > 20
        for order_id, (order, version) in expected.items():
            row = await queries.order(table, account, order_id)
            assert row is not None
            assert (row.order, row.version) == (order, version)


async def test_an_order_of_somebody_else_is_not_there(table: MemoryTable, history: History) -> None:
    mine, other, _ = history.accounts
    ours = {each for account in (mine, other) for each in latest(history, account)}
    for order_id in ours:
        found = [await queries.order(table, each, order_id) for each in (mine, other)]
        assert found.count(None) == 1


@pytest.mark.parametrize("limit", [1, 7, 100])
async def test_pages_list_every_accepted_order_newest_first(
    table: MemoryTable, history: History, limit: int
) -> None:
    account = history.accounts[0]
    listed, offset, more = [], 0, True
    while more:
        page = await queries.orders(table, account, limit=limit, offset=offset)
        listed += [each.order.number for each in page.rows]
        offset, more = offset + limit, page.has_more
    accepted = [order.number for order, _ in latest(history, account).values() if order.number]
    assert listed == sorted(accepted, reverse=True)
    assert not (await queries.orders(table, account, offset=len(listed))).rows
    assert not (await queries.orders(table, "nobody", offset=3)).rows


async def test_filters_keep_what_matches(table: MemoryTable, history: History) -> None:
    account = history.accounts[0]
    accepted = [order for order, _ in latest(history, account).values() if order.number]
    page = await queries.orders(
        table, account, side=Side.BUY, order_type=OrderType.LIMIT, asset="BTC", limit=100
    )
    expected = {
        each.order_id
        for each in accepted
        if each.side is Side.BUY and each.order_type is OrderType.LIMIT
    }
    assert {each.order.order_id for each in page.rows} == expected
    assert expected
    filled = await queries.orders(table, account, status=OrderStatus.FILLED, limit=2, offset=1)
    assert len(filled.rows) == 2
    assert filled.has_more
    assert {each.order.status for each in filled.rows} == {OrderStatus.FILLED}


async def test_orders_refused_before_acceptance_are_listed_only_by_that_status(
    table: MemoryTable, history: History
) -> None:
    account = history.accounts[0]
    refused = [order for order, _ in latest(history, account).values() if not order.number]
    assert len(refused) > 3
    page = await queries.orders(table, account, status=OrderStatus.REJECTED, limit=100)
    times = [each.order.created_at_ms for each in page.rows]
    assert times == sorted(times, reverse=True)
    assert {each.order.order_id for each in page.rows} == {each.order_id for each in refused}
    second = await queries.orders(table, account, status=OrderStatus.REJECTED, limit=2, offset=2)
    assert second.rows == page.rows[2:4]


async def test_the_head_is_the_newest_event_of_interest(
    table: MemoryTable, history: History
) -> None:
    for account in history.accounts:
        head = await queries.head(table, account)
        newest = max(version for _, version in latest(history, account).values())
        assert head is not None
        assert head.version == newest
    assert await queries.head(table, "nobody") is None


async def test_the_house_and_money_alone_have_no_orders(folded: Folded) -> None:
    history = History()
    account = history.accounts[0]
    history.say(DepositFunds(account_id=account, amount_e8=100 * E8))
    history.say(WithdrawFunds(account_id=account, amount_e8=E8))
    table = await folded(PROJECTION, history)
    assert not table.rows("orders")
    history.say(
        PlaceOrder(
            account_id=account,
            asset="BTC",
            side=Side.BUY,
            order_type=OrderType.LIMIT,
            quantity_e8=E8 // 10,
            price_e8=100 * E8,
        )
    )
    table = await folded(PROJECTION, history)
    (page,) = (await queries.orders(table, account)).rows
    assert page.order.status is OrderStatus.NEW
