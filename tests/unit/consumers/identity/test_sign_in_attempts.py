"""Sign-in attempts are counted exactly, in whatever order they are reserved and settled."""

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.identity.context import IdentityContext
from consumers.identity.invariants import check
from consumers.identity.state import (
    ATTEMPTS_MAX,
    FAMILIAR_MAX,
    RESERVATION_MS,
    SESSIONS_MAX,
    WINDOW_MS,
    State,
)
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.identity import (
    AddressReserved,
    AddressSignInRefused,
    AttemptsForgotten,
    Ciphertext,
    CommandRefused,
    EndSession,
    Reason,
    RegisterUser,
    RegistrationStarted,
    ReserveSignIn,
    ReserveUserSignIn,
    SessionEnd,
    SessionEnded,
    SessionStarted,
    SettleAddressSignIn,
    SettleEmailClaim,
    SettleSignIn,
    SignInFailed,
    SignInReserved,
    UserSignInRefused,
)

CONTEXT = IdentityContext()
SECRET = Ciphertext(key_id="k", nonce="bm9uY2U=", bytes="Ynl0ZXM=")
START_MS = 1_000_000


@dataclass
class Desk:
    """One partition, asked directly; `now_ms` is its logical time."""

    state: State = field(default_factory=State)
    now_ms: int = START_MS
    offsets: Iterator[int] = field(default_factory=itertools.count)

    def ask(self, command: Message) -> list[Message]:
        cause = Cause("identity.commands", 0, next(self.offsets), self.now_ms, "c")
        events = list(CONTEXT.decide(self.state, command, cause))
        for event in events:
            CONTEXT.evolve(self.state, event, cause)
        check(self.state)
        return events

    def first(self, command: Message) -> Message:
        return self.ask(command)[0]

    def reserve_address(self, attempt_id: str, address: str = "addr") -> Message:
        return self.first(
            ReserveSignIn(address_hmac=address, username_hmac="ann", attempt_id=attempt_id)
        )

    def reserve(self, attempt_id: str, username: str = "ann", address: str = "addr") -> Message:
        return self.first(
            ReserveUserSignIn(address_hmac=address, username_hmac=username, attempt_id=attempt_id)
        )

    def settle(
        self, attempt_id: str, *, right: bool, username: str = "ann", address: str = "addr"
    ) -> list[Message]:
        return self.ask(
            SettleSignIn(
                address_hmac=address,
                username_hmac=username,
                attempt_id=attempt_id,
                right=right,
                expires_at_ms=self.now_ms + 900_000,
            )
        )

    def settle_address(self, attempt_id: str, *, wrong: bool) -> Message:
        return self.first(
            SettleAddressSignIn(address_hmac="addr", attempt_id=attempt_id, wrong=wrong)
        )

    def attempt(self, attempt_id: str, *, right: bool, address: str = "addr") -> Message:
        reserved = self.reserve(attempt_id, address=address)
        if not isinstance(reserved, SignInReserved):
            return reserved
        return self.settle(attempt_id, right=right, address=address)[0]


def desk_with_ann() -> Desk:
    desk = Desk()
    started = desk.first(
        RegisterUser(
            username_hmac="ann",
            email_hmac="a@",
            profile=SECRET,
            password_hash=SECRET,
            marketing_emails_consent=False,
        )
    )
    assert isinstance(started, RegistrationStarted)
    desk.ask(
        SettleEmailClaim(
            username_hmac="ann",
            email_hmac="a@",
            user_id=started.user.user_id,
            request_id=started.user.user_id,
            granted=True,
        )
    )
    return desk


def test_a_reservation_carries_the_credential_that_holds_now() -> None:
    reserved = desk_with_ann().reserve("1")
    assert isinstance(reserved, SignInReserved)
    assert reserved.password_hash == SECRET
    assert reserved.user_id


def test_an_unknown_username_is_reserved_and_counted_like_a_known_one() -> None:
    desk = Desk()
    for each in range(ATTEMPTS_MAX):
        assert desk.reserve(str(each)) == SignInReserved(
            address_hmac="addr", username_hmac="ann", attempt_id=str(each)
        )
        assert isinstance(desk.settle(str(each), right=True)[0], SignInFailed)
    assert isinstance(desk.reserve("6"), UserSignInRefused)


def test_the_sixth_attempt_after_five_wrong_ones_is_blocked_even_when_right() -> None:
    desk = desk_with_ann()
    for each in range(ATTEMPTS_MAX):
        assert isinstance(desk.attempt(str(each), right=False), SignInFailed)
        desk.now_ms += 1_000
    refused = desk.attempt("6", right=True)
    assert isinstance(refused, UserSignInRefused)
    assert refused.reason is Reason.SIGN_IN_BLOCKED
    assert refused.retry_after_ms == WINDOW_MS - ATTEMPTS_MAX * 1_000


