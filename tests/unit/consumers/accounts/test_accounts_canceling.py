"""Cancel all: which orders, in what steps, who is told."""

from collections.abc import Sequence
from typing import Any

from consumers.accounts.decide import CANCELS_MAX
from schemas.accounts import CancelAllOrders, CancelAllRequested, EndReason, Side
from schemas.envelope import ReplyRoute
from schemas.markets import CancelRestingOrder
from schemas.topics import ACCOUNTS_COMMANDS, MARKETS_COMMANDS

ALICE, BOB = "a" * 32, "b" * 32
BUY = Side.BUY
Desk = Any  # of conftest, which importlib mode does not let us import


def cancel_all(desk: Desk, asset: str | None = None) -> CancelAllRequested:
    return desk.tell(CancelAllOrders(account_id=ALICE, asset=asset))


def canceled(desk: Desk) -> Sequence[str]:
    """The orders whose cancel the latest event sends."""
    return [
        each.message.order_id
        for each in desk.context.outbox(*desk.journal[-1])
        if isinstance(each.message, CancelRestingOrder)
    ]


def test_every_open_order_of_the_account_is_canceled_and_no_other(desk: Desk) -> None:
    desk.deposit("1000")
    desk.deposit("1000", BOB)
    placed = [desk.place(BUY, "0.1", "100").order.order_id for _ in range(3)]
    desk.place(BUY, "0.1", "100", account_id=BOB)
    before = desk.held()
    event = cancel_all(desk)
    assert event.order_ids == tuple(placed)
    assert canceled(desk) == placed
    assert desk.held() == before
    assert desk.context.answers(*desk.journal[-1])


def test_a_cancel_of_all_may_be_of_one_asset(desk: Desk) -> None:
    desk.deposit("1000")
    desk.place(BUY, "0.1", "100")
    assert cancel_all(desk, "ETH").order_ids == ()
    assert canceled(desk) == []
    assert len(cancel_all(desk, "BTC").order_ids) == 1


def test_an_account_without_open_orders_is_answered(desk: Desk) -> None:
    assert cancel_all(desk).order_ids == ()
    assert desk.context.answers(*desk.journal[-1])
    desk.deposit("1000")
    desk.end(desk.place(BUY, "0.1", "100").order, EndReason.CANCELED)
    assert cancel_all(desk).order_ids == ()


def test_single_cancels_of_all_answer_nobody(desk: Desk) -> None:
    desk.deposit("1000")
    desk.place(BUY, "0.1", "100")
    cancel_all(desk)
    (outgoing,) = desk.context.outbox(*desk.journal[-1])
    assert (outgoing.topic, outgoing.key) == (MARKETS_COMMANDS, "BTC-USD")
    assert not outgoing.carries_reply


def test_many_orders_are_canceled_in_steps_and_the_last_step_answers(desk: Desk) -> None:
    desk.deposit("1000")
    placed = [desk.place(BUY, "0.01", "100").order for _ in range(2 * CANCELS_MAX + 1)]
    event, sent = cancel_all(desk), canceled(desk)
    later = desk.place(BUY, "0.01", "100").order.order_id
    desk.end(placed[CANCELS_MAX], EndReason.CANCELED)
    while event.next is not None:
        assert len(canceled(desk)) <= CANCELS_MAX
        desk.tell(event.next)
        event = desk.journal[-1][0]
        sent += canceled(desk)
    expected = [each.order_id for n, each in enumerate(placed) if n != CANCELS_MAX]
    assert sent == list(event.order_ids) == expected
    assert later not in sent


def test_a_step_goes_on_by_a_command_to_oneself_that_takes_the_reply_along(desk: Desk) -> None:
    desk.deposit("1000")
    for _ in range(CANCELS_MAX + 1):
        desk.place(BUY, "0.01", "100")
    event = cancel_all(desk)
    assert not desk.context.answers(*desk.journal[-1])
    last = desk.context.outbox(*desk.journal[-1])[-1]
    assert (last.topic, last.key, last.carries_reply) == (ACCOUNTS_COMMANDS, ALICE, True)
    assert last.message == event.next
    assert isinstance(desk.journal[-1][1].reply_to, ReplyRoute)
    desk.tell(event.next)
    assert desk.context.answers(*desk.journal[-1])
