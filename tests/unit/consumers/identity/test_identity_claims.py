"""Usernames and emails under the claim protocol, with partitions that talk in any order."""

import itertools
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.identity.context import IdentityContext
from consumers.identity.invariants import check, check_idle
from consumers.identity.state import State
from schemas.codec import Message
from schemas.envelope import Cause, ReplyRoute
from schemas.identity import (
    Ciphertext,
    CommandRefused,
    ProfileUpdated,
    Reason,
    RegisterUser,
    RegistrationRejected,
    ReleaseEmail,
    UpdateProfile,
    UserRegistered,
)

CONTEXT = IdentityContext()
PARTITIONS = 2


def ciphertext(key_id: str, nonce: str = "bm9uY2U=") -> Ciphertext:
    return Ciphertext(key_id=key_id, nonce=nonce, bytes="Ynl0ZXM=")


def register(username: str, email: str, key_id: str = "k") -> RegisterUser:
    return RegisterUser(
        username_hmac=username,
        email_hmac=email,
        profile=ciphertext(key_id),
        password_hash=ciphertext(key_id),
        marketing_emails_consent=False,
    )


def update(
    username: str, email: str, *, based_on: str = "bm9uY2U=", nonce: str = "bm9uY2U="
) -> UpdateProfile:
    return UpdateProfile(
        username_hmac=username,
        based_on=based_on,
        profile=ciphertext("k2", nonce),
        email_hmac=email,
        marketing_emails_consent=True,
    )


@dataclass
class Router:
    """Partitions of identity and the messages between them, in order on each way (O1)."""

    states: list[State] = field(default_factory=lambda: [State() for _ in range(PARTITIONS)])
    ways: dict[tuple[int, int], deque[tuple[Message, ReplyRoute | None]]] = field(
        default_factory=lambda: defaultdict(deque)
    )
    answers: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    offsets: Iterator[int] = field(default_factory=itertools.count)
    duplicates: bool = False

    def client(self, key: str, command: Message) -> str:
        command_id = f"c{next(self.offsets)}"
        self.deliver(self.place(key), command, ReplyRoute(0, command_id))
        return command_id

    def place(self, key: str) -> int:
        return sum(key.encode()) % PARTITIONS

    def deliver(self, partition: int, message: Message, route: ReplyRoute | None) -> None:
        offset = next(self.offsets)
        cause = Cause("identity.commands", partition, offset, offset, "", reply_to=route)
        state = self.states[partition]
        for event in CONTEXT.decide(state, message, cause):
            CONTEXT.evolve(state, event, cause)
            if route and CONTEXT.answers(event, cause):
                self.answers[route.command_id].append(event)
            for each in CONTEXT.outbox(event, cause):
                assert isinstance(each.key, str)
                sent = (each.message, route if each.carries_reply else None)
                self.ways[partition, self.place(each.key)].append(sent)
        check(state)

    def step(self, choice: int) -> bool:
        ready = sorted(way for way, queue in self.ways.items() if queue)
        if not ready:
            return False
        way = ready[choice % len(ready)]
        message, route = self.ways[way].popleft()
        for _ in range(2 if self.duplicates else 1):
            self.deliver(way[1], message, route)
        return True

    def settle(self, choices: Sequence[int] = ()) -> None:
        for choice in choices:
            self.step(choice)
        while self.step(0):
            pass
        check_idle(self.states)

    def outcome(self, command_id: str) -> Message:
        (answer,) = self.answers[command_id]
        return answer


def test_a_free_name_with_a_free_email_is_registered() -> None:
    router = Router()
    command_id = router.client("ann", register("ann", "a@"))
    router.settle()
    answer = router.outcome(command_id)
    assert isinstance(answer, UserRegistered)
    assert (answer.user.username_hmac, answer.user.email_hmac) == ("ann", "a@")
    assert answer.user.role == "trader"
    assert answer.user.created_at_ms > 0


def test_a_name_is_taken_while_another_registration_of_it_is_pending() -> None:
    router = Router()
    first = router.client("ann", register("ann", "a@"))
    second = router.client("ann", register("ann", "b@", key_id="second"))
    refused = router.outcome(second)
    assert isinstance(refused, RegistrationRejected)
    assert (refused.reason, refused.key_id) == (Reason.USERNAME_TAKEN, "second")
    router.settle()
    assert isinstance(router.outcome(first), UserRegistered)


def test_a_name_whose_registration_failed_on_the_email_is_free_again() -> None:
    router = Router()
    router.client("ann", register("ann", "a@"))
    router.settle()
    failed = router.client("bob", register("bob", "a@"))
    router.settle()
    refused = router.outcome(failed)
    assert isinstance(refused, RegistrationRejected)
    assert refused.reason is Reason.EMAIL_TAKEN
    again = router.client("bob", register("bob", "b@"))
    router.settle()
    assert isinstance(router.outcome(again), UserRegistered)


names = st.sampled_from(["ann", "bob", "cat"])
emails = st.sampled_from(["a@", "b@", "c@"])
choices = st.lists(st.integers(0, 7), max_size=30)


