"""What a stop order locks, why one is refused, and who is answered when."""

from typing import Any

import pytest

from consumers.accounts import rules
from schemas.accounts import (
    EndReason,
    OrderAccepted,
    OrderFilled,
    OrderRejected,
    OrderStatus,
    Reason,
    RefuseReplace,
    Side,
    TimeInForce,
)
from schemas.markets import SubmitOrder
from schemas.money import E8, parse_e8

BUY, SELL = Side.BUY, Side.SELL
DAY_MS = 86_400_000
Desk = Any  # of conftest, which importlib mode does not let us import
Event = Any


def stop(desk: Desk, side: Side, at: str, price: str | None = None, **more: Any) -> Event:
    """A stop of one BTC; the last price is 100 and the band 10 %."""
    quantity = more.pop("quantity", "1")
    return desk.place(side, quantity, price, stop_price_e8=parse_e8(at), **more)


def assert_refused(event: Event, reason: Reason) -> None:
    assert isinstance(event, OrderRejected)
    assert event.order.reason is reason


@pytest.mark.parametrize(
    ("at", "worst"), [("120", "132"), ("100", "110"), ("80", "110"), ("100.01", "110.011")]
)
def test_a_stop_buy_at_market_locks_at_the_band_around_the_higher_of_stop_and_last_price(
    desk: Desk, at: str, worst: str
) -> None:
    desk.deposit("1000")
    order = stop(desk, BUY, at).order
    assert order.protection_price_e8 == order.locked_e8 == parse_e8(worst)
    assert order.price_e8 is None


def test_the_worst_price_of_a_stop_buy_is_rounded_up(desk: Desk) -> None:
    desk.open_market(last="0.00000003", tick_e8=1, min_notional_e8=0)
    desk.deposit("1000")
    order = stop(desk, BUY, "0.00000005", quantity="100").order
    assert order.protection_price_e8 == 5  # 3 * 1.1 is 3 in whole units, so the band is 3 to 3
    desk.quote("0.00000030")
    order = stop(desk, BUY, "0.00000041", quantity="100").order
    assert order.protection_price_e8 == 46  # 41 * 33 / 30 = 45.1


def test_a_stop_buy_at_market_locks_the_fee_on_its_worst_price(desk: Desk) -> None:
    desk.open_market(taker_fee_ppm=2_500)
    desk.deposit("1000")
    assert stop(desk, BUY, "120").order.locked_e8 == parse_e8("132.33")


def test_a_stop_buy_that_trades_at_its_worst_price_has_enough_locked(desk: Desk) -> None:
    desk.open_market(taker_fee_ppm=2_500)
    desk.deposit("1000")
    order = stop(desk, BUY, "120", quantity="0.333").order
    desk.execute(order, "0.111", "132")
    desk.execute(order, "0.222", "132")
    assert isinstance(desk.end(order, EndReason.FILLED), OrderFilled)


@pytest.mark.parametrize("at", ["90", "110"])
def test_a_stop_limit_buy_locks_at_its_limit(desk: Desk, at: str) -> None:
    desk.deposit("1000")
    order = stop(desk, BUY, at, "105").order
    assert order.protection_price_e8 == order.locked_e8 == 105 * E8


@pytest.mark.parametrize(
    ("at", "price", "worst"), [("80", None, "72"), ("120", None, "90"), ("80", "79", "79")]
)
def test_a_stop_sell_locks_its_quantity(desk: Desk, at: str, price: str | None, worst: str) -> None:
    desk.fund("10")
    order = stop(desk, SELL, at, price).order
    assert (order.locked_asset, order.locked_e8) == ("BTC", E8)
    assert order.protection_price_e8 == parse_e8(worst)


@pytest.mark.parametrize("price", [None, "105"])
@pytest.mark.parametrize("time_in_force", [TimeInForce.GTC, TimeInForce.IOC])
def test_a_stop_is_answered_when_it_is_accepted_and_never_again(
    desk: Desk, price: str | None, time_in_force: TimeInForce
) -> None:
    desk.deposit("1000")
    event = stop(desk, BUY, "110", price, time_in_force=time_in_force)
    _, cause = desk.journal[-1]
    assert isinstance(event, OrderAccepted)
    assert (event.order.status, event.order.stop_price_e8) == (OrderStatus.NEW, 110 * E8)
    assert event.order.time_in_force is time_in_force
    assert desk.context.answers(event, cause)
    (sent,) = desk.context.outbox(event, cause)
    assert isinstance(sent.message, SubmitOrder)
    assert sent.message.stop_price_e8 == 110 * E8
    assert sent.message.protection_price_e8 == event.order.protection_price_e8
    assert not sent.carries_reply


