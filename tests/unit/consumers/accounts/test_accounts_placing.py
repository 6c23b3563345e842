"""Which orders are accepted, what they lock, and why others are refused."""

from typing import Any

import pytest
from msgspec.structs import replace

from consumers.accounts.rules import LIFE_MAX_MS, OPEN_ORDERS_MAX
from consumers.accounts.state import DAY_MS, FINAL_ORDERS_MAX
from schemas.accounts import (
    CheckOrder,
    CommandRefused,
    EndReason,
    OrderAccepted,
    OrderChecked,
    OrderRejected,
    OrderStatus,
    OrderType,
    PlaceOrder,
    Posting,
    Reason,
    Side,
    TimeInForce,
)
from schemas.money import E8

ALICE = "a" * 32
BUY, SELL = Side.BUY, Side.SELL
Desk = Any  # of conftest, which importlib mode does not let us import
Event = Any


def assert_refused(desk: Desk, event: Event, reason: Reason) -> None:
    """Refused with this reason, and kept as REJECTED in an event that changes nothing."""
    assert isinstance(event, OrderRejected)
    assert (event.order.status, event.order.reason) == (OrderStatus.REJECTED, reason)
    assert (event.order.number, event.order.locked_e8) == (0, 0)
    assert (event.holdings, event.postings) == ((), ())
    assert event.order.order_id not in desk.account().orders


def test_a_limit_buy_locks_its_limit_and_fee(desk: Desk) -> None:
    desk.open_market(maker_fee_ppm=1_000, taker_fee_ppm=2_500)
    desk.deposit("1000")
    event = desk.place(BUY, "2", "100", client_order_id="mine")
    assert isinstance(event, OrderAccepted)
    assert event.order.locked_e8 == 200 * E8 + E8 // 2
    assert event.order.protection_price_e8 == event.order.price_e8 == 100 * E8
    assert (event.order.number, event.order.status) == (1, OrderStatus.NEW)
    assert event.order.client_order_id == "mine"
    assert event.postings == (
        Posting(ALICE, "USD", "free", -event.order.locked_e8),
        Posting(ALICE, "USD", "locked", event.order.locked_e8),
    )
    assert desk.held() == (1000 * E8 - event.order.locked_e8, event.order.locked_e8)


def test_the_lock_takes_the_dearer_of_maker_and_taker_fee(desk: Desk) -> None:
    desk.open_market(maker_fee_ppm=2_500, taker_fee_ppm=1_000)
    desk.deposit("1000")
    assert desk.place(BUY, "2", "100").order.locked_e8 == 200 * E8 + E8 // 2


def test_a_lock_is_rounded_up(desk: Desk) -> None:
    desk.open_market(tick_e8=1, lot_e8=1, taker_fee_ppm=1)
    desk.deposit("1000")
    assert desk.place(BUY, "1.00000001", "100.00000001").order.locked_e8 == (
        100_00000102 + 1_0001  # 100.0000010100000001 and 1e-6 of it
    )


def test_a_market_buy_locks_at_the_collars_edge_and_never_rests(desk: Desk) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "2").order
    assert (order.locked_asset, order.locked_e8) == ("USD", 220 * E8)
    assert (order.price_e8, order.protection_price_e8) == (None, 110 * E8)
    assert order.time_in_force is TimeInForce.IOC


def test_a_sell_locks_the_quantity_it_may_deliver(desk: Desk) -> None:
    desk.fund("10")
    order = desk.place(SELL, "4").order
    assert (order.locked_asset, order.locked_e8) == ("BTC", 4 * E8)
    assert order.protection_price_e8 == 90 * E8
    assert desk.held("BTC") == (6 * E8, 4 * E8)


@pytest.mark.parametrize("time_in_force", [TimeInForce.FOK, TimeInForce.IOC, TimeInForce.DAY])
def test_a_limit_order_keeps_its_time_in_force(desk: Desk, time_in_force: TimeInForce) -> None:
    desk.deposit("1000")
    assert desk.place(BUY, "1", "9", time_in_force=time_in_force).order.time_in_force is (
        time_in_force
    )


@pytest.mark.parametrize(
    ("wanted", "got"),
    [
        (TimeInForce.GTC, TimeInForce.IOC),
        (TimeInForce.DAY, TimeInForce.IOC),
        (TimeInForce.FOK, TimeInForce.FOK),
    ],
)
def test_a_market_order_never_rests(desk: Desk, wanted: TimeInForce, got: TimeInForce) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "1", time_in_force=wanted).order
    assert (order.time_in_force, order.expires_at_ms) == (got, None)


