"""Refresh tokens work once, and a password that changed ends what came before it."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.identity.context import IdentityContext
from consumers.identity.invariants import check
from consumers.identity.state import LEEWAY_MS, SESSION_MS_MAX, State
from schemas.audit import Happened, SecurityEvent
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.identity import (
    ChangePassword,
    Ciphertext,
    EndSession,
    LockUser,
    PasswordChanged,
    ProfileUpdated,
    Reason,
    RefreshRefused,
    RefreshSession,
    RegisterUser,
    RegistrationStarted,
    ReserveUserSignIn,
    SessionEnd,
    SessionEnded,
    SessionRefreshed,
    SessionStarted,
    SettleAddressSignIn,
    SettleEmailClaim,
    SettleSignIn,
    SignInFailed,
    SignInLocked,
    SignInReserved,
    UpdateProfile,
)
from schemas.topics import SECURITY_AUDIT

CONTEXT = IdentityContext()
OLD = Ciphertext(key_id="k", nonce="old", bytes="Ynl0ZXM=")
NEW = Ciphertext(key_id="k", nonce="new", bytes="Ynl0ZXM=")
LIFE_MS = 30 * 86_400_000
Token = tuple[int, str]
"""Generation and HMAC."""


@dataclass
class Desk:
    """Ann's partition, asked directly; `now_ms` is its logical time."""

    state: State = field(default_factory=State)
    now_ms: int = 1_000_000
    numbers: Iterator[int] = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        started = self.first(
            RegisterUser(
                username_hmac="ann",
                email_hmac="a@",
                profile=OLD,
                password_hash=OLD,
                marketing_emails_consent=False,
            )
        )
        assert isinstance(started, RegistrationStarted)
        self.ask(self.claimed("a@", started.user.user_id))

    def claimed(self, email: str, request_id: str) -> SettleEmailClaim:
        return SettleEmailClaim(
            username_hmac="ann", email_hmac=email, user_id="u", request_id=request_id, granted=True
        )

    def ask(self, command: Message) -> list[Message]:
        cause = Cause("identity.commands", 0, next(self.numbers), self.now_ms, "c")
        events = list(CONTEXT.decide(self.state, command, cause))
        for event in events:
            CONTEXT.evolve(self.state, event, cause)
        check(self.state)
        return events

    def first(self, command: Message) -> Message:
        return self.ask(command)[0]

    def reserve(self) -> SignInReserved:
        reserved = self.first(
            ReserveUserSignIn(
                address_hmac="addr", username_hmac="ann", attempt_id=f"t{next(self.numbers)}"
            )
        )
        assert isinstance(reserved, SignInReserved)
        return reserved

    def settle(
        self, reserved: SignInReserved, hmac: str = "h0", rehashed: Ciphertext | None = None
    ) -> Message:
        return self.first(
            SettleSignIn(
                address_hmac="addr",
                username_hmac="ann",
                attempt_id=reserved.attempt_id,
                right=True,
                expires_at_ms=self.now_ms + LIFE_MS,
                refresh_hmac=hmac,
                rehashed=rehashed,
            )
        )

    def sign_in(self, hmac: str = "h0") -> str:
        started = self.settle(self.reserve(), hmac)
        assert isinstance(started, SessionStarted)
        return started.session_id

    def refresh(self, session_id: str, token: Token, next_hmac: str = "next") -> Message:
        generation, hmac = token
        return self.first(
            RefreshSession(
                username_hmac="ann",
                session_id=session_id,
                generation=generation,
                refresh_hmac=hmac,
                next_hmac=next_hmac,
                expires_at_ms=self.now_ms + LIFE_MS,
            )
        )

    def change_password(self, reserved: SignInReserved, session_id: str) -> list[Message]:
        return self.ask(
            ChangePassword(
                address_hmac="addr",
                username_hmac="ann",
                attempt_id=reserved.attempt_id,
                session_id=session_id,
                password_hash=NEW,
            )
        )

    def lives(self, session_id: str) -> bool:
        return session_id in self.state.people["ann"].sessions


def test_a_refresh_token_is_exchanged_for_the_next_one() -> None:
    desk = Desk()
    session = desk.sign_in()
    desk.now_ms += LIFE_MS - 1
    refreshed = desk.refresh(session, (0, "h0"), "h1")
    assert isinstance(refreshed, SessionRefreshed)
    assert (refreshed.generation, refreshed.refresh_hmac) == (1, "h1")
    desk.now_ms += LIFE_MS - 1  # each token has its own 30 days
    assert isinstance(desk.refresh(session, (1, "h1"), "h2"), SessionRefreshed)


