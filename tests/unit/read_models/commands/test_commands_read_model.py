from collections.abc import Awaitable, Callable
from typing import Any

from journals import MARKETS, History

from read_models.commands import queries
from read_models.commands.projection import PROJECTION
from runtime.memory_table import MemoryTable
from runtime.projection import Projection
from schemas import accounts, identity, journal
from schemas.accounts import (
    EVENTS,
    CancelOrder,
    DepositFunds,
    EndReason,
    OrderType,
    PlaceOrder,
    RefuseCancel,
    Side,
    TimeInForce,
)
from schemas.codec import Message
from schemas.envelope import Cause, Recorded, ReplyRoute
from schemas.money import E8
from schemas.topics import ACCOUNTS_JOURNAL, IDENTITY_JOURNAL

Folded = Callable[[Projection, History], Awaitable[MemoryTable]]
KEY = identity.Ciphertext("k", "n", "b")
USER = identity.User(
    user_id="u1",
    username_hmac="name",
    email_hmac="mail",
    profile=KEY,
    password_hash=KEY,
    marketing_emails_consent=False,
)


def started() -> tuple[History, str]:
    history = History()
    account = history.accounts[0]
    history.say(DepositFunds(account_id=account, amount_e8=1_000 * E8), command_id="deposit")
    return history, account


def place(account: str, **changes: Any) -> PlaceOrder:  # any field
    fields = {
        "account_id": account,
        "asset": "BTC",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "quantity_e8": E8,
        "price_e8": 100 * E8,
    }
    return PlaceOrder(**(fields | changes))


def recorded(event: Message, *, topic: str = ACCOUNTS_JOURNAL, **cause: Any) -> Recorded:
    fields = {"command_id": "c1"} | cause
    return Recorded(topic, 2, 40, 1, event.TYPE, "e1", 3, Cause("inbox", 2, 9, 1_234, **fields))


def ids(event: Message, **cause: Any) -> list[str]:  # any field
    changes = PROJECTION.project(event, recorded(event, **cause))
    return [each.row["command_id"] for each in changes]


async def test_an_outcome_says_what_was_decided_where_and_for_whom(folded: Folded) -> None:
    history, account = started()
    table = await folded(PROJECTION, history)
    outcome = await queries.outcome(table, "deposit")
    assert outcome is not None
    assert outcome.status == "succeeded"
    assert EVENTS.decode(outcome.event_type, outcome.body) == history.events[-1][0]
    assert (outcome.user_id, outcome.entity_id, outcome.version) == (account, account, 1)
    assert outcome.journal == f"{ACCOUNTS_JOURNAL}/0/{len(history.records) - 1}"
    assert outcome.decided_at_ms == history.time_ms
    assert await queries.outcome(table, "unknown") is None


async def test_a_resting_order_has_its_outcome_when_accepted_and_keeps_it(folded: Folded) -> None:
    history, account = started()
    event = history.say(place(account), command_id="limit")
    history.fill(account, event.order.order_id)
    outcome = await queries.outcome(await folded(PROJECTION, history), "limit")
    assert outcome is not None
    assert outcome.event_type == accounts.OrderAccepted.TYPE


async def test_an_order_that_never_rests_has_its_outcome_only_at_its_end(folded: Folded) -> None:
    for changes in (
        {"order_type": OrderType.MARKET, "price_e8": None},
        {"time_in_force": TimeInForce.IOC},
    ):
        history, account = started()
        command = place(account, **changes)
        event = history.say(command, command_id="now")
        assert await queries.outcome(await folded(PROJECTION, history), "now") is None
        history.end(account, event.order.order_id, EndReason.EXPIRED)
        outcome = await queries.outcome(await folded(PROJECTION, history), "now")
        assert outcome is not None
        assert (outcome.status, outcome.event_type) == ("succeeded", accounts.OrderExpired.TYPE)


async def test_a_refused_order_is_refused(folded: Folded) -> None:
    history, account = started()
    history.say(place(account, quantity_e8=50 * E8), command_id="too much")
    outcome = await queries.outcome(await folded(PROJECTION, history), "too much")
    assert outcome is not None
    assert outcome.status == "refused"


