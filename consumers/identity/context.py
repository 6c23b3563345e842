"""Identity as the journal protocol drives it."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Final

import msgspec

from consumers.identity import decide as deciding
from consumers.identity.evolve import evolve, watch
from consumers.identity.outbox import outbox
from consumers.identity.state import ADDRESS, EMAIL, USER, Attempts, Owner, Person, State
from runtime.journal.context import Outgoing
from schemas.codec import Codec, Message
from schemas.envelope import Cause
from schemas.identity import (
    COMMANDS,
    EVENTS,
    AddressSignInRefused,
    ApiKeyDeleted,
    ApiKeyEnd,
    ApiKeyMade,
    CommandRefused,
    PasswordChanged,
    ProfileUpdated,
    RefreshRefused,
    RegistrationRejected,
    RoleChanged,
    SessionEnd,
    SessionEnded,
    SessionRefreshed,
    SessionStarted,
    SignInFailed,
    SignInLocked,
    SignInReserved,
    UserErased,
    UserLocked,
    UserRegistered,
    UserSignInRefused,
    UserUnlocked,
)
from schemas.topics import IDENTITY

_GONE: Final = b"null"
_ANSWERS: Final = (
    UserRegistered,
    RegistrationRejected,
    ProfileUpdated,
    CommandRefused,
    AddressSignInRefused,
    UserSignInRefused,
    SignInReserved,
    SignInFailed,
    SignInLocked,
    SessionStarted,
    SessionRefreshed,
    RefreshRefused,
    PasswordChanged,
    ApiKeyMade,
    RoleChanged,
    UserLocked,
    UserUnlocked,
    UserErased,
)
_ANSWERED_ENDS: Final = (SessionEnd.SIGNED_OUT, SessionEnd.REUSED)


class IdentityContext:
    """The `Context` of identity."""

    name: str = IDENTITY
    schema_version: int = 3
    commands: Codec = COMMANDS
    events: Codec = EVENTS

    def empty(self) -> State:
        """Nobody, yet."""
        return State()

    def entity_of(self, event: Message) -> str:
        """The user, email or address that the event changes."""
        return deciding.entity_of(event)

    def decide(self, state: State, command: Message, cause: Cause) -> Sequence[Message]:
        """See `decide.decide`."""
        return deciding.decide(state, command, cause)

    def evolve(self, state: State, event: Message, cause: Cause) -> None:
        """See `evolve.evolve`."""
        evolve(state, event, cause)

    def outbox(self, event: Message, cause: Cause) -> Sequence[Outgoing]:
        """See `outbox.outbox`."""
        return outbox(event, cause)

    def answers(self, event: Message, cause: Cause) -> bool:  # noqa: ARG002  # the event says all
        """Whether somebody waits for this event; sessions and API keys also end on their own."""
        if isinstance(event, SessionEnded):
            return event.reason in _ANSWERED_ENDS
        if isinstance(event, ApiKeyDeleted):
            return event.reason is ApiKeyEnd.DELETED
        return isinstance(event, _ANSWERS)

    def entities(self, state: State) -> Iterable[str]:
        """Every entity there is; what was forgotten is not."""
        return chain(
            (USER + each for each in state.people),
            (EMAIL + each for each in state.emails),
            (ADDRESS + each for each in state.addresses),
        )

    def dump(self, state: State, entity: str) -> bytes:
        """The entity as JSON; `null` when it is gone."""
        kind, _, hmac = entity.partition(":")
        stored = {
            USER: state.people.get,
            EMAIL: state.emails.get,
            ADDRESS: state.addresses.get,
        }[f"{kind}:"](hmac)
        return _GONE if stored is None else msgspec.json.encode(stored)

    def load(self, state: State, entity: str, stored: bytes) -> None:
        """Put the entity back."""
        if stored == _GONE:
            return
        kind, _, hmac = entity.partition(":")
        match f"{kind}:":
            case "user:":
                state.people[hmac] = msgspec.json.decode(stored, type=Person)
            case "email:":
                state.emails[hmac] = msgspec.json.decode(stored, type=Owner)
            case _:
                state.addresses[hmac] = msgspec.json.decode(stored, type=Attempts)
        watch(state, entity)