def test_a_session_ends_after_90_days_however_often_it_is_refreshed() -> None:
    desk = Desk()
    session, started_ms, number = desk.sign_in(), desk.now_ms, 0
    while isinstance(
        refreshed := desk.refresh(session, (number, f"h{number}"), f"h{number + 1}"),
        SessionRefreshed,
    ):
        number += 1
        assert refreshed.expires_at_ms == min(desk.now_ms + LIFE_MS, started_ms + SESSION_MS_MAX)
        desk.now_ms += LIFE_MS - 1
    assert desk.now_ms >= started_ms + SESSION_MS_MAX
    assert number == 4
    assert isinstance(refreshed, RefreshRefused)


def test_of_fifty_refreshes_of_one_token_one_wins_and_the_family_lives() -> None:
    desk = Desk()
    session = desk.sign_in()
    outcomes = [desk.refresh(session, (0, "h0"), f"n{each}") for each in range(50)]
    assert [type(each) for each in outcomes] == [SessionRefreshed] + [RefreshRefused] * 49
    assert {each.reason for each in outcomes if isinstance(each, RefreshRefused)} == {
        Reason.REFRESH_TOKEN_USED
    }
    assert isinstance(desk.refresh(session, (1, "n0"), "h2"), SessionRefreshed)


def test_a_used_token_ends_its_family_once_the_leeway_is_over() -> None:
    desk = Desk()
    session, other = desk.sign_in(), desk.sign_in("other")
    desk.refresh(session, (0, "h0"), "h1")
    desk.now_ms += LEEWAY_MS
    assert isinstance(desk.refresh(session, (0, "h0")), RefreshRefused)
    desk.now_ms += 1
    ended = desk.refresh(session, (0, "h0"))
    assert isinstance(ended, SessionEnded)
    assert ended.reason is SessionEnd.REUSED
    after = desk.refresh(session, (1, "h1"))
    assert isinstance(after, RefreshRefused)
    assert after.reason is Reason.UNKNOWN_SESSION
    assert isinstance(desk.refresh(other, (0, "other"), "o1"), SessionRefreshed)


def test_the_leeway_counts_from_each_tokens_own_use() -> None:
    desk = Desk()
    session = desk.sign_in()
    desk.refresh(session, (0, "h0"), "h1")
    desk.now_ms += LEEWAY_MS - 1
    desk.refresh(session, (1, "h1"), "h2")
    assert isinstance(desk.refresh(session, (0, "h0")), RefreshRefused)
    desk.now_ms += 2
    assert isinstance(desk.refresh(session, (1, "h1")), RefreshRefused)
    assert isinstance(desk.refresh(session, (0, "h0")), SessionEnded)


def test_a_token_of_nobodys_session_or_of_a_later_time_is_refused() -> None:
    desk = Desk()
    session = desk.sign_in()
    for session_id, token in (("none", (0, "h0")), (session, (0, "x")), (session, (7, "h0"))):
        assert isinstance(desk.refresh(session_id, token), RefreshRefused)
    assert desk.lives(session)
    desk.now_ms += LIFE_MS
    assert isinstance(desk.refresh(session, (0, "h0")), RefreshRefused)


def test_a_session_that_ended_cannot_be_refreshed() -> None:
    desk = Desk()
    session = desk.sign_in()
    desk.ask(EndSession(username_hmac="ann", session_id=session))
    assert isinstance(desk.refresh(session, (0, "h0")), RefreshRefused)


@settings(deadline=None)
@given(
    steps=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from((0, 1, 4_000, LEEWAY_MS, LEEWAY_MS + 1))),
        max_size=40,
    )
)
def test_whatever_is_presented_when_only_the_newest_works_and_only_old_uses_end_the_family(
    steps: list[tuple[int, int]],
) -> None:
    """Against a model that remembers every token's use: (which token from the end, ms waited)."""
    desk = Desk()
    session = desk.sign_in()
    tokens: list[Token] = [(0, "h0")]
    used_ms: dict[Token, int] = {}
    for back, waited_ms in steps:
        desk.now_ms += waited_ms
        token = tokens[max(0, len(tokens) - 1 - back)]
        next_token = (len(tokens), f"h{len(tokens)}")
        outcome = desk.refresh(session, token, next_token[1])
        if token not in used_ms:
            assert isinstance(outcome, SessionRefreshed)
            used_ms[token] = desk.now_ms
            tokens.append(next_token)
        elif desk.now_ms - used_ms[token] <= LEEWAY_MS:
            assert isinstance(outcome, RefreshRefused)
        else:
            assert isinstance(outcome, SessionEnded)
            assert not desk.lives(session)
            break
        assert desk.lives(session)


