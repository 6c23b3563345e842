"""Money in and out."""

from typing import Any

import pytest

from schemas.accounts import (
    CommandRefused,
    DepositFunds,
    FundsDeposited,
    FundsWithdrawn,
    Posting,
    Reason,
    Side,
    WithdrawFunds,
)
from schemas.money import E8

ALICE = "a" * 32
Desk = Any  # of conftest, which importlib mode does not let us import
DAY_MS = 86_400_000


def test_a_deposit_comes_from_outside_and_is_free(desk: Desk) -> None:
    event = desk.deposit("500.25")
    assert isinstance(event, FundsDeposited)
    assert event.postings == (
        Posting("external", "USD", "free", -500_25 * 10**6),
        Posting(ALICE, "USD", "free", 500_25 * 10**6),
    )
    assert event.transaction_id == desk.journal[-1][1].new_id()
    assert desk.held() == (500_25 * 10**6, 0)


@pytest.mark.parametrize(
    "amount_e8", [0, -E8, 1_000_000 * E8 + E8 // 100, 1, E8 // 1000, 10**30], ids=str
)
def test_an_amount_of_another_shape_is_refused_either_way(desk: Desk, amount_e8: int) -> None:
    for command in (DepositFunds, WithdrawFunds):
        event = desk.tell(command(account_id=ALICE, amount_e8=amount_e8))
        assert isinstance(event, CommandRefused)
        assert event.reason is Reason.INVALID_AMOUNT
    assert not desk.account().holdings


def test_deposits_of_a_utc_day_stop_exactly_at_the_limit(desk: Desk) -> None:
    desk.deposit("9999.99")
    assert desk.deposit("0.02").reason is Reason.DEPOSIT_LIMIT
    assert desk.deposit("0.01").day_total_e8 == 10_000 * E8
    assert desk.deposit("0.01").reason is Reason.DEPOSIT_LIMIT
    assert desk.held() == (10_000 * E8, 0)


def test_a_daily_limit_begins_anew_at_midnight_utc(desk: Desk) -> None:
    desk.time_ms = 20_000 * DAY_MS - 1
    desk.deposit("10000")
    assert desk.withdraw("5000").day_total_e8 == 5_000 * E8
    desk.time_ms += 1
    assert desk.deposit("1").day_total_e8 == E8
    assert desk.withdraw("2").day_total_e8 == 2 * E8


def test_withdrawals_of_a_utc_day_stop_exactly_at_the_limit(desk: Desk) -> None:
    desk.deposit("10000")
    desk.withdraw("4999.99")
    assert desk.withdraw("0.02").reason is Reason.WITHDRAWAL_LIMIT
    assert isinstance(desk.withdraw("0.01"), FundsWithdrawn)
    assert desk.withdraw("0.01").reason is Reason.WITHDRAWAL_LIMIT


def test_a_withdrawal_takes_only_what_is_free(desk: Desk) -> None:
    desk.deposit("100")
    desk.place(Side.BUY, "0.5", "100")
    assert desk.withdraw("50.01").reason is Reason.INSUFFICIENT_FUNDS
    event = desk.withdraw("50")
    assert event.postings[1] == Posting("external", "USD", "free", 50 * E8)
    assert desk.held() == (0, 50 * E8)


def test_an_account_without_history_has_nothing_to_withdraw(desk: Desk) -> None:
    event = desk.withdraw("1")
    assert (event.command, event.reason) == ("withdraw-funds", Reason.INSUFFICIENT_FUNDS)
