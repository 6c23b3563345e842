"""Who may have a name, an email, one more attempt, a session: pure decisions of one partition."""

from collections.abc import Sequence
from typing import Final

from consumers.identity import api_keys, operating, people, sessions
from consumers.identity.outcomes import Events
from consumers.identity.state import ADDRESS, EMAIL, USER, Person, State
from runtime.errors import Halted
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.identity import (
    AddressReserved,
    AddressSettled,
    AddressSignInRefused,
    ApiKeyDeleted,
    ApiKeyMade,
    AttemptsForgotten,
    ChangePassword,
    ChangeRole,
    ClaimEmail,
    CommandRefused,
    DeleteApiKey,
    EmailChangeStarted,
    EmailClaimed,
    EmailClaimReturned,
    EmailReleased,
    EmailTaken,
    EndSession,
    EraseUser,
    LockUser,
    MakeApiKey,
    PasswordChanged,
    ProfileUpdated,
    RefreshRefused,
    RefreshSession,
    RegisterUser,
    RegistrationRejected,
    RegistrationStarted,
    ReleaseEmail,
    ReserveSignIn,
    ReserveUserSignIn,
    RoleChanged,
    SessionEnded,
    SessionRefreshed,
    SessionStarted,
    SettleAddressSignIn,
    SettleEmailClaim,
    SettleSignIn,
    SignInFailed,
    SignInLocked,
    SignInReserved,
    UnlockUser,
    UpdateProfile,
    UserErased,
    UserLocked,
    UserRegistered,
    UserSignInRefused,
    UserUnlocked,
)

_NOBODY: Final = Person()


def decide(state: State, command: Message, cause: Cause) -> Sequence[Message]:
    """The outcome of the command, then at most one forgotten entity whose window passed.

    Raises:
        Halted: not a message of identity.
    """
    events = _outcome(state, command, cause)
    return (*events, *_forgotten(state, events, cause.time_ms))


def entity_of(event: Message) -> str:
    """The id of the one entity that the event changes."""
    match event:
        case RegistrationStarted() | UserRegistered() | EmailChangeStarted() | ProfileUpdated():
            return USER + event.user.username_hmac
        case RoleChanged() | UserLocked() | UserUnlocked():
            return USER + event.user.username_hmac
        case EmailClaimed() | EmailTaken() | EmailReleased():
            return EMAIL + event.email_hmac
        case AddressReserved() | AddressSettled() | AddressSignInRefused():
            return ADDRESS + event.address_hmac
        case AttemptsForgotten():
            return event.entity
        case (
            RegistrationRejected()
            | CommandRefused()
            | EmailClaimReturned()
            | UserSignInRefused()
            | SignInReserved()
            | SignInFailed()
            | SignInLocked()
            | SessionStarted()
            | SessionRefreshed()
            | RefreshRefused()
            | PasswordChanged()
            | ApiKeyMade()
            | ApiKeyDeleted()
            | SessionEnded()
            | UserErased()
        ):
            return USER + event.username_hmac
        case _:
            raise Halted(f"identity has no event {event.TYPE}")


def _outcome(state: State, command: Message, cause: Cause) -> Events:  # noqa: C901, PLR0911, PLR0912  # one line per command
    match command:
        case RegisterUser():
            return people.register(_person(state, command.username_hmac), command, cause)
        case UpdateProfile():
            return people.update(_person(state, command.username_hmac), command, cause)
        case ReserveSignIn():
            return sessions.reserve_address(state, command, cause.time_ms)
        case ReserveUserSignIn():
            person = _person(state, command.username_hmac)
            return sessions.reserve_user(person, command, cause.time_ms)
        case SettleSignIn():
            return sessions.settle(_person(state, command.username_hmac), command, cause)
        case SettleAddressSignIn():
            return (sessions.settle_address(command),)
        case RefreshSession():
            return sessions.refresh(_person(state, command.username_hmac), command, cause.time_ms)
        case ChangePassword():
            return sessions.change_password(_person(state, command.username_hmac), command)
        case EndSession():
            return sessions.end(_person(state, command.username_hmac), command)
        case MakeApiKey():
            return api_keys.make(_person(state, command.username_hmac), command, cause)
        case DeleteApiKey():
            return api_keys.delete(_person(state, command.username_hmac), command)
        case ChangeRole() | LockUser() | UnlockUser():
            return operating.operate(_person(state, command.username_hmac), command, cause)
        case EraseUser():
            return operating.erase(_person(state, command.username_hmac), command)
        case ClaimEmail():
            return people.claim_email(state, command)
        case SettleEmailClaim():
            return people.settle_claim(_person(state, command.username_hmac), command, cause)
        case ReleaseEmail():
            return people.release_email(state, command)
        case _:
            raise Halted(f"identity has no command {command.TYPE}")


def _person(state: State, username_hmac: str) -> Person:
    return state.people.get(username_hmac, _NOBODY)


def _forgotten(state: State, events: Events, now_ms: int) -> Events:
    """One entity whose window passed, unless the outcome itself is about it."""
    if not state.due or state.due[0][0] > now_ms:
        return ()
    entity = state.due[0][1]
    if any(entity_of(each) == entity for each in events):
        return ()
    return (AttemptsForgotten(entity=entity),)
