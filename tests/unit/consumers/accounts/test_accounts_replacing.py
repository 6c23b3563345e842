"""Replace: what is locked meanwhile, what the market's answer does, what is refused."""

from typing import Any

import pytest

from runtime.errors import Halted
from schemas.accounts import (
    CommandRefused,
    EndReason,
    OrderCanceled,
    OrderReplaced,
    OrderStatus,
    Reason,
    RefuseReplace,
    ReplaceRefused,
    ReplaceRequested,
    Side,
)
from schemas.markets import ReplaceRestingOrder
from schemas.money import E8
from schemas.topics import MARKETS_COMMANDS

ALICE, BOB = "a" * 32, "b" * 32
BUY, SELL = Side.BUY, Side.SELL
Desk = Any  # of conftest, which importlib mode does not let us import


@pytest.mark.parametrize(
    ("quantity", "price", "meanwhile", "after"),
    [
        ("3", None, 300, 300),
        ("1", None, 200, 100),
        (None, "110", 220, 220),
        (None, "90", 200, 180),
        ("3", "50", 250, 150),
        ("1", "150", 200, 150),
    ],
)
def test_a_buy_locks_for_both_until_the_market_has_answered(
    desk: Desk, quantity: str | None, price: str | None, meanwhile: int, after: int
) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    event = desk.replace(order.order_id, quantity, price)
    assert isinstance(event, ReplaceRequested)
    assert (event.order.quantity_e8, event.order.price_e8) == (order.quantity_e8, order.price_e8)
    assert desk.held() == ((1000 - meanwhile) * E8, meanwhile * E8)
    event = desk.replaced(order)
    assert isinstance(event, OrderReplaced)
    assert event.order.replacing is None
    assert desk.held() == ((1000 - after) * E8, after * E8)


@pytest.mark.parametrize(("quantity", "meanwhile", "after"), [("3", 3, 3), ("1", 2, 1)])
def test_a_sell_locks_the_larger_quantity(
    desk: Desk, quantity: str, meanwhile: int, after: int
) -> None:
    desk.fund("10")
    order = desk.place(SELL, "2", "100").order
    desk.replace(order.order_id, quantity)
    assert desk.held("BTC")[1] == meanwhile * E8
    desk.replaced(order)
    assert desk.held("BTC") == ((10 - after) * E8, after * E8)


def test_a_larger_order_at_a_lower_price_is_covered_whatever_trades_first(desk: Desk) -> None:
    desk.open_market(taker_fee_ppm=10_000)
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    desk.replace(order.order_id, "5", "50")
    desk.execute(order, "1.9", "100")
    after = desk.replaced(order).order
    assert (after.quantity_e8, after.price_e8, after.status) == (
        5 * E8,
        50 * E8,
        OrderStatus.PARTIALLY_FILLED,
    )
    desk.execute(after, "3.1", "50")
    desk.end(after, EndReason.FILLED)


def test_a_replace_goes_to_the_market_and_its_result_answers(desk: Desk) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    desk.replace(order.order_id, "3")
    assert not desk.context.answers(*desk.journal[-1])
    (outgoing,) = desk.context.outbox(*desk.journal[-1])
    assert (outgoing.topic, outgoing.key, outgoing.carries_reply) == (
        MARKETS_COMMANDS,
        "BTC-USD",
        True,
    )
    assert outgoing.message == ReplaceRestingOrder(
        symbol="BTC-USD",
        account_id=ALICE,
        order_id=order.order_id,
        quantity_e8=3 * E8,
        price_e8=100 * E8,
    )
    desk.replaced(order)
    assert desk.context.answers(*desk.journal[-1])
    assert desk.context.outbox(*desk.journal[-1]) == ()


