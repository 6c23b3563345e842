from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.answers import dollars
from gateway.problems import KINDS, TYPE_BASE, Problem, refusal
from gateway.views import average_price_e8, order_view
from schemas import accounts, auth, identity
from schemas.accounts import Order, OrderStatus, OrderType, Reason, Side, TimeInForce
from schemas.money import E8, notional_floor

PAGES = Path(__file__).parents[3] / "docs" / "errors"
OPEN = Order(
    order_id="0" * 32,
    number=1,
    symbol="BTC-USD",
    asset="BTC",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    time_in_force=TimeInForce.GTC,
    quantity_e8=2 * E8,
    price_e8=100 * E8,
)


def changed(**changes: object) -> Order:
    return Order(**{name: getattr(OPEN, name) for name in OPEN.__struct_fields__} | changes)


@pytest.mark.parametrize(
    ("amount_e8", "text"),
    [(500 * E8, "$500"), (1250_000_000, "$12.50"), (1, "$0.00"), (1_000_000 * E8, "$1000000")],
)
def test_messages_say_whole_dollars_or_cents(amount_e8: int, text: str) -> None:
    assert dollars(amount_e8) == text


def test_every_reason_that_a_decider_knows_is_a_problem_with_a_page() -> None:
    reasons = [*accounts.Reason, *identity.Reason, *auth.Reason]
    for reason in (*reasons, "command-expired", "idempotency-key-reused", "command-discarded"):
        assert refusal(reason).code != "internal-error", reason


def test_every_problem_type_has_a_page_and_every_page_a_type() -> None:
    assert {each.stem for each in PAGES.glob("*.md")} == set(KINDS)
    for code in KINDS:
        text = (PAGES / f"{code}.md").read_text()
        assert TYPE_BASE + code in text
        assert f"status {KINDS[code].status}" in text


def test_a_problem_has_the_members_of_rfc_9457_and_ours() -> None:
    body = Problem("not-found").body(instance="/x", request_id="r1")
    assert body == {
        "type": "https://cnop.dev/errors/not-found",
        "title": "Not found",
        "status": 404,
        "detail": "There is no such thing here.",
        "instance": "/x",
        "code": "not-found",
        "request_id": "r1",
    }


def test_what_is_unavailable_says_when_to_come_again() -> None:
    assert all(
        "Retry-After" in Problem(code).headers for code, kind in KINDS.items() if kind.status == 503
    )


def test_an_open_order_may_cost_its_limit() -> None:
    view = order_view(OPEN, version=3)
    assert view["order_type"] == "limit_buy"
    assert (view["price"], view["total_amount"], view["average_price"]) == ("100", "200", None)
    assert (view["remaining_quantity"], view["version"]) == ("2", 3)


def test_a_filled_market_order_shows_its_average_price_and_a_buyer_pays_the_fee() -> None:
    filled = changed(
        order_type=OrderType.MARKET,
        price_e8=None,
        status=OrderStatus.FILLED,
        cum_quantity_e8=2 * E8,
        cum_notional_e8=201 * E8,
        fee_e8=E8,
    )
    view = order_view(filled, version=4)
    assert (view["price"], view["average_price"], view["total_amount"]) == ("100.5", "100.5", "202")
    assert view["remaining_quantity"] == "0"


def test_a_stop_shows_its_stop_price_and_other_orders_none() -> None:
    assert order_view(OPEN, version=3)["stop_price"] is None
    stop = changed(order_type=OrderType.MARKET, price_e8=None, stop_price_e8=E8 * 3 // 2)
    view = order_view(stop, version=3)
    assert (view["stop_price"], view["price"], view["total_amount"]) == ("1.5", None, None)


def test_an_order_that_ended_unfilled_came_to_nothing() -> None:
    view = order_view(changed(status=OrderStatus.EXPIRED, reason=Reason.COLLAR), version=5)
    assert (view["total_amount"], view["remaining_quantity"]) == ("0", "0")
    assert view["reject_reason"] == "collar"


@given(
    st.integers(min_value=1, max_value=10**8).map(lambda cents: cents * E8 // 100),
    st.integers(min_value=E8 // 1000, max_value=10_000 * E8),
)
def test_the_average_of_one_fill_is_its_price(price_e8: int, quantity_e8: int) -> None:
    notional_e8 = notional_floor(price_e8, quantity_e8)
    average_e8 = average_price_e8(notional_e8, quantity_e8)
    assert average_e8 is not None
    assert notional_floor(average_e8, quantity_e8) == notional_e8
    assert abs(average_e8 - price_e8) * quantity_e8 < E8
