"""API keys: who gets one, how many, and what ends them."""

import itertools
from dataclasses import dataclass, field

import pytest

from consumers.identity.context import IdentityContext
from consumers.identity.invariants import check, check_idle
from consumers.identity.outbox import outbox
from consumers.identity.state import API_KEYS_MAX, Owner, Person, Session, State
from runtime.errors import InvariantBroken
from schemas.audit import Happened, SecurityEvent
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.identity import (
    ApiKeyDeleted,
    ApiKeyEnd,
    ApiKeyMade,
    ChangePassword,
    ChangeRole,
    Ciphertext,
    CommandRefused,
    DeleteApiKey,
    EndSession,
    EraseUser,
    LockUser,
    MakeApiKey,
    PasswordChanged,
    Reason,
    ReserveUserSignIn,
    Role,
    Scope,
    UnlockUser,
    User,
)

CONTEXT = IdentityContext()
NAME = Ciphertext(key_id="k", nonce="bm9uY2U=", bytes="Ynl0ZXM=")
SESSION = "session"
DAY_MS = 86_400_000


def ann() -> State:
    """One partition with the user `ann`, who is signed in twice."""
    user = User(
        user_id="u",
        username_hmac="ann",
        email_hmac="ann@",
        profile=NAME,
        password_hash=NAME,
        marketing_emails_consent=False,
    )
    sessions = {each: Session(started_ms=0, expires_ms=30 * DAY_MS) for each in (SESSION, "other")}
    person = Person(user=user, sessions=sessions)
    return State(people={"ann": person}, emails={"ann@": Owner("u", "ann")})


@dataclass
class Desk:
    """Asks a partition at a time that tests set."""

    state: State = field(default_factory=ann)
    now_ms: int = 1_000_000
    serial: "itertools.count[int]" = field(default_factory=itertools.count)

    def ask(self, command: Message) -> list[Message]:
        cause = self.cause()
        events = list(CONTEXT.decide(self.state, command, cause))
        for event in events:
            CONTEXT.evolve(self.state, event, cause)
        check(self.state)
        return events

    def cause(self) -> Cause:
        number = next(self.serial)
        return Cause("identity.commands", 0, number, self.now_ms, "c", "u", correlation_id="r")

    def make(self, *, expires_at_ms: int | None = None, session_id: str = SESSION) -> list[Message]:
        return self.ask(
            MakeApiKey(
                username_hmac="ann",
                session_id=session_id,
                name=NAME,
                scopes=(Scope.READ, Scope.TRADE),
                secret_hash=f"{next(self.serial):064x}",
                expires_at_ms=expires_at_ms,
            )
        )

    def made(self, *, expires_at_ms: int | None = None) -> ApiKeyMade:
        (event,) = self.make(expires_at_ms=expires_at_ms)
        assert isinstance(event, ApiKeyMade)
        return event

    @property
    def keys(self) -> set[str]:
        return set(self.state.people["ann"].api_keys)


def refusal(events: list[Message]) -> Reason:
    (refused,) = events
    assert isinstance(refused, CommandRefused)
    return refused.reason


def deleted(events: list[Message]) -> list[tuple[str, ApiKeyEnd]]:
    return [(each.api_key_id, each.reason) for each in events if isinstance(each, ApiKeyDeleted)]


def test_a_key_is_made_for_its_user_with_its_scopes_and_the_users_role() -> None:
    desk = Desk()
    made = desk.made(expires_at_ms=2 * DAY_MS)
    assert (made.user_id, made.role, made.scopes) == ("u", "trader", (Scope.READ, Scope.TRADE))
    assert (made.made_at_ms, made.expires_at_ms) == (1_000_000, 2 * DAY_MS)
    assert desk.keys == {made.api_key_id}
    assert CONTEXT.answers(made, desk.cause())


@pytest.mark.parametrize("session_id", ["ended", "never there"])
def test_a_session_that_ended_leaves_no_key_behind(session_id: str) -> None:
    desk = Desk()
    desk.state.people["ann"].sessions["ended"] = Session(started_ms=0, expires_ms=30 * DAY_MS)
    desk.ask(EndSession(username_hmac="ann", session_id="ended"))
    assert refusal(desk.make(session_id=session_id)) is Reason.UNKNOWN_SESSION
    assert desk.keys == set()


def test_a_session_whose_time_is_over_makes_no_key() -> None:
    desk = Desk(now_ms=30 * DAY_MS)
    assert refusal(desk.make()) is Reason.UNKNOWN_SESSION


def test_one_key_too_many_is_refused_until_one_is_deleted_or_expires() -> None:
    desk = Desk()
    short = desk.made(expires_at_ms=desk.now_ms + 1_000)
    keys = [desk.made() for _ in range(API_KEYS_MAX - 1)]
    assert refusal(desk.make()) is Reason.TOO_MANY_API_KEYS
    desk.ask(DeleteApiKey(username_hmac="ann", api_key_id=keys[0].api_key_id))
    desk.made()
    assert refusal(desk.make()) is Reason.TOO_MANY_API_KEYS
    desk.now_ms += 1_000
    expired, made = desk.make()
    assert deleted([expired]) == [(short.api_key_id, ApiKeyEnd.EXPIRED)]
    assert isinstance(made, ApiKeyMade)
    assert not CONTEXT.answers(expired, desk.cause())