@settings(deadline=None)
@given(
    commands=st.lists(st.tuples(st.booleans(), names, emails, choices), max_size=25),
    duplicates=st.booleans(),
)
def test_each_name_and_each_email_has_exactly_one_user_in_any_order(
    commands: list[tuple[bool, str, str, list[int]]],
    duplicates: bool,  # noqa: FBT001  # given by Hypothesis
) -> None:
    router = Router(duplicates=duplicates)
    sent: list[str] = []
    for is_registration, name, email, steps in commands:
        make = register if is_registration else update
        sent.append(router.client(name, make(name, email)))
        for choice in steps:
            router.step(choice)
    router.settle()
    outcomes = [router.outcome(each) for each in sent]
    registered = [each for each in outcomes if isinstance(each, UserRegistered)]
    people = [each.user for state in router.states for each in state.people.values() if each.user]
    assert sorted(each.user.user_id for each in registered) == sorted(p.user_id for p in people)
    assert len({each.username_hmac for each in people}) == len(people)
    assert len({each.email_hmac for each in people}) == len(people)


@pytest.mark.parametrize("contested", ["name", "email"])
@settings(deadline=None)
@given(steps=st.lists(st.integers(0, 7), max_size=60))
def test_of_twenty_registrations_of_one_name_or_email_exactly_one_wins(
    contested: str, steps: list[int]
) -> None:
    router = Router()
    sent = [
        router.client(name, register(name, email))
        for name, email in (
            ("ann", f"{each}@") if contested == "name" else (f"user{each}", "a@")
            for each in range(20)
        )
    ]
    router.settle(steps)
    won = [each for each in sent if isinstance(router.outcome(each), UserRegistered)]
    assert len(won) == 1


def test_ones_own_email_again_is_no_change_and_another_one_frees_the_old() -> None:
    router = Router()
    router.client("ann", register("ann", "a@"))
    router.settle()
    own = router.client("ann", update("ann", "a@"))
    assert isinstance(router.outcome(own), ProfileUpdated)
    other = router.client("ann", update("ann", "b@"))
    router.settle()
    moved = router.outcome(other)
    assert isinstance(moved, ProfileUpdated)
    assert (moved.user.email_hmac, moved.released_email_hmac) == ("b@", "a@")
    heir = router.client("bob", register("bob", "a@"))
    router.settle()
    assert isinstance(router.outcome(heir), UserRegistered)


def test_an_update_to_somebody_elses_email_changes_nothing() -> None:
    router = Router()
    router.client("ann", register("ann", "a@"))
    router.client("bob", register("bob", "b@"))
    router.settle()
    refused_id = router.client("bob", update("bob", "a@"))
    router.settle()
    refused = router.outcome(refused_id)
    assert isinstance(refused, CommandRefused)
    assert refused.reason is Reason.EMAIL_TAKEN
    bob = router.states[router.place("bob")].people["bob"].user
    assert bob is not None
    assert bob.email_hmac == "b@"


def test_one_email_change_is_in_flight_at_a_time() -> None:
    router = Router()
    router.client("ann", register("ann", "a@"))
    router.settle()
    router.client("ann", update("ann", "b@"))
    second = router.client("ann", update("ann", "c@"))
    refused = router.outcome(second)
    assert isinstance(refused, CommandRefused)
    assert refused.reason is Reason.EMAIL_CHANGE_PENDING
    router.settle()


def test_of_two_changes_of_one_profile_the_second_is_refused() -> None:
    router = Router()
    router.client("ann", register("ann", "a@"))
    router.settle()
    first = router.client("ann", update("ann", "a@", nonce="first"))
    assert isinstance(router.outcome(first), ProfileUpdated)
    second = router.client("ann", update("ann", "a@", nonce="second"))
    refused = router.outcome(second)
    assert isinstance(refused, CommandRefused)
    assert refused.reason is Reason.PROFILE_CHANGED
    again = router.client("ann", update("ann", "a@", based_on="first", nonce="second"))
    assert isinstance(router.outcome(again), ProfileUpdated)


def test_a_profile_merged_onto_one_from_before_an_email_change_is_refused() -> None:
    router = Router()
    router.client("ann", register("ann", "a@"))
    router.settle()
    router.client("ann", update("ann", "b@", nonce="moved"))
    router.settle()
    stale = router.outcome(router.client("ann", update("ann", "a@", nonce="stale")))
    assert isinstance(stale, CommandRefused)
    assert stale.reason is Reason.PROFILE_CHANGED


def test_an_unknown_user_cannot_be_updated() -> None:
    router = Router()
    refused = router.outcome(router.client("ann", update("ann", "a@")))
    assert isinstance(refused, CommandRefused)
    assert refused.reason is Reason.UNKNOWN_USER


def test_an_email_granted_to_a_request_that_nobody_knows_is_given_back() -> None:
    router = Router()
    first = router.client("ann", register("ann", "a@"))
    user_id = router.states[router.place("ann")].people["ann"].claim
    assert user_id is not None
    router.states[router.place("ann")] = State()  # as if the request had never been
    router.settle()
    assert first not in router.answers
    assert not any(state.emails for state in router.states)


def test_only_its_owner_releases_an_email() -> None:
    router = Router()
    router.client("ann", register("ann", "a@"))
    router.settle()
    router.deliver(router.place("a@"), ReleaseEmail(email_hmac="a@", user_id="other"), None)
    router.settle()


@settings(deadline=None)
@given(commands=st.lists(st.tuples(names, emails), max_size=12))
def test_a_state_loaded_from_its_stored_entities_is_the_same(
    commands: list[tuple[str, str]],
) -> None:
    router = Router()
    for name, email in commands:
        router.client(name, register(name, email))
        router.step(1)
    for state in router.states:
        loaded = CONTEXT.empty()
        for entity in CONTEXT.entities(state):
            CONTEXT.load(loaded, entity, CONTEXT.dump(state, entity))
        assert (loaded.people, loaded.emails, loaded.addresses) == (
            state.people,
            state.emails,
            state.addresses,
        )