def test_a_block_ends_when_its_first_wrong_attempt_leaves_the_window() -> None:
    desk = desk_with_ann()
    for each in range(ATTEMPTS_MAX):
        desk.attempt(str(each), right=False)
    desk.now_ms += WINDOW_MS - 1
    assert isinstance(desk.reserve("6"), UserSignInRefused)
    desk.now_ms += 1
    assert isinstance(desk.attempt("7", right=True), SessionStarted)


def test_right_attempts_never_count() -> None:
    desk = desk_with_ann()
    for each in range(4 * ATTEMPTS_MAX):
        assert isinstance(desk.attempt(str(each), right=True), SessionStarted)


def test_concurrent_attempts_wait_rather_than_being_blocked() -> None:
    desk = desk_with_ann()
    for each in range(ATTEMPTS_MAX):
        assert isinstance(desk.reserve(str(each)), SignInReserved)
    busy = desk.reserve("6")
    assert isinstance(busy, UserSignInRefused)
    assert busy.reason is Reason.SIGN_IN_BUSY
    desk.settle("0", right=True)
    assert isinstance(desk.reserve("7"), SignInReserved)


def test_a_reservation_that_nobody_settles_is_given_back() -> None:
    desk = desk_with_ann()
    for each in range(ATTEMPTS_MAX):
        desk.reserve(str(each))
    desk.now_ms += RESERVATION_MS
    assert isinstance(desk.reserve("6"), SignInReserved)


def test_an_address_is_counted_like_a_username() -> None:
    desk = Desk()
    for each in range(ATTEMPTS_MAX):
        assert isinstance(desk.reserve_address(str(each)), AddressReserved)
        desk.settle_address(str(each), wrong=True)
    refused = desk.reserve_address("6")
    assert isinstance(refused, AddressSignInRefused)
    assert refused.reason is Reason.SIGN_IN_BLOCKED
    assert isinstance(desk.reserve_address("7", address="other"), AddressReserved)


def test_an_attempt_refused_for_its_username_is_given_back_to_its_address() -> None:
    desk = desk_with_ann()
    for each in range(ATTEMPTS_MAX):
        desk.attempt(str(each), right=False)
    refused = desk.reserve("6")
    cause = Cause("identity.commands", 0, 99, desk.now_ms, "c")
    (outgoing,) = CONTEXT.outbox(refused, cause)
    assert outgoing.message == SettleAddressSignIn(address_hmac="addr", attempt_id="6", wrong=False)


def test_wrong_attempts_from_elsewhere_keep_nobody_out_where_they_signed_in_before() -> None:
    desk = desk_with_ann()
    assert isinstance(desk.attempt("home", right=True, address="home"), SessionStarted)
    for each in range(ATTEMPTS_MAX):
        desk.attempt(str(each), right=False, address=f"evil {each}")
    elsewhere = desk.reserve("6", address="evil 6")
    assert isinstance(elsewhere, UserSignInRefused)
    assert elsewhere.reason is Reason.SIGN_IN_BLOCKED
    for each in range(ATTEMPTS_MAX):  # at home five wrong ones are allowed too, and no more
        wrong = desk.attempt(f"home {each}", right=False, address="home")
        assert isinstance(wrong, SignInFailed)
    assert isinstance(desk.reserve("home 6", address="home"), UserSignInRefused)
    desk.now_ms += WINDOW_MS
    assert isinstance(desk.attempt("again", right=True, address="home"), SessionStarted)


def test_an_attempt_counts_where_it_was_reserved_though_its_address_became_familiar() -> None:
    desk = desk_with_ann()
    for each in range(ATTEMPTS_MAX):
        desk.reserve(str(each), address="home")
    desk.settle("0", right=True, address="home")
    for each in range(1, ATTEMPTS_MAX):
        desk.settle(str(each), right=False, address="home")
    assert desk.state.people["ann"].reserved() == []
    assert isinstance(desk.attempt("5", right=False, address="evil"), SignInFailed)
    assert isinstance(desk.reserve("6", address="evil"), UserSignInRefused)


def test_the_latest_addresses_are_familiar() -> None:
    desk = desk_with_ann()
    for each in range(FAMILIAR_MAX + 1):
        desk.attempt(str(each), right=True, address=str(each))
    desk.attempt("again", right=True, address="1")
    assert [*desk.state.people["ann"].familiar] == [*map(str, range(2, FAMILIAR_MAX + 1)), "1"]


