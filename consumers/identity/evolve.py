"""Apply identity's events to one partition's state, in place."""

import heapq

import msgspec

from consumers.identity.decide import entity_of
from consumers.identity.state import (
    ADDRESS,
    USER,
    Attempts,
    Owner,
    PendingClaim,
    Person,
    Session,
    State,
)
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.identity import (
    AddressReserved,
    AddressSettled,
    ApiKeyDeleted,
    ApiKeyMade,
    AttemptsForgotten,
    Ciphertext,
    CommandRefused,
    EmailChangeStarted,
    EmailClaimed,
    EmailReleased,
    PasswordChanged,
    ProfileUpdated,
    Reason,
    RegistrationRejected,
    RegistrationStarted,
    RoleChanged,
    SessionEnded,
    SessionRefreshed,
    SessionStarted,
    SignInFailed,
    SignInLocked,
    SignInReserved,
    UserErased,
    UserLocked,
    UserRegistered,
    UserUnlocked,
)


def evolve(state: State, event: Message, cause: Cause) -> None:
    """Apply the event; time is the logical time of its record."""
    _apply(state, event, cause.time_ms)
    watch(state, entity_of(event))


def watch(state: State, entity: str) -> None:
    """Note when the entity may be forgotten, and let the head of the heap be up to date."""
    due_ms = forgettable_at_ms(state, entity)
    if due_ms is not None:
        heapq.heappush(state.due, (due_ms, entity))
    while state.due and forgettable_at_ms(state, state.due[0][1]) != state.due[0][0]:
        heapq.heappop(state.due)


def forgettable_at_ms(state: State, entity: str) -> int | None:
    """When the entity may be dropped; None for what stays or is not there."""
    kind, _, hmac = entity.partition(":")
    if kind == USER[:-1]:
        person = state.people.get(hmac)
        return person.attempts.forgettable_at_ms() if person and person.is_nobody else None
    attempts = state.addresses.get(hmac) if kind == ADDRESS[:-1] else None
    return attempts.forgettable_at_ms() if attempts else None


def _apply(state: State, event: Message, now_ms: int) -> None:  # noqa: C901, PLR0912, PLR0915  # one line per event
    match event:
        case RegistrationStarted():
            claim = PendingClaim(request_id=event.user.user_id, user=event.user)
            _person(state, event.user.username_hmac).claim = claim
        case EmailChangeStarted():
            claim = PendingClaim(request_id=event.request_id, user=event.user)
            _person(state, event.user.username_hmac).claim = claim
        case UserRegistered():
            _commit(_person(state, event.user.username_hmac), event)
        case ProfileUpdated():
            _commit(_person(state, event.user.username_hmac), event)
        case RegistrationRejected():
            _reject(state, event)
        case CommandRefused():
            _refuse(state, event)
        case EmailClaimed():
            state.emails[event.email_hmac] = Owner(
                user_id=event.user_id, username_hmac=event.username_hmac
            )
        case EmailReleased():
            state.emails.pop(event.email_hmac, None)
        case AddressReserved():
            attempts = state.addresses.setdefault(event.address_hmac, Attempts())
            attempts.reserve(event.attempt_id, now_ms)
        case AddressSettled():
            _settle_address(state, event, now_ms)
        case SignInReserved():
            attempts = _person(state, event.username_hmac).attempts_at(event.address_hmac)
            attempts.reserve(event.attempt_id, now_ms)
        case SignInFailed():
            _settle(_person(state, event.username_hmac), event, now_ms, wrong=True)
        case SignInLocked():
            _settle(_person(state, event.username_hmac), event, now_ms, wrong=False)
        case RoleChanged() | UserLocked() | UserUnlocked():
            _person(state, event.user.username_hmac).user = event.user
        case UserErased():
            _erase(_person(state, event.username_hmac))
        case SessionStarted():
            _start_session(_person(state, event.username_hmac), event, now_ms)
        case SessionRefreshed():
            _refresh_session(_person(state, event.username_hmac), event, now_ms)
        case PasswordChanged():
            _change_password(_person(state, event.username_hmac), event, now_ms)
        case SessionEnded():
            _person(state, event.username_hmac).sessions.pop(event.session_id, None)
        case ApiKeyMade():
            _person(state, event.username_hmac).api_keys[event.api_key_id] = event.expires_at_ms
        case ApiKeyDeleted():
            _person(state, event.username_hmac).api_keys.pop(event.api_key_id, None)
        case AttemptsForgotten():
            _forget(state, event.entity)
        case _:
            pass  # a refusal changes nothing