def test_a_deleted_key_is_gone_and_deleting_it_again_is_refused() -> None:
    desk = Desk()
    kept, gone = desk.made(), desk.made()
    delete = DeleteApiKey(username_hmac="ann", api_key_id=gone.api_key_id)
    (event,) = desk.ask(delete)
    assert deleted([event]) == [(gone.api_key_id, ApiKeyEnd.DELETED)]
    assert CONTEXT.answers(event, desk.cause())
    assert desk.keys == {kept.api_key_id}
    assert refusal(desk.ask(delete)) is Reason.UNKNOWN_API_KEY


def test_nobody_deletes_another_users_key_or_makes_one_for_nobody() -> None:
    desk = Desk()
    made = desk.made()
    desk.state.people["bob"] = Person(user=desk.state.people["ann"].user)
    for username in ("bob", "nobody"):
        command = DeleteApiKey(username_hmac=username, api_key_id=made.api_key_id)
        assert refusal(desk.ask(command)) is Reason.UNKNOWN_API_KEY
    assert desk.keys == {made.api_key_id}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (LockUser(username_hmac="ann"), ApiKeyEnd.USER_LOCKED),
        (ChangeRole(username_hmac="ann", role=Role.ANALYST), ApiKeyEnd.ROLE_CHANGED),
        (EraseUser(username_hmac="ann", user_id="u"), ApiKeyEnd.USER_ERASED),
    ],
)
def test_a_lock_another_role_and_erasure_end_all_keys(command: Message, reason: ApiKeyEnd) -> None:
    desk = Desk()
    keys = [desk.made(), desk.made()]
    events = desk.ask(command)
    assert deleted(events) == [(each.api_key_id, reason) for each in keys]
    assert desk.keys == set()
    desk.ask(UnlockUser(username_hmac="ann"))
    assert desk.keys == set()


def test_the_role_that_one_has_already_ends_no_key() -> None:
    desk = Desk()
    desk.made()
    assert deleted(desk.ask(ChangeRole(username_hmac="ann", role=Role.TRADER))) == []


def test_a_new_password_ends_all_keys_and_names_them() -> None:
    desk = Desk()
    made = desk.made()
    desk.ask(ReserveUserSignIn(address_hmac="a", username_hmac="ann", attempt_id="t"))
    events = desk.ask(
        ChangePassword(
            address_hmac="a",
            username_hmac="ann",
            attempt_id="t",
            session_id=SESSION,
            password_hash=NAME,
        )
    )
    changed = events[0]
    assert isinstance(changed, PasswordChanged)
    assert changed.ended == ("other", made.api_key_id)
    assert deleted(events) == [(made.api_key_id, ApiKeyEnd.PASSWORD_CHANGED)]
    assert desk.keys == set()
    assert isinstance(desk.make()[0], ApiKeyMade)  # the session that asked lives on


def test_the_audit_learns_of_keys_but_not_of_their_hashes() -> None:
    desk = Desk()
    made = desk.made()
    (gone,) = desk.ask(DeleteApiKey(username_hmac="ann", api_key_id=made.api_key_id))
    told: list[SecurityEvent] = []
    for event in (made, gone):
        (out,) = outbox(event, desk.cause())
        assert isinstance(out.message, SecurityEvent)
        told.append(out.message)
    assert [(each.happened, each.detail) for each in told] == [
        (Happened.API_KEY_MADE, "read trade"),
        (Happened.API_KEY_DELETED, "deleted"),
    ]
    assert {(each.api_key, each.by, each.user) for each in told} == {(made.api_key_id, "u", "ann")}
    assert made.secret_hash not in str(told)


def test_keys_survive_a_snapshot() -> None:
    desk, restored = Desk(), State()
    desk.made()
    desk.made(expires_at_ms=2 * DAY_MS)
    CONTEXT.load(restored, "user:ann", CONTEXT.dump(desk.state, "user:ann"))
    assert restored.people == desk.state.people


def test_too_many_keys_break_an_invariant() -> None:
    state = ann()
    state.people["ann"].api_keys = {str(each): None for each in range(API_KEYS_MAX + 1)}
    with pytest.raises(InvariantBroken):
        check(state)


@pytest.mark.parametrize("who", ["locked", "gone"])
def test_keys_of_who_may_not_sign_in_break_an_invariant(who: str) -> None:
    desk = Desk()
    desk.made()
    check_idle([desk.state])
    desk.ask(LockUser(username_hmac="ann"))
    check_idle([desk.state])
    if who == "gone":
        desk.state = State(people={"ann": Person()})
    desk.state.people["ann"].api_keys = {"left": None}
    with pytest.raises(InvariantBroken, match="API keys"):
        check_idle([desk.state])