@settings(deadline=None)
@given(
    script=st.lists(
        st.tuples(
            st.sampled_from(["reserve", "reserve", "wrong", "wrong", "wrong", "right"]),
            st.integers(0, 9),
            st.integers(0, 4),
        ),
        max_size=80,
    )
)
def test_each_familiar_address_and_all_others_together_have_five_wrong_attempts(
    script: list[tuple[str, int, int]],
) -> None:
    desk = desk_with_ann()
    under_way: list[tuple[str, str, str]] = []
    wrong: Counter[str] = Counter()
    for number, (step, choice, at) in enumerate(script):
        address = f"at {at}"
        place = address if address in desk.state.people["ann"].familiar else "elsewhere"
        count = wrong[place] + sum(each == place for _, _, each in under_way)
        if step == "reserve":
            outcome = desk.reserve(str(number), address=address)
            assert isinstance(outcome, SignInReserved) == (count < ATTEMPTS_MAX)
            if count < ATTEMPTS_MAX:
                under_way.append((str(number), address, place))
        elif under_way:
            attempt_id, address, place = under_way.pop(choice % len(under_way))
            desk.settle(attempt_id, right=step == "right", address=address)
            wrong[place] += step == "wrong"


@settings(deadline=None)
@given(
    script=st.lists(
        st.tuples(st.sampled_from(["reserve", "wrong", "right"]), st.integers(0, 9)), max_size=80
    )
)
def test_no_interleaving_lets_a_sixth_wrong_attempt_through_or_blocks_before_five(
    script: list[tuple[str, int]],
) -> None:
    desk = desk_with_ann()
    reserved: list[str] = []
    wrong = 0
    for number, (step, choice) in enumerate(script):
        if step == "reserve":
            outcome = desk.reserve(str(number), address=str(number))
            if isinstance(outcome, SignInReserved):
                reserved.append(str(number))
            else:
                assert isinstance(outcome, UserSignInRefused)
                blocked = outcome.reason is Reason.SIGN_IN_BLOCKED
                assert blocked == (wrong == ATTEMPTS_MAX)
                assert wrong + len(reserved) == ATTEMPTS_MAX
        elif reserved:
            attempt_id = reserved.pop(choice % len(reserved))
            desk.settle(attempt_id, right=step == "right", address=attempt_id)
            wrong += step == "wrong"
        assert wrong + len(reserved) <= ATTEMPTS_MAX


def test_signing_out_ends_the_session_once() -> None:
    desk = desk_with_ann()
    session = desk.attempt("1", right=True)
    assert isinstance(session, SessionStarted)
    end = EndSession(username_hmac="ann", session_id=session.session_id)
    ended = desk.first(end)
    assert isinstance(ended, SessionEnded)
    assert ended.session_id == session.session_id
    again = desk.first(end)
    assert isinstance(again, CommandRefused)
    assert again.reason is Reason.UNKNOWN_SESSION


def test_one_session_too_many_ends_the_oldest_and_answers_with_the_new_one() -> None:
    desk = desk_with_ann()
    oldest = desk.attempt("first", right=True)
    assert isinstance(oldest, SessionStarted)
    for each in range(SESSIONS_MAX - 1):
        desk.attempt(str(each), right=True)
    desk.reserve("last")
    started, ended = desk.settle("last", right=True)
    assert isinstance(ended, SessionEnded)
    assert ended.session_id == oldest.session_id
    cause = Cause("identity.commands", 0, 99, desk.now_ms, "c")
    assert CONTEXT.answers(started, cause)
    assert not CONTEXT.answers(ended, cause)


def test_expired_sessions_end_when_their_user_signs_in_again() -> None:
    desk = desk_with_ann()
    for each in range(SESSIONS_MAX):
        desk.attempt(str(each), right=True)
    desk.now_ms += 900_000
    assert isinstance(desk.reserve("last"), SignInReserved)
    started, *ended = desk.settle("last", right=True)
    assert isinstance(started, SessionStarted)
    assert [each.reason for each in ended if isinstance(each, SessionEnded)] == (
        [SessionEnd.EXPIRED] * SESSIONS_MAX
    )
    assert len(desk.state.people["ann"].sessions) == 1


def test_what_nobody_needs_to_remember_is_forgotten() -> None:
    desk = Desk()
    for each in range(50):
        desk.reserve_address(str(each), address=f"addr{each}")
        desk.reserve(str(each), username=f"nobody{each}")
        desk.settle(str(each), right=False, username=f"nobody{each}")
    desk.now_ms += WINDOW_MS
    for each in range(110):
        desk.reserve_address(f"later{each}")
        desk.settle_address(f"later{each}", wrong=False)
    assert not desk.state.people
    assert not desk.state.addresses
    assert not desk.state.due


def test_a_registered_user_is_never_forgotten() -> None:
    desk = desk_with_ann()
    desk.attempt("1", right=False)
    desk.now_ms += 2 * WINDOW_MS
    events = [desk.ask(SettleAddressSignIn(address_hmac="a", attempt_id="x", wrong=False))]
    assert not any(isinstance(each, AttemptsForgotten) for each in events[0])
    assert "ann" in desk.state.people


@pytest.mark.parametrize("entity", ["user:ann", "address:addr", "email:a@"])
def test_an_entity_that_is_gone_is_stored_as_gone(entity: str) -> None:
    state = State()
    stored = CONTEXT.dump(state, entity)
    CONTEXT.load(state, entity, stored)
    assert list(CONTEXT.entities(state)) == []