@pytest.mark.parametrize("ms_of_day", [0, 1, DAY_MS - 1])
def test_a_day_order_ends_at_the_next_midnight_utc(desk: Desk, ms_of_day: int) -> None:
    desk.deposit("1000")
    desk.time_ms = 20_000 * DAY_MS + ms_of_day
    desk.quote("100")
    order = desk.place(BUY, "1", "100", time_in_force=TimeInForce.DAY).order
    assert order.expires_at_ms == 20_001 * DAY_MS


@pytest.mark.parametrize("lives_ms", [1, LIFE_MAX_MS])
def test_a_gtd_order_ends_when_it_says(desk: Desk, lives_ms: int) -> None:
    desk.deposit("1000")
    event = desk.place(
        BUY, "1", "100", time_in_force=TimeInForce.GTD, expires_at_ms=desk.time_ms + lives_ms
    )
    assert isinstance(event, OrderAccepted)
    assert event.order.expires_at_ms == desk.time_ms + lives_ms


@pytest.mark.parametrize("lives_ms", [None, 0, -1, LIFE_MAX_MS + 1])
def test_a_gtd_order_must_end_within_a_year_from_now(desk: Desk, lives_ms: int | None) -> None:
    desk.deposit("1000")
    ends_ms = None if lives_ms is None else desk.time_ms + lives_ms
    event = desk.place(BUY, "1", "100", time_in_force=TimeInForce.GTD, expires_at_ms=ends_ms)
    assert_refused(desk, event, Reason.INVALID_EXPIRY)


@pytest.mark.parametrize("price", [None, "100"])
@pytest.mark.parametrize("time_in_force", set(TimeInForce) - {TimeInForce.GTD})
def test_no_other_order_says_when_it_ends(
    desk: Desk, price: str | None, time_in_force: TimeInForce
) -> None:
    desk.deposit("1000")
    ends_ms = desk.time_ms + 1
    event = desk.place(BUY, "1", price, time_in_force=time_in_force, expires_at_ms=ends_ms)
    assert_refused(desk, event, Reason.INVALID_EXPIRY)


@pytest.mark.parametrize(
    ("price", "time_in_force"),
    [(None, TimeInForce.GTC), ("100", TimeInForce.IOC), ("100", TimeInForce.FOK)],
)
def test_what_never_rests_cannot_be_post_only(
    desk: Desk, price: str | None, time_in_force: TimeInForce
) -> None:
    desk.deposit("1000")
    event = desk.place(BUY, "1", price, time_in_force=time_in_force, post_only=True)
    assert_refused(desk, event, Reason.INVALID_TIME_IN_FORCE)


def test_a_limit_order_may_be_post_only(desk: Desk) -> None:
    desk.deposit("1000")
    assert desk.place(BUY, "1", "100", post_only=True).order.post_only


def test_an_order_carries_the_commands_id_deadline_and_derived_id(desk: Desk) -> None:
    desk.deposit("1000")
    event = desk.place(BUY, "1", "100")
    cause = desk.journal[-1][1]
    assert event.deadline_ms == cause.expires_at_ms
    assert (event.order.order_id, event.order.command_id) == (cause.new_id(), cause.command_id)
    assert event.order.created_at_ms == event.order.updated_at_ms == cause.time_ms


def test_accepted_orders_are_numbered_densely_and_refused_ones_are_not(desk: Desk) -> None:
    desk.deposit("100")
    assert desk.place(BUY, "0.1", "100").order.number == 1
    assert desk.place(BUY, "5", "100").order.number == 0
    assert desk.place(BUY, "0.1", "100").order.number == 2


