"""What accounts sends to markets, and which events answer a client."""

from collections.abc import Sequence
from typing import Any

import pytest

from runtime.journal.context import Outgoing
from schemas.accounts import EndReason, Reason, RefuseCancel, Side, TimeInForce
from schemas.codec import Message
from schemas.markets import COMMANDS, CancelRestingOrder, SubmitOrder
from schemas.money import E8

ALICE = "a" * 32
Desk = Any  # of conftest, which importlib mode does not let us import


def sent(desk: Desk) -> Sequence[Outgoing]:
    """What the latest event of the journal sends."""
    return desk.context.outbox(*desk.journal[-1])


def answered(desk: Desk, event: Message) -> bool:
    assert desk.journal[-1][0] == event
    return desk.context.answers(*desk.journal[-1])


@pytest.mark.parametrize("time_in_force", list(TimeInForce))
def test_an_accepted_order_goes_to_its_market_with_its_deadline(
    desk: Desk, time_in_force: TimeInForce
) -> None:
    desk.deposit("1000")
    is_gtd = time_in_force is TimeInForce.GTD
    event = desk.place(
        Side.BUY,
        "2",
        "100",
        time_in_force=time_in_force,
        expires_at_ms=desk.time_ms + 60_000 if is_gtd else None,
        post_only=is_gtd,
    )
    (outgoing,) = sent(desk)
    order = event.order
    assert (outgoing.topic, outgoing.key) == ("markets.commands", "BTC-USD")
    assert outgoing.message == SubmitOrder(
        symbol="BTC-USD",
        account_id=ALICE,
        order_id=order.order_id,
        side=Side.BUY,
        order_type=order.order_type,
        time_in_force=time_in_force,
        quantity_e8=order.quantity_e8,
        price_e8=order.price_e8,
        protection_price_e8=order.price_e8,
        deadline_ms=event.deadline_ms,
        expires_at_ms=order.expires_at_ms,
        post_only=is_gtd,
    )
    assert outgoing.message.TYPE in COMMANDS.types


def test_a_market_order_goes_without_a_price_and_with_the_collars_edge(desk: Desk) -> None:
    desk.deposit("1000")
    desk.place(Side.BUY, "2")
    message = sent(desk)[0].message
    assert isinstance(message, SubmitOrder)
    assert (message.price_e8, message.protection_price_e8) == (None, 110 * E8)
    assert message.time_in_force is TimeInForce.IOC


@pytest.mark.parametrize(
    ("price", "time_in_force", "waits"),
    [
        (None, TimeInForce.GTC, True),
        ("100", TimeInForce.IOC, True),
        ("100", TimeInForce.FOK, True),
        ("100", TimeInForce.GTC, False),
        ("100", TimeInForce.DAY, False),
        ("100", TimeInForce.GTD, False),
    ],
)
def test_the_reply_goes_with_an_order_that_is_answered_at_its_end(
    desk: Desk, price: str | None, time_in_force: TimeInForce, *, waits: bool
) -> None:
    desk.deposit("1000")
    ends_ms = desk.time_ms + 60_000 if time_in_force is TimeInForce.GTD else None
    event = desk.place(Side.BUY, "2", price, time_in_force=time_in_force, expires_at_ms=ends_ms)
    assert sent(desk)[0].carries_reply is waits
    assert answered(desk, event) is not waits


def test_a_cancel_goes_to_the_market_and_takes_the_reply_along(desk: Desk) -> None:
    desk.deposit("1000")
    order = desk.place(Side.BUY, "2", "100").order
    event = desk.cancel(order.order_id)
    (outgoing,) = sent(desk)
    assert (outgoing.topic, outgoing.key, outgoing.carries_reply) == (
        "markets.commands",
        "BTC-USD",
        True,
    )
    assert outgoing.message == CancelRestingOrder(
        symbol="BTC-USD", account_id=ALICE, order_id=order.order_id
    )
    assert not answered(desk, event)


def test_outcomes_answer_and_steps_do_not(desk: Desk) -> None:
    for tell in (
        lambda: desk.deposit("1000"),
        lambda: desk.withdraw("1"),
        lambda: desk.withdraw("5001"),
        lambda: desk.place(Side.BUY, "1000", "100"),
        lambda: desk.tell(RefuseCancel(account_id=ALICE, order_id="0", reason=Reason.ORDER_FINAL)),
    ):
        assert answered(desk, tell())
        assert sent(desk) == ()
    for end, quantity in (
        (EndReason.FILLED, "1"),
        (EndReason.CANCELED, "0.5"),
        (EndReason.EXPIRED, "0.5"),
        (EndReason.REJECTED, None),
    ):
        order = desk.place(Side.BUY, "1", "100").order
        if quantity:
            assert not answered(desk, desk.execute(order, quantity, "100"))
        assert answered(desk, desk.end(order, end))
        assert sent(desk) == ()
    assert not answered(desk, desk.house(Side.SELL, "1", "100"))
    desk.open_market()
    assert [desk.context.answers(*each) for each in desk.journal[-2:]] == [False, False]
    assert [desk.context.outbox(*each) for each in desk.journal[-2:]] == [(), ()]