def test_a_token_that_comes_again_late_is_told_as_that() -> None:
    desk = Desk()
    session = desk.sign_in()
    desk.refresh(session, (0, "h0"), "h1")
    desk.now_ms += LEEWAY_MS + 1
    ended = desk.refresh(session, (0, "h0"), "h2")
    (told,) = CONTEXT.outbox(ended, Cause("identity.commands", 0, 9, 0, "c"))
    assert isinstance(told.message, SecurityEvent)
    assert (told.topic, told.message.user) == (SECURITY_AUDIT, "ann")
    assert told.message.happened is Happened.REFRESH_REUSED


def test_another_password_ends_all_other_sessions_and_gives_the_attempt_back() -> None:
    desk = Desk()
    mine, *others = (desk.sign_in(), desk.sign_in(), desk.sign_in())
    changed, *ended = desk.change_password(desk.reserve(), mine)
    assert isinstance(changed, PasswordChanged)
    assert list(changed.ended) == others
    assert [each.session_id for each in ended if isinstance(each, SessionEnded)] == others
    assert [desk.lives(each) for each in (mine, *others)] == [True, False, False]
    assert not desk.state.people["ann"].reserved()
    assert desk.reserve().password_hash == NEW
    outgoing, told = CONTEXT.outbox(changed, Cause("identity.commands", 0, 9, 0, "c"))
    assert isinstance(outgoing.message, SettleAddressSignIn)
    assert not outgoing.message.wrong
    assert isinstance(told.message, SecurityEvent)
    assert told.message.happened is Happened.PASSWORD_CHANGED
    assert (told.topic, told.message.address) == (SECURITY_AUDIT, changed.address_hmac)


def test_who_was_locked_meanwhile_changes_no_password() -> None:
    desk = Desk()
    reserved = desk.reserve()
    desk.ask(LockUser(username_hmac="ann"))
    (refused,) = desk.change_password(reserved, "mine")
    assert isinstance(refused, SignInLocked)
    assert not desk.state.people["ann"].reserved()
    assert desk.reserve().password_hash == OLD


@pytest.mark.parametrize("is_familiar", [False, True])
def test_who_signs_in_with_the_old_password_while_it_changes_fails(*, is_familiar: bool) -> None:
    desk = Desk()
    if is_familiar:
        desk.sign_in()
    before, also_before, changing = desk.reserve(), desk.reserve(), desk.reserve()
    desk.change_password(changing, "mine")
    assert isinstance(desk.settle(before), SignInFailed)
    assert isinstance(desk.change_password(also_before, "mine")[0], SignInFailed)
    assert isinstance(desk.settle(desk.reserve()), SessionStarted)


def test_a_password_hashed_anew_at_sign_in_is_what_the_next_one_is_checked_against() -> None:
    desk = Desk()
    reserved, meanwhile = desk.reserve(), desk.reserve()
    assert isinstance(desk.settle(reserved, rehashed=NEW), SessionStarted)
    assert desk.reserve().password_hash == NEW
    assert isinstance(desk.settle(meanwhile), SessionStarted)  # it is the same password


def test_a_change_of_email_under_way_does_not_bring_the_old_password_back() -> None:
    desk = Desk()
    update = UpdateProfile(
        username_hmac="ann",
        based_on="old",
        profile=OLD,
        email_hmac="b@",
        marketing_emails_consent=False,
    )
    desk.ask(update)
    claim = desk.state.people["ann"].claim
    assert claim is not None
    desk.change_password(desk.reserve(), "mine")
    updated = desk.first(desk.claimed("b@", claim.request_id))
    assert isinstance(updated, ProfileUpdated)
    assert updated.user.password_hash == NEW


def test_sessions_come_back_from_a_snapshot() -> None:
    desk = Desk()
    session = desk.sign_in()
    desk.refresh(session, (0, "h0"), "h1")
    stored = CONTEXT.dump(desk.state, "user:ann")
    restored = State()
    CONTEXT.load(restored, "user:ann", stored)
    assert msgspec.to_builtins(restored.people) == msgspec.to_builtins(desk.state.people)