@pytest.mark.parametrize(
    ("quantity", "price", "reason"),
    [
        ("0.00099", "100", Reason.INVALID_QUANTITY),
        ("0", "100", Reason.INVALID_QUANTITY),
        ("-1", "100", Reason.INVALID_QUANTITY),
        ("1", "0", Reason.INVALID_PRICE),
        ("1", "-5", Reason.INVALID_PRICE),
        ("0.001", "1000000.01", Reason.INVALID_PRICE),
        ("1", "100.001", Reason.TICK_SIZE),
        ("1.000001", "100", Reason.LOT_SIZE),
        ("0.001", "100", Reason.MIN_NOTIONAL),
        ("0.001", None, Reason.MIN_NOTIONAL),
        ("0.009", "111.11", Reason.MIN_NOTIONAL),
        ("100.00001", "100", Reason.ORDER_VALUE),
        ("100.00001", "1", Reason.ORDER_VALUE),
        ("100.00001", None, Reason.ORDER_VALUE),
        ("0.1", "100000.01", Reason.ORDER_VALUE),
        ("100000000000000000", "100", Reason.ORDER_VALUE),
        ("50.00001", "100", Reason.INSUFFICIENT_FUNDS),
        ("46", None, Reason.INSUFFICIENT_FUNDS),
    ],
)
def test_a_buy_beyond_a_rule_changes_nothing(
    desk: Desk, quantity: str, price: str | None, reason: Reason
) -> None:
    desk.deposit("5000")
    before = desk.stored()
    assert_refused(desk, desk.place(BUY, quantity, price), reason)
    assert desk.stored() == before


@pytest.mark.parametrize(
    ("quantity", "price"),
    [("0.001", "1000"), ("0.01", "100"), ("100", "1"), ("50", "100"), ("0.01", None)],
)
def test_a_buy_at_the_edge_of_every_rule_is_accepted(
    desk: Desk, quantity: str, price: str | None
) -> None:
    desk.deposit("5000")
    assert isinstance(desk.place(BUY, quantity, price), OrderAccepted)


def test_a_limit_order_without_a_price_is_refused(desk: Desk) -> None:
    desk.deposit("100")
    event = desk.place(BUY, "1", order_type=OrderType.LIMIT)
    assert_refused(desk, event, Reason.INVALID_PRICE)


def test_the_lying_price_of_a_market_order_counts_for_nothing(desk: Desk) -> None:
    desk.deposit("10000")
    event = desk.place(BUY, "101", "0.01", order_type=OrderType.MARKET)
    assert_refused(desk, event, Reason.ORDER_VALUE)
    event = desk.place(BUY, "1", "0.01", order_type=OrderType.MARKET)
    assert (event.order.price_e8, event.order.locked_e8) == (None, 110 * E8)


def test_nothing_is_sold_that_is_not_owned_and_free(desk: Desk) -> None:
    assert_refused(desk, desk.place(SELL, "1", "100"), Reason.INSUFFICIENT_HOLDINGS)
    desk.fund("10")
    desk.place(SELL, "6", "100")
    assert_refused(desk, desk.place(SELL, "4.00001", "100"), Reason.INSUFFICIENT_HOLDINGS)
    assert isinstance(desk.place(SELL, "4", "100"), OrderAccepted)


def test_what_is_locked_is_not_spent_again(desk: Desk) -> None:
    desk.deposit("100")
    desk.place(BUY, "0.6", "100")
    assert_refused(desk, desk.place(BUY, "0.41", "100"), Reason.INSUFFICIENT_FUNDS)


def test_an_asset_without_terms_is_unknown(desk: Desk) -> None:
    assert_refused(desk, desk.place(BUY, "1", "100", asset="ETH"), Reason.UNKNOWN_ASSET)


def test_a_halted_market_takes_no_orders(desk: Desk) -> None:
    desk.deposit("1000")
    desk.open_market(is_open=False)
    assert_refused(desk, desk.place(BUY, "1", "100"), Reason.MARKET_HALTED)
    desk.open_market()
    assert isinstance(desk.place(BUY, "1", "100"), OrderAccepted)


@pytest.mark.parametrize("price", [None, "100"])
def test_no_order_is_taken_on_a_stale_price(desk: Desk, price: str | None) -> None:
    desk.deposit("1000")
    desk.time_ms += 5_000
    assert isinstance(desk.place(BUY, "1", price), OrderAccepted)
    desk.time_ms += 1
    assert_refused(desk, desk.place(BUY, "1", price), Reason.NO_PRICE)
    desk.quote("100")
    assert isinstance(desk.place(BUY, "1", price), OrderAccepted)


def test_no_order_is_taken_before_the_first_price(desk_type: type[Desk]) -> None:
    desk = desk_type()
    desk.open_market()
    desk.state.markets["BTC-USD"].collar = None
    assert_refused(desk, desk.place(BUY, "1", "100"), Reason.NO_PRICE)


def test_at_most_500_orders_are_open(desk_type: type[Desk]) -> None:
    desk = desk_type()
    desk.open_market()
    desk.deposit("1000")
    placed = [desk.place(BUY, "0.01", "100").order for _ in range(OPEN_ORDERS_MAX)]
    assert_refused(desk, desk.place(BUY, "0.01", "100"), Reason.OPEN_ORDERS)
    desk.end(placed[7], EndReason.CANCELED)
    assert isinstance(desk.place(BUY, "0.01", "100"), OrderAccepted)


