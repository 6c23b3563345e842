"""Executions, the end of orders, cancels and the house."""

from typing import Any

import pytest

from runtime.errors import Halted
from schemas.accounts import (
    CancelRequested,
    EndReason,
    Execution,
    HouseTraded,
    Liquidity,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderStatus,
    OrderTraded,
    Posting,
    Reason,
    RefuseCancel,
    Side,
)
from schemas.money import E8

ALICE, BOB, HOUSE = "a" * 32, "b" * 32, "house:BTC-USD"
BUY, SELL = Side.BUY, Side.SELL
Desk = Any  # of conftest, which importlib mode does not let us import


def test_a_buyer_pays_notional_and_fee_from_the_lock_and_receives_the_asset(desk: Desk) -> None:
    desk.open_market(taker_fee_ppm=10_000)
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    event = desk.execute(order, "1.5", "90")
    assert isinstance(event, OrderTraded)
    assert event.postings == (
        Posting(ALICE, "USD", "locked", -13635 * E8 // 100),
        Posting("clearing:BTC-USD", "USD", "free", 135 * E8),
        Posting("clearing:BTC-USD", "BTC", "free", -15 * E8 // 10),
        Posting(ALICE, "BTC", "free", 15 * E8 // 10),
        Posting("fees", "USD", "free", 135 * E8 // 100),
    )
    assert event.execution == Execution(
        trade_id=event.execution.trade_id,
        price_e8=90 * E8,
        quantity_e8=15 * E8 // 10,
        notional_e8=135 * E8,
        fee_e8=135 * E8 // 100,
        liquidity=Liquidity.TAKER,
    )
    assert event.order.status is OrderStatus.PARTIALLY_FILLED
    assert event.order.locked_e8 == 202 * E8 - 13635 * E8 // 100
    assert desk.held("BTC") == (15 * E8 // 10, 0)


def test_a_seller_delivers_from_the_lock_and_receives_notional_less_fee(desk: Desk) -> None:
    desk.fund("10")
    desk.open_market(taker_fee_ppm=10_000)
    order = desk.place(SELL, "4", "100").order
    event = desk.execute(order, "4", "100")
    assert event.postings == (
        Posting(ALICE, "BTC", "locked", -4 * E8),
        Posting("clearing:BTC-USD", "BTC", "free", 4 * E8),
        Posting("clearing:BTC-USD", "USD", "free", -400 * E8),
        Posting(ALICE, "USD", "free", 396 * E8),
        Posting("fees", "USD", "free", 4 * E8),
    )
    assert (event.order.status, event.order.locked_e8) == (OrderStatus.FILLED, 0)
    assert (desk.held(), desk.held("BTC")) == ((1396 * E8, 0), (6 * E8, 0))


def test_many_small_fills_cost_no_more_fee_than_one_big_one(desk: Desk) -> None:
    desk.open_market(taker_fee_ppm=3, tick_e8=1, min_notional_e8=0)
    desk.deposit("100")
    order = desk.place(BUY, "0.01", "100").order
    fees_e8 = [desk.execute(order, "0.001", "99.99999999").execution.fee_e8 for _ in range(10)]
    assert sum(fees_e8) == desk.account().orders[order.order_id].fee_e8 == 300
    assert desk.end(order, EndReason.FILLED).order.locked_e8 == 0


def test_maker_and_taker_fills_of_one_order_each_pay_their_rate(desk: Desk) -> None:
    desk.open_market(maker_fee_ppm=1_000, taker_fee_ppm=2_000)
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    assert desk.execute(order, "1", "100").execution.fee_e8 == E8 // 5
    event = desk.execute(order, "1", "100", liquidity=Liquidity.MAKER)
    assert event.execution.fee_e8 == E8 // 10
    assert event.order.taker_notional_e8 == 100 * E8


def test_an_order_keeps_the_fee_rates_of_its_acceptance(desk: Desk) -> None:
    desk.open_market(taker_fee_ppm=1_000)
    desk.deposit("1000")
    order = desk.place(BUY, "1", "100").order
    desk.open_market(taker_fee_ppm=900_000)
    assert desk.execute(order, "1", "100").execution.fee_e8 == E8 // 10


def test_cost_is_averaged_and_a_sale_realises_the_difference(desk: Desk) -> None:
    desk.open_market(taker_fee_ppm=10_000)
    desk.deposit("1000")
    for price in ("100", "200"):
        desk.quote(price)
        order = desk.place(BUY, "1", price).order
        desk.execute(order, "1", price)
        desk.end(order, EndReason.FILLED)
    assert desk.account().holdings["BTC"].cost_e8 == 303 * E8
    order = desk.place(SELL, "2", "200").order
    desk.execute(order, "0.5", "200")
    held = desk.account().holdings["BTC"]
    assert held.cost_e8 == 303 * E8 * 3 // 4
    assert held.realized_e8 == 99 * E8 - 303 * E8 // 4
    desk.execute(order, "1.5", "200")
    held = desk.account().holdings["BTC"]
    assert (held.free_e8, held.locked_e8, held.cost_e8) == (0, 0, 0)
    assert held.realized_e8 == 396 * E8 - 303 * E8


def test_a_holding_keeps_the_time_of_its_first_moment(desk: Desk) -> None:
    first_ms = desk.time_ms
    desk.fund("1")
    desk.time_ms += 60_000
    desk.deposit("1")
    assert {each.created_at_ms for each in desk.account().holdings.values()} == {first_ms}


@pytest.mark.parametrize(
    ("end", "event_type", "status", "traded"),
    [
        (EndReason.FILLED, OrderFilled, OrderStatus.FILLED, "2"),
        (EndReason.CANCELED, OrderCanceled, OrderStatus.CANCELED, "1"),
        (EndReason.EXPIRED, OrderExpired, OrderStatus.EXPIRED, "1"),
        (EndReason.REJECTED, OrderRejected, OrderStatus.REJECTED, None),
    ],
)
def test_the_end_of_an_order_releases_the_rest_of_its_lock(
    desk: Desk,
    end: EndReason,
    event_type: type,
    status: OrderStatus,
    traded: str | None,
) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    if traded:
        desk.execute(order, traded, "90")
    rest_e8 = desk.account().orders[order.order_id].locked_e8
    event = desk.end(order, end, reason=Reason.DEADLINE)
    assert type(event) is event_type
    assert (event.order.status, event.order.reason) == (status, Reason.DEADLINE)
    assert event.order.locked_e8 == 0
    assert event.postings == (
        Posting(ALICE, "USD", "locked", -rest_e8),
        Posting(ALICE, "USD", "free", rest_e8),
    )
    assert desk.held()[1] == 0
    assert not desk.account().orders


def test_an_order_that_used_its_whole_lock_has_nothing_to_release(desk: Desk) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    desk.execute(order, "2", "100")
    event = desk.end(order, EndReason.FILLED)
    assert (event.holdings, event.postings) == ((), ())


def test_an_order_ends_only_once(desk: Desk) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    desk.end(order, EndReason.CANCELED)
    with pytest.raises(Halted):
        desk.end(order, EndReason.CANCELED)


@pytest.mark.parametrize(
    "changes",
    [
        {"cum_quantity_e8": E8 - 1},
        {"cum_quantity_e8": 0},
        {"order_id": "0" * 32},
        {"account_id": BOB},
        {"symbol": "ETH-USD"},
        {"end": EndReason.FILLED},
    ],
    ids=str,
)
def test_an_end_that_contradicts_the_order_halts_the_partition(
    desk: Desk, changes: dict[str, Any]
) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    desk.execute(order, "1", "100")
    with pytest.raises(Halted):
        desk.end(order, **({"end": EndReason.CANCELED} | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"order_id": "0" * 32},
        {"account_id": BOB},
        {"symbol": "ETH-USD"},
        {"asset": "ETH"},
        {"side": SELL},
        {"cum_quantity_e8": 2 * E8},
        {"quantity_e8": 0, "cum_quantity_e8": 0},
        {"quantity_e8": 3 * E8, "cum_quantity_e8": 3 * E8},
        {"notional_e8": -1},
        {"notional_e8": 200 * E8 + 1},
        {"order_id": None},
    ],
    ids=str,
)
def test_an_execution_that_contradicts_its_order_halts_the_partition(
    desk: Desk, changes: dict[str, Any]
) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    before = desk.stored()
    with pytest.raises(Halted):
        desk.execute(order, "1", "100", **changes)
    assert desk.stored() == before


def test_an_execution_cannot_be_applied_twice(desk: Desk) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    desk.execute(order, "1", "100", cum_quantity_e8=E8)
    with pytest.raises(Halted):
        desk.execute(order, "1", "100", cum_quantity_e8=E8)


def test_terms_that_no_order_can_keep_halt_the_partition(desk: Desk) -> None:
    for broken in ({"tick_e8": 0}, {"lot_e8": 0}, {"maker_fee_ppm": -1}, {"taker_fee_ppm": 10**7}):
        with pytest.raises(Halted):
            desk.open_market(**broken)


def test_both_legs_of_a_trade_bring_clearing_to_zero(desk: Desk) -> None:
    desk.open_market(maker_fee_ppm=1_000, taker_fee_ppm=2_000)
    desk.fund("3")
    desk.deposit("1000", BOB)
    sell = desk.place(SELL, "3", "100").order
    buy = desk.place(BUY, "3", "100", account_id=BOB).order
    clearing = {each: v for each, v in desk.ledger.items() if each[0] == "clearing:BTC-USD"}
    desk.execute(sell, "3", "100", liquidity=Liquidity.MAKER)
    desk.execute(buy, "3", "100", account_id=BOB)
    after = {each: v for each, v in desk.ledger.items() if each[0] == "clearing:BTC-USD"}
    assert after == clearing


def test_the_house_may_go_below_zero_and_clears_the_other_leg(desk: Desk) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    desk.execute(order, "2", "100")
    event = desk.house(SELL, "2", "100")
    assert isinstance(event, HouseTraded)
    assert desk.held("BTC", HOUSE) == (-2 * E8, 0)
    assert desk.held("USD", HOUSE) == (200 * E8, 0)
    assert desk.ledger["clearing:BTC-USD", "USD", "free"] == 0
    assert desk.ledger["clearing:BTC-USD", "BTC", "free"] == 0
    desk.house(BUY, "3", "100")
    assert desk.held("BTC", HOUSE) == (E8, 0)
    assert desk.held("USD", HOUSE) == (-100 * E8, 0)


def test_a_cancel_is_forwarded_as_often_as_it_is_asked_for(desk: Desk) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    before = desk.held()
    for _ in range(2):
        desk.time_ms += 1
        event = desk.cancel(order.order_id)
        assert isinstance(event, CancelRequested)
        assert (event.order.order_id, event.order.updated_at_ms) == (order.order_id, desk.time_ms)
    assert desk.held() == before


def test_a_cancel_of_an_order_that_never_was_is_unknown(desk: Desk) -> None:
    event = desk.cancel("0" * 32)
    assert (event.command, event.reason) == ("cancel-order", Reason.UNKNOWN_ORDER)
    assert event.order_id == "0" * 32


def test_nobody_cancels_the_order_of_another(desk: Desk) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2", "100").order
    assert desk.cancel(order.order_id, BOB).reason is Reason.UNKNOWN_ORDER


def test_a_cancel_of_a_finished_order_is_final_as_long_as_it_is_remembered(desk: Desk) -> None:
    desk.deposit("1000")
    first = desk.place(BUY, "0.01", "100").order
    desk.end(first, EndReason.EXPIRED)
    assert desk.cancel(first.order_id).reason is Reason.ORDER_FINAL
    for _ in range(100):
        desk.end(desk.place(BUY, "0.01", "100").order, EndReason.CANCELED)
    assert desk.cancel(first.order_id).reason is Reason.UNKNOWN_ORDER


def test_a_markets_refusal_of_a_cancel_reaches_the_client_whatever_became_of_the_order(
    desk: Desk,
) -> None:
    fact = RefuseCancel(account_id=ALICE, order_id="0" * 32, reason=Reason.ORDER_FINAL)
    event = desk.tell(fact)
    assert (event.command, event.reason) == ("cancel-order", Reason.ORDER_FINAL)


def test_money_movements_are_numbered_densely(desk: Desk) -> None:
    desk.open_market(taker_fee_ppm=1_000)
    assert desk.deposit("1000").transactions == 1
    order = desk.place(BUY, "2", "100").order
    assert desk.execute(order, "1", "100").transactions == 3
    assert desk.withdraw("1").transactions == 4
    desk.open_market()
    order = desk.place(BUY, "1", "100").order
    assert desk.execute(order, "1", "100").transactions == 5