def _person(state: State, username_hmac: str) -> Person:
    return state.people.setdefault(username_hmac, Person())


def _commit(person: Person, event: UserRegistered | ProfileUpdated) -> None:
    person.user = event.user
    person.claim = None


def _erase(person: Person) -> None:
    """Attempts stay for their window; when it has passed, the name is forgotten too."""
    person.user = None
    person.claim = None
    person.familiar = {}


def _reject(state: State, event: RegistrationRejected) -> None:
    """Free the name; a second registration refused for its username never held it."""
    if event.reason is Reason.EMAIL_TAKEN:
        person = _person(state, event.username_hmac)
        person.claim = None
        _drop_if_empty(state, event.username_hmac, person)


def _refuse(state: State, event: CommandRefused) -> None:
    person = state.people.get(event.username_hmac)
    if person and person.claim and person.claim.request_id == event.request_id:
        person.claim = None


def _settle_address(state: State, event: AddressSettled, now_ms: int) -> None:
    attempts = state.addresses.setdefault(event.address_hmac, Attempts())
    attempts.settle(event.attempt_id, now_ms, wrong=event.wrong)
    if attempts.forgettable_at_ms() <= 0:
        del state.addresses[event.address_hmac]


def _settle(
    person: Person,
    event: SignInFailed | SignInLocked | SessionStarted | PasswordChanged,
    now_ms: int,
    *,
    wrong: bool,
) -> None:
    attempts = person.attempts_with(event.attempt_id, event.address_hmac)
    attempts.settle(event.attempt_id, now_ms, wrong=wrong)


def _start_session(person: Person, event: SessionStarted, now_ms: int) -> None:
    _settle(person, event, now_ms, wrong=False)
    person.remember(event.address_hmac)
    live = {each: kept for each, kept in person.sessions.items() if kept.expires_ms > now_ms}
    session = Session(
        started_ms=now_ms, expires_ms=event.expires_at_ms, refresh_hmac=event.refresh_hmac
    )
    person.sessions = live | {event.session_id: session}
    if event.password_hash is not None:
        _take_hash(person, event.password_hash)


def _refresh_session(person: Person, event: SessionRefreshed, now_ms: int) -> None:
    person.sessions[event.session_id].refresh(
        event.refresh_hmac, event.generation, now_ms=now_ms, expires_ms=event.expires_at_ms
    )


def _change_password(person: Person, event: PasswordChanged, now_ms: int) -> None:
    """Attempts that are under way were reserved with the hash that counts no more."""
    _settle(person, event, now_ms, wrong=False)
    person.void_attempts = person.reserved()
    _take_hash(person, event.password_hash)


def _take_hash(person: Person, password_hash: Ciphertext) -> None:
    if person.user is not None:
        person.user = msgspec.structs.replace(person.user, password_hash=password_hash)


def _forget(state: State, entity: str) -> None:
    kind, _, hmac = entity.partition(":")
    if kind == USER[:-1]:
        state.people.pop(hmac, None)
    else:
        state.addresses.pop(hmac, None)


def _drop_if_empty(state: State, username_hmac: str, person: Person) -> None:
    if person.is_nobody and person.attempts.forgettable_at_ms() <= 0:
        del state.people[username_hmac]