def test_a_client_order_id_is_taken_while_its_order_is_remembered(desk: Desk) -> None:
    desk.deposit("1000")
    first = desk.place(BUY, "0.01", "100", client_order_id="mine").order
    again = desk.place(BUY, "0.01", "100", client_order_id="mine")
    assert_refused(desk, again, Reason.DUPLICATE_CLIENT_ORDER_ID)
    desk.end(first, EndReason.CANCELED)
    again = desk.place(BUY, "0.01", "100", client_order_id="mine")
    assert_refused(desk, again, Reason.DUPLICATE_CLIENT_ORDER_ID)
    for _ in range(FINAL_ORDERS_MAX):
        desk.end(desk.place(BUY, "0.01", "100").order, EndReason.CANCELED)
    assert isinstance(desk.place(BUY, "0.01", "100", client_order_id="mine"), OrderAccepted)


def test_a_refused_order_does_not_take_its_client_order_id(desk: Desk) -> None:
    desk.deposit("10")
    desk.place(BUY, "1", "100", client_order_id="mine")
    assert isinstance(desk.place(BUY, "0.1", "100", client_order_id="mine"), OrderAccepted)


def wanted(**changes: Any) -> PlaceOrder:
    """A limit buy of 2 BTC at $100, unless told otherwise."""
    order = PlaceOrder(
        account_id=ALICE,
        asset="BTC",
        side=BUY,
        order_type=OrderType.LIMIT,
        quantity_e8=2 * E8,
        price_e8=100 * E8,
    )
    return replace(order, **changes)


CHECKED = [
    {},
    {"post_only": True},
    {"order_type": OrderType.MARKET, "price_e8": None},
    {"side": SELL},
    {"side": SELL, "order_type": OrderType.MARKET, "price_e8": None},
    {"quantity_e8": 90 * E8},
    {"quantity_e8": 11 * E8},
    {"side": SELL, "quantity_e8": 11 * E8, "price_e8": 10 * E8},
    {"price_e8": 100 * E8 + 1},
    {"quantity_e8": 1},
    {"asset": "DOGE"},
    {"time_in_force": TimeInForce.GTD},
    {"time_in_force": TimeInForce.IOC, "post_only": True},
    {"client_order_id": "mine"},
]


@pytest.mark.parametrize("changes", CHECKED, ids=str)
def test_a_check_says_what_placing_would_do_and_does_nothing(
    desk: Desk, changes: dict[str, Any]
) -> None:
    desk.fund("10")
    desk.open_market(maker_fee_ppm=1_000, taker_fee_ppm=2_500)
    desk.place(BUY, "1", "90", client_order_id="mine")
    before = desk.stored()
    checked = desk.tell(CheckOrder(order=wanted(**changes)))
    assert desk.stored() == before
    assert not desk.context.outbox(checked, desk.cause())
    assert desk.context.answers(checked, desk.cause())
    placed = desk.tell(wanted(**changes))
    if isinstance(placed, OrderRejected):
        assert checked == CommandRefused(
            account_id=ALICE, command="check-order", reason=placed.order.reason
        )
        return
    assert isinstance(checked, OrderChecked)
    order = placed.order
    assert (checked.symbol, checked.protection_price_e8, checked.locked_asset) == (
        order.symbol,
        order.protection_price_e8,
        order.locked_asset,
    )
    assert checked.locked_e8 == order.locked_e8


def test_a_check_estimates_the_fee_of_a_maker_only_for_who_never_takes(desk: Desk) -> None:
    desk.fund("10")
    desk.open_market(maker_fee_ppm=1_000, taker_fee_ppm=2_500)
    assert desk.tell(CheckOrder(order=wanted())).fee_e8 == E8 // 2
    assert desk.tell(CheckOrder(order=wanted(post_only=True))).fee_e8 == E8 // 5
    assert desk.tell(CheckOrder(order=wanted(side=SELL))).fee_e8 == E8 // 2


def test_both_outcomes_of_a_check_are_among_the_cases(desk: Desk) -> None:
    desk.fund("10")
    told = {type(desk.tell(CheckOrder(order=wanted(**each)))) for each in CHECKED}
    assert told == {OrderChecked, CommandRefused}