async def test_a_cancel_has_its_own_outcome_and_the_order_keeps_its_own(folded: Folded) -> None:
    history, account = started()
    order_id = history.say(place(account), command_id="limit").order.order_id
    history.say(CancelOrder(account_id=account, order_id=order_id), command_id="cancel")
    assert await queries.outcome(await folded(PROJECTION, history), "cancel") is None
    history.end(account, order_id, EndReason.CANCELED, reply_to="cancel")
    table = await folded(PROJECTION, history)
    cancel, limit = await queries.outcome(table, "cancel"), await queries.outcome(table, "limit")
    assert cancel is not None
    assert limit is not None
    assert cancel.event_type == accounts.OrderCanceled.TYPE
    assert limit.event_type == accounts.OrderAccepted.TYPE


async def test_a_cancel_that_the_market_refuses_is_refused(folded: Folded) -> None:
    history, account = started()
    order_id = history.say(place(account), command_id="limit").order.order_id
    history.say(CancelOrder(account_id=account, order_id=order_id), command_id="cancel")
    refusal = RefuseCancel(
        account_id=account, order_id=order_id, reason=accounts.Reason.ORDER_FINAL
    )
    history.say(refusal, source=MARKETS, reply_to="cancel")
    outcome = await queries.outcome(await folded(PROJECTION, history), "cancel")
    assert outcome is not None
    assert outcome.status == "refused"


def test_a_repeat_changes_nothing_and_a_reused_key_keeps_the_first_outcome() -> None:
    assert ids(journal.CommandDuplicate(command_id="c1", first_offset=3)) == []
    assert ids(journal.CommandRefused(command_id="c1", reason="idempotency-key-reused")) == []
    assert ids(journal.CommandRefused(command_id="c1", reason="command-expired")) == ["c1/expired"]
    assert ids(journal.CommandDiscarded(problem="no JSON")) == ["c1"]


def test_facts_of_which_nobody_waits_are_no_outcome() -> None:
    event = accounts.CommandRefused(
        account_id="a", command="refuse-cancel", reason=accounts.Reason.ORDER_FINAL
    )
    assert ids(event, source=MARKETS) == []
    assert ids(event, source=MARKETS, reply_to=ReplyRoute(1, "c9")) == ["c9"]


def test_identity_answers_its_commands_and_nothing_else() -> None:
    route = {"source": "identity/1/0", "reply_to": ReplyRoute(0, "c7"), "topic": IDENTITY_JOURNAL}
    assert ids(identity.UserRegistered(user=USER), **route) == ["c7"]
    assert ids(identity.RegistrationStarted(user=USER)) == []
    ended = identity.SessionEnded(user_id="u1", username_hmac="n", session_id="s")
    assert ids(ended) == ["c1"]
    pushed_out = identity.SessionEnded(
        user_id="u1",
        username_hmac="n",
        session_id="s",
        reason=identity.SessionEnd.TOO_MANY,
    )
    assert ids(pushed_out) == []


async def test_a_profile_update_belongs_to_its_user() -> None:
    event = identity.ProfileUpdated(user=USER)
    (change,) = PROJECTION.project(event, recorded(event, topic=IDENTITY_JOURNAL))
    table = MemoryTable(PROJECTION.tables)
    table.apply(change)
    outcome = await queries.outcome(table, "c1")
    assert outcome is not None
    assert outcome.user_id == "u1"


async def test_every_client_command_of_a_long_history_ends_once(folded: Folded) -> None:
    history = History(41, accounts=3).live(300)
    table = await folded(PROJECTION, history)
    for event, _ in history.events:
        if isinstance(event, accounts.FundsDeposited | accounts.OrderRejected):
            continue
        if isinstance(event, accounts.OrderAccepted):
            outcome = await queries.outcome(table, event.order.command_id)
            is_open = event.order.order_id in history.state.account(event.account_id).orders
            never_rests = (
                event.order.order_type is OrderType.MARKET
                or event.order.time_in_force is TimeInForce.IOC
            )
            assert (outcome is None) == (is_open and never_rests)


async def test_a_late_copy_that_expired_does_not_hide_the_decision() -> None:
    table = MemoryTable(PROJECTION.tables)
    refusal = journal.CommandRefused(command_id="c1", reason="command-expired")
    deposited = accounts.FundsDeposited(
        account_id="a",
        transaction_id="t",
        amount_e8=1,
        day_total_e8=1,
        holdings=(),
        postings=(),
    )
    for event in (deposited, refusal):
        for change in PROJECTION.project(event, recorded(event)):
            await table.put(change.table, change.row)
    outcome = await queries.outcome(table, "c1")
    assert outcome is not None
    assert (outcome.command_id, outcome.status) == ("c1", "succeeded")
