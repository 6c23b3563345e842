"""A person who is erased: nothing is left of them to decide by, and name and email are free."""

import itertools
from dataclasses import dataclass, field

from consumers.identity.context import IdentityContext
from consumers.identity.invariants import check, check_idle
from consumers.identity.state import WINDOW_MS, State
from schemas.audit import Happened, SecurityEvent
from schemas.codec import Message, encode
from schemas.envelope import Cause
from schemas.identity import (
    ChangeRole,
    Ciphertext,
    CommandRefused,
    EmailChangeStarted,
    EmailClaimReturned,
    EndSession,
    EraseUser,
    LockUser,
    Reason,
    RegisterUser,
    RegistrationStarted,
    ReserveSignIn,
    ReserveUserSignIn,
    Role,
    SessionEnd,
    SessionEnded,
    SessionStarted,
    SettleSignIn,
    SignInFailed,
    SignInReserved,
    UpdateProfile,
    UserErased,
    UserRegistered,
)
from schemas.topics import IDENTITY_COMMANDS

CONTEXT = IdentityContext()
SECRET = Ciphertext(key_id="anns-key", nonce="bm9uY2U=", bytes="Ynl0ZXM=")


@dataclass
class Identity:
    """One partition with everybody in it; what it sends to itself arrives unless `is_deaf`."""

    state: State = field(default_factory=State)
    now_ms: int = 1_000_000
    is_deaf: bool = False
    told: list[SecurityEvent] = field(default_factory=list)
    history: list[tuple[Message, Cause]] = field(default_factory=list)
    serial: "itertools.count[int]" = field(default_factory=itertools.count)

    def ask(self, command: Message) -> list[Message]:
        number = next(self.serial)
        cause = Cause("identity.commands", 0, number, self.now_ms, "c", "op", correlation_id="r")
        events = list(CONTEXT.decide(self.state, command, cause))
        for event in events:
            CONTEXT.evolve(self.state, event, cause)
            self.history.append((event, cause))
        check(self.state)
        follows: list[Message] = []
        for sent in [each for event in events for each in CONTEXT.outbox(event, cause)]:
            if isinstance(sent.message, SecurityEvent):
                self.told.append(sent.message)
            elif sent.topic == IDENTITY_COMMANDS and not self.is_deaf:
                follows += self.ask(sent.message)
        return [*events, *follows]

    def register(self, name: str = "ann", email: str = "ann@") -> str:
        events = self.ask(
            RegisterUser(
                username_hmac=name,
                email_hmac=email,
                profile=SECRET,
                password_hash=SECRET,
                marketing_emails_consent=False,
            )
        )
        (registered,) = (each for each in events if isinstance(each, UserRegistered))
        return registered.user.user_id

    def sign_in(self, attempt: str, name: str = "ann") -> Message:
        self.reserve(attempt, name)
        return self.ask(
            SettleSignIn(
                address_hmac="a",
                username_hmac=name,
                attempt_id=attempt,
                right=True,
                expires_at_ms=self.now_ms + 900_000,
            )
        )[0]

    def reserve(self, attempt: str, name: str) -> Message:
        return self.ask(ReserveSignIn(address_hmac="a", username_hmac=name, attempt_id=attempt))[1]

    def erase(self, user_id: str, name: str = "ann") -> list[Message]:
        return self.ask(EraseUser(username_hmac=name, user_id=user_id))

    def move(self, email: str) -> list[Message]:
        return self.ask(
            UpdateProfile(
                username_hmac="ann",
                based_on=SECRET.nonce,
                profile=SECRET,
                email_hmac=email,
                marketing_emails_consent=False,
            )
        )


def test_erasing_names_the_key_and_ends_every_session() -> None:
    identity = Identity()
    user_id = identity.register()
    sessions = [identity.sign_in(f"s{each}") for each in range(3)]
    erased, *rest = identity.erase(user_id)
    assert erased == UserErased(
        user_id=user_id, username_hmac="ann", email_hmac="ann@", key_id="anns-key"
    )
    ended = [each for each in rest if isinstance(each, SessionEnded)]
    assert [(each.session_id, each.reason) for each in ended] == [
        (each.session_id, SessionEnd.USER_ERASED)
        for each in sessions
        if isinstance(each, SessionStarted)
    ]
    assert len(ended) == 3


def test_nothing_of_an_erased_person_is_in_the_state_and_soon_nothing_at_all() -> None:
    identity = Identity()
    user_id = identity.register()
    identity.sign_in("s")
    assert identity.state.people["ann"].familiar
    identity.erase(user_id)
    assert "ann" not in identity.state.people
    assert CONTEXT.dump(identity.state, "email:ann@") == b"null"
    assert SECRET.bytes.encode() not in CONTEXT.dump(identity.state, "user:ann")
    identity.now_ms += 2 * WINDOW_MS
    for each in range(3):
        identity.ask(ReserveSignIn(address_hmac="b", username_hmac="ben", attempt_id=f"{each}"))
    assert "ann" not in identity.state.people
    check_idle([identity.state])