def test_a_markets_refusal_brings_everything_back(desk: Desk) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    desk.replace(order.order_id, "3")
    fact = RefuseReplace(account_id=ALICE, order_id=order.order_id, reason=Reason.MARKET_HALTED)
    event = desk.tell(fact)
    assert isinstance(event, ReplaceRefused)
    assert (event.reason, event.order.replacing) == (Reason.MARKET_HALTED, None)
    assert desk.context.answers(*desk.journal[-1])
    assert desk.held() == (800 * E8, 200 * E8)
    assert isinstance(desk.replace(order.order_id, "3"), ReplaceRequested)


def test_an_order_that_ends_meanwhile_releases_everything_and_the_refusal_answers(
    desk: Desk,
) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    desk.replace(order.order_id, "3")
    ended = desk.end(order, EndReason.CANCELED)
    assert isinstance(ended, OrderCanceled)
    assert (ended.order.replacing, desk.held()) == (None, (1000 * E8, 0))
    fact = RefuseReplace(account_id=ALICE, order_id=order.order_id, reason=Reason.ORDER_FINAL)
    event = desk.tell(fact)
    assert isinstance(event, CommandRefused)
    assert (event.command, event.reason) == ("replace-order", Reason.ORDER_FINAL)


def test_one_change_is_pending_at_a_time_and_cancel_is_always_allowed(desk: Desk) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    desk.replace(order.order_id, "3")
    assert desk.replace(order.order_id, "1").reason is Reason.REPLACE_PENDING
    assert desk.cancel(order.order_id).order.order_id == order.order_id
    desk.replaced(order)
    assert isinstance(desk.replace(order.order_id, "1"), ReplaceRequested)


@pytest.mark.parametrize(
    ("quantity", "price", "reason"),
    [
        ("0", None, Reason.INVALID_QUANTITY),
        ("2.000001", None, Reason.LOT_SIZE),
        (None, "100.001", Reason.TICK_SIZE),
        (None, "0", Reason.INVALID_PRICE),
        ("1", None, Reason.QUANTITY_FILLED),
        ("101", None, Reason.ORDER_VALUE),
        (None, "0.1", Reason.MIN_NOTIONAL),
        ("11", None, Reason.INSUFFICIENT_FUNDS),
    ],
)
def test_a_replace_beyond_a_rule_changes_nothing(
    desk: Desk, quantity: str | None, price: str | None, reason: Reason
) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    desk.execute(order, "1", "100")
    before = desk.stored()
    event = desk.replace(order.order_id, quantity, price)
    assert isinstance(event, CommandRefused)
    assert (event.command, event.reason, event.order_id) == (
        "replace-order",
        reason,
        order.order_id,
    )
    assert desk.stored() == before


def test_a_sell_cannot_grow_beyond_what_is_owned(desk: Desk) -> None:
    desk.fund("2")
    order = desk.place(SELL, "2", "100").order
    assert desk.replace(order.order_id, "2.1").reason is Reason.INSUFFICIENT_HOLDINGS


def test_nobody_replaces_what_is_not_open_or_anothers(desk: Desk) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    assert desk.replace("0" * 32, "1").reason is Reason.UNKNOWN_ORDER
    assert desk.replace(order.order_id, "1", account_id=BOB).reason is Reason.UNKNOWN_ORDER
    desk.end(order, EndReason.CANCELED)
    assert desk.replace(order.order_id, "1").reason is Reason.ORDER_FINAL


@pytest.mark.parametrize(
    "changes",
    [
        {"quantity_e8": 4 * E8},
        {"price_e8": 99 * E8},
        {"cum_quantity_e8": 1},
        {"symbol": "ETH-USD"},
        {"order_id": "0" * 32},
    ],
    ids=str,
)
def test_a_result_that_was_not_asked_for_halts_the_partition(
    desk: Desk, changes: dict[str, Any]
) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    desk.replace(order.order_id, "3")
    with pytest.raises(Halted):
        desk.replaced(order, **changes)


def test_a_replace_is_stored_and_comes_back(desk: Desk) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    desk.replace(order.order_id, "3")
    assert desk.state == desk.restored() == desk.replayed()