@pytest.mark.parametrize("price", [None, "105"])
def test_a_stop_waits_as_long_as_its_time_in_force_says(desk: Desk, price: str | None) -> None:
    desk.deposit("1000")
    day = stop(desk, BUY, "110", price, time_in_force=TimeInForce.DAY).order
    assert day.expires_at_ms == (desk.time_ms // DAY_MS + 1) * DAY_MS
    until_ms = desk.time_ms + 1_000
    dated = stop(
        desk, BUY, "110", price, time_in_force=TimeInForce.GTD, expires_at_ms=until_ms
    ).order
    assert dated.expires_at_ms == until_ms


@pytest.mark.parametrize("price", [None, "105"])
def test_a_stop_is_neither_post_only_nor_fill_or_kill(desk: Desk, price: str | None) -> None:
    desk.deposit("1000")
    post_only = stop(desk, BUY, "110", price, post_only=True)
    assert_refused(post_only, Reason.INVALID_TIME_IN_FORCE)
    fok = stop(desk, BUY, "110", price, time_in_force=TimeInForce.FOK)
    assert_refused(fok, Reason.INVALID_TIME_IN_FORCE)


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        ("0", Reason.INVALID_PRICE),
        ("-1", Reason.INVALID_PRICE),
        ("1000000.01", Reason.INVALID_PRICE),
        ("110.001", Reason.TICK_SIZE),
    ],
)
@pytest.mark.parametrize("price", [None, "105"])
def test_a_stop_price_keeps_the_rules_of_a_limit(
    desk: Desk, price: str | None, at: str, reason: Reason
) -> None:
    desk.deposit("1000")
    assert_refused(stop(desk, BUY, at, price), reason)


def test_a_stop_at_market_is_worth_what_it_comes_to_at_its_stop_price(desk: Desk) -> None:
    desk.deposit("9000")
    most = f"{rules.ORDER_VALUE_MAX_E8 // E8 // 1_000}"
    assert_refused(stop(desk, BUY, "1000.01", quantity=most), Reason.ORDER_VALUE)
    assert_refused(stop(desk, BUY, "1000", quantity=most), Reason.INSUFFICIENT_FUNDS)
    assert_refused(stop(desk, SELL, "0.99"), Reason.MIN_NOTIONAL)
    assert_refused(stop(desk, SELL, "1"), Reason.INSUFFICIENT_HOLDINGS)
    assert isinstance(stop(desk, BUY, "0.01"), OrderAccepted)


def test_a_waiting_stop_counts_among_the_open_orders(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "OPEN_ORDERS_MAX", 1)
    desk.deposit("1000")
    stop(desk, BUY, "110")
    assert_refused(stop(desk, BUY, "110"), Reason.OPEN_ORDERS)


def test_a_waiting_market_stop_grows_and_its_lock_with_it(desk: Desk) -> None:
    desk.deposit("1000")
    order = stop(desk, BUY, "120").order
    asked = desk.replace(order.order_id, "2")
    assert asked.order.locked_e8 == 264 * E8
    replaced = desk.replaced(order)
    assert (replaced.order.quantity_e8, replaced.order.locked_e8) == (2 * E8, 264 * E8)
    assert replaced.order.stop_price_e8 == 120 * E8
    too_much = desk.replace(order.order_id, "90")
    assert too_much.reason is Reason.ORDER_VALUE


def test_a_stop_at_market_locks_for_its_new_stop_price_and_gives_back(desk: Desk) -> None:
    desk.deposit("1000")
    order = stop(desk, BUY, "120").order
    asked = desk.replace(order.order_id, stop_price="150")
    assert (asked.order.stop_price_e8, asked.order.locked_e8) == (120 * E8, 165 * E8)
    assert asked.order.replacing.protection_price_e8 == 165 * E8
    higher = desk.replaced(order).order
    assert (higher.stop_price_e8, higher.protection_price_e8) == (150 * E8, 165 * E8)
    lower = desk.replace(order.order_id, stop_price="110").order
    assert lower.locked_e8 == 165 * E8
    lower = desk.replaced(order).order
    assert (lower.stop_price_e8, lower.locked_e8) == (110 * E8, 121 * E8)
    assert desk.held() == (879 * E8, 121 * E8)


def test_a_stop_limit_keeps_its_lock_with_another_stop_price(desk: Desk) -> None:
    desk.deposit("1000")
    order = stop(desk, BUY, "120", "125").order
    desk.replace(order.order_id, stop_price="122")
    changed = desk.replaced(order).order
    assert (changed.stop_price_e8, changed.price_e8, changed.locked_e8) == (
        122 * E8,
        125 * E8,
        125 * E8,
    )
    assert changed.protection_price_e8 == 125 * E8


def test_a_stop_price_that_came_too_late_gives_its_lock_back(desk: Desk) -> None:
    desk.deposit("1000")
    order = stop(desk, BUY, "120").order
    desk.replace(order.order_id, stop_price="150")
    reason = Reason.STOP_TRIGGERED
    event = desk.tell(RefuseReplace(account_id="a" * 32, order_id=order.order_id, reason=reason))
    assert (event.order.stop_price_e8, event.order.locked_e8) == (120 * E8, 132 * E8)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"stop_price": "120.001"}, Reason.TICK_SIZE),
        ({"stop_price": "0"}, Reason.INVALID_PRICE),
        ({"stop_price": "9000"}, Reason.INSUFFICIENT_FUNDS),
        ({"stop_price": "11000"}, Reason.ORDER_VALUE),
        ({"stop_price": "120", "price": "120"}, Reason.INVALID_PRICE),
    ],
)
def test_a_stop_price_that_cannot_be_is_refused(
    desk: Desk, changes: dict[str, str], reason: Reason
) -> None:
    desk.deposit("1000")
    order = stop(desk, BUY, "120").order
    assert desk.replace(order.order_id, **changes).reason is reason


def test_only_a_stop_gets_another_stop_price(desk: Desk) -> None:
    desk.deposit("1000")
    order = desk.place(BUY, "1", "100").order
    assert desk.replace(order.order_id, "2", stop_price="110").reason is Reason.NOT_A_STOP
