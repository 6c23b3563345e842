"""What operators do to users: roles, locks, and the sessions that end with them."""

import itertools
from dataclasses import dataclass, field

from consumers.identity.context import IdentityContext
from consumers.identity.invariants import check
from consumers.identity.outbox import outbox
from consumers.identity.state import State
from schemas.audit import Happened, SecurityEvent
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.identity import (
    AddressSettled,
    ChangeRole,
    Ciphertext,
    CommandRefused,
    LockUser,
    ProfileUpdated,
    Reason,
    RegisterUser,
    ReserveUserSignIn,
    Role,
    RoleChanged,
    SessionEnd,
    SessionEnded,
    SessionStarted,
    SettleAddressSignIn,
    SettleEmailClaim,
    SettleSignIn,
    SignInLocked,
    UnlockUser,
    UpdateProfile,
    UserLocked,
    UserUnlocked,
)
from schemas.topics import SECURITY_AUDIT

CONTEXT = IdentityContext()
SECRET = Ciphertext(key_id="k", nonce="bm9uY2U=", bytes="Ynl0ZXM=")
OTHER = Ciphertext(key_id="k", nonce="b3RoZXI=", bytes="Ynl0ZXM=")


@dataclass
class Desk:
    """One partition with the user `ann`."""

    state: State = field(default_factory=State)
    now_ms: int = 1_000_000
    serial: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        registering = RegisterUser(
            username_hmac="ann",
            email_hmac="ann@",
            profile=SECRET,
            password_hash=SECRET,
            marketing_emails_consent=False,
        )
        user_id = self.ask(registering)[0].user.user_id  # type: ignore[attr-defined]
        self.claimed(user_id, user_id, "ann@")

    def claimed(self, user_id: str, request_id: str, email: str) -> list[Message]:
        return self.ask(
            SettleEmailClaim(
                username_hmac="ann",
                email_hmac=email,
                user_id=user_id,
                request_id=request_id,
                granted=True,
            )
        )

    def ask(self, command: Message) -> list[Message]:
        events = list(CONTEXT.decide(self.state, command, self.cause()))
        for event in events:
            CONTEXT.evolve(self.state, event, self.cause())
        check(self.state)
        return events

    def cause(self) -> Cause:
        number = next(self.serial)
        return Cause("identity.commands", 0, number, self.now_ms, "c", "op", correlation_id="r")

    def sign_in(self, attempt: str) -> Message:
        self.ask(ReserveUserSignIn(address_hmac="a", username_hmac="ann", attempt_id=attempt))
        return self.settle(attempt)

    def settle(self, attempt: str) -> Message:
        return self.ask(
            SettleSignIn(
                address_hmac="a",
                username_hmac="ann",
                attempt_id=attempt,
                right=True,
                expires_at_ms=self.now_ms + 900_000,
            )
        )[0]


def ended(events: list[Message]) -> list[tuple[str, SessionEnd]]:
    return [(each.session_id, each.reason) for each in events if isinstance(each, SessionEnded)]


def test_a_change_of_role_ends_every_session_and_the_next_one_has_the_role() -> None:
    desk = Desk()
    sessions = [desk.sign_in(f"s{n}") for n in range(3)]
    changed, *rest = desk.ask(ChangeRole(username_hmac="ann", role=Role.OPERATOR))
    assert isinstance(changed, RoleChanged)
    assert changed.user.role is Role.OPERATOR
    assert ended(rest) == [
        (each.session_id, SessionEnd.ROLE_CHANGED)
        for each in sessions
        if isinstance(each, SessionStarted)
    ]
    assert len(rest) == 3
    again = desk.sign_in("later")
    assert isinstance(again, SessionStarted)
    assert again.role == "operator"


def test_a_role_that_one_has_already_ends_nothing_and_still_answers() -> None:
    desk = Desk()
    desk.sign_in("s")
    events = desk.ask(ChangeRole(username_hmac="ann", role=Role.TRADER))
    assert [type(each) for each in events] == [RoleChanged]


def test_a_locked_user_has_no_session_and_gets_none_until_unlocked() -> None:
    desk = Desk()
    desk.sign_in("s")
    locked, *rest = desk.ask(LockUser(username_hmac="ann"))
    assert isinstance(locked, UserLocked)
    assert [reason for _, reason in ended(rest)] == [SessionEnd.USER_LOCKED]
    refused = desk.sign_in("t")
    assert isinstance(refused, SignInLocked)
    assert desk.state.people["ann"].reserved() == []
    assert desk.state.people["ann"].sessions == {}
    (back,) = outbox(refused, desk.cause())
    assert isinstance(back.message, SettleAddressSignIn)
    assert not back.message.wrong
    assert isinstance(desk.ask(UnlockUser(username_hmac="ann"))[0], UserUnlocked)
    assert isinstance(desk.sign_in("u"), SessionStarted)
    assert isinstance(desk.ask(back.message)[0], AddressSettled)


def test_an_attempt_reserved_before_the_lock_is_refused_after_it() -> None:
    desk = Desk()
    desk.ask(ReserveUserSignIn(address_hmac="a", username_hmac="ann", attempt_id="s"))
    desk.ask(LockUser(username_hmac="ann"))
    assert isinstance(desk.settle("s"), SignInLocked)


def test_a_change_of_email_under_way_keeps_role_and_lock_of_meanwhile() -> None:
    desk = Desk()
    started = desk.ask(
        UpdateProfile(
            username_hmac="ann",
            based_on=SECRET.nonce,
            profile=OTHER,
            email_hmac="new@",
            marketing_emails_consent=True,
        )
    )[0]
    desk.ask(ChangeRole(username_hmac="ann", role=Role.ANALYST))
    desk.ask(LockUser(username_hmac="ann"))
    updated = desk.claimed(
        started.user.user_id,  # type: ignore[attr-defined]
        started.request_id,  # type: ignore[attr-defined]
        "new@",
    )[0]
    assert isinstance(updated, ProfileUpdated)
    assert (updated.user.role, updated.user.locked) == (Role.ANALYST, True)


def test_nobody_is_not_changed() -> None:
    desk = Desk()
    for command in (
        ChangeRole(username_hmac="ben", role=Role.OPERATOR),
        LockUser(username_hmac="ben"),
        UnlockUser(username_hmac="ben"),
    ):
        (refused,) = desk.ask(command)
        assert isinstance(refused, CommandRefused)
        assert refused.reason is Reason.UNKNOWN_USER


def test_role_changes_locks_and_ends_of_sessions_go_to_the_audit() -> None:
    desk = Desk()
    desk.sign_in("s")
    events = [
        *desk.ask(ChangeRole(username_hmac="ann", role=Role.OPERATOR)),
        *desk.ask(LockUser(username_hmac="ann")),
        *desk.ask(UnlockUser(username_hmac="ann")),
    ]
    told = [each for event in events for each in outbox(event, desk.cause())]
    assert {(each.topic, each.key) for each in told} == {(SECURITY_AUDIT, "ann")}
    messages = [each.message for each in told if isinstance(each.message, SecurityEvent)]
    assert [(each.happened, each.detail) for each in messages] == [
        (Happened.ROLE_CHANGED, "operator"),
        (Happened.SESSION_ENDED, "role-changed"),
        (Happened.USER_LOCKED, "operator"),
        (Happened.USER_UNLOCKED, "operator"),
    ]
    assert {(each.user, each.by, each.request_id) for each in messages} == {("ann", "op", "r")}