def test_name_and_email_of_an_erased_person_are_free() -> None:
    identity = Identity()
    first = identity.register()
    identity.erase(first)
    assert identity.register() != first
    assert isinstance(identity.sign_in("s"), SessionStarted)
    check_idle([identity.state])


def test_an_erasure_never_meets_who_took_the_name_afterwards() -> None:
    identity = Identity()
    first = identity.register()
    identity.erase(first)
    second = identity.register()
    (refused,) = identity.erase(first)
    assert isinstance(refused, CommandRefused)
    assert refused.reason is Reason.UNKNOWN_USER
    kept = identity.state.people["ann"].user
    assert kept is not None
    assert kept.user_id == second


def test_a_second_erasure_and_one_of_nobody_change_nothing() -> None:
    identity = Identity()
    user_id = identity.register()
    identity.erase(user_id)
    before = CONTEXT.dump(identity.state, "user:ann")
    for events in (identity.erase(user_id), identity.erase("f" * 32, "nobody")):
        assert [type(each) for each in events if not isinstance(each, CommandRefused)] == []
        assert [each.reason for each in events if isinstance(each, CommandRefused)] == [
            Reason.UNKNOWN_USER
        ]
    assert CONTEXT.dump(identity.state, "user:ann") == before


def test_an_erased_person_signs_in_like_one_who_never_was() -> None:
    identity = Identity()
    user_id = identity.register()
    identity.erase(user_id)
    gone, never = identity.reserve("s", "ann"), identity.reserve("s", "ben")
    assert isinstance(gone, SignInReserved)
    assert isinstance(never, SignInReserved)
    assert gone.user_id is gone.password_hash is never.user_id is never.password_hash is None
    assert isinstance(identity.sign_in("t"), SignInFailed)


def test_an_attempt_reserved_before_the_erasure_fails_after_it() -> None:
    identity = Identity()
    user_id = identity.register()
    identity.ask(ReserveUserSignIn(address_hmac="a", username_hmac="ann", attempt_id="s"))
    identity.erase(user_id)
    settle = SettleSignIn(address_hmac="a", username_hmac="ann", attempt_id="s", right=True)
    assert isinstance(identity.ask(settle)[0], SignInFailed)


def test_an_email_change_under_way_leaves_both_emails_free() -> None:
    identity = Identity()
    user_id = identity.register()
    identity.is_deaf = True
    (started,) = identity.move("new@")
    assert isinstance(started, EmailChangeStarted)
    (erased,) = identity.erase(user_id)
    assert isinstance(erased, UserErased)
    identity.is_deaf = False
    claim, release = (
        sent.message
        for event, cause in identity.history[-2:]
        for sent in CONTEXT.outbox(event, cause)
        if sent.topic == IDENTITY_COMMANDS
    )
    events = [*identity.ask(claim), *identity.ask(release)]
    assert any(isinstance(each, EmailClaimReturned) for each in events)
    assert identity.state.emails == {}
    check_idle([identity.state])


def test_nothing_else_can_be_done_to_an_erased_person() -> None:
    identity = Identity()
    user_id = identity.register()
    session = identity.sign_in("s")
    assert isinstance(session, SessionStarted)
    identity.erase(user_id)
    for command in (
        ChangeRole(username_hmac="ann", role=Role.OPERATOR),
        LockUser(username_hmac="ann"),
        EndSession(username_hmac="ann", session_id=session.session_id),
    ):
        (refused,) = identity.ask(command)
        assert isinstance(refused, CommandRefused)
    (refused,) = identity.move("other@")
    assert isinstance(refused, CommandRefused)


def test_who_is_still_registering_is_nobody_yet() -> None:
    identity = Identity(is_deaf=True)
    events = identity.ask(
        RegisterUser(
            username_hmac="ann",
            email_hmac="ann@",
            profile=SECRET,
            password_hash=SECRET,
            marketing_emails_consent=False,
        )
    )
    (started,) = (each for each in events if isinstance(each, RegistrationStarted))
    (refused,) = identity.erase(started.user.user_id)
    assert isinstance(refused, CommandRefused)


def test_the_journal_says_the_same_with_and_without_keys() -> None:
    identity = Identity()
    identity.register("ben", "ben@")
    user_id = identity.register()
    identity.sign_in("s")
    identity.erase(user_id)
    again = State()
    for event, cause in identity.history:
        stored = CONTEXT.events.decode(event.TYPE, encode(event))
        CONTEXT.evolve(again, stored, cause)
    assert {each: CONTEXT.dump(again, each) for each in CONTEXT.entities(again)} == {
        each: CONTEXT.dump(identity.state, each) for each in CONTEXT.entities(identity.state)
    }


def test_the_audit_is_told_of_an_erasure() -> None:
    identity = Identity()
    identity.erase(identity.register())
    (told,) = identity.told
    assert told == SecurityEvent(
        happened=Happened.USER_ERASED, user="ann", request_id="r", by="op", detail="anns-key"
    )
