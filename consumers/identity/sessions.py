"""Who may try to sign in, and which sessions there are: pure decisions."""

from typing import Final

from consumers.identity import api_keys
from consumers.identity.outcomes import Events, refused
from consumers.identity.state import (
    ATTEMPTS_MAX,
    SESSION_MS_MAX,
    SESSIONS_MAX,
    WINDOW_MS,
    Attempts,
    Person,
    Session,
    State,
)
from schemas.envelope import Cause
from schemas.identity import (
    AddressReserved,
    AddressSettled,
    AddressSignInRefused,
    ApiKeyEnd,
    ChangePassword,
    EndSession,
    PasswordChanged,
    Reason,
    RefreshRefused,
    RefreshSession,
    ReserveSignIn,
    ReserveUserSignIn,
    SessionEnd,
    SessionEnded,
    SessionRefreshed,
    SessionStarted,
    SettleAddressSignIn,
    SettleSignIn,
    SignInFailed,
    SignInLocked,
    SignInReserved,
    User,
    UserSignInRefused,
)

_NEW_ADDRESS: Final = Attempts()
_SignInRefused = AddressSignInRefused | UserSignInRefused


def reserve_address(state: State, command: ReserveSignIn, now_ms: int) -> Events:
    """Count an attempt against its address, unless there were too many wrong ones."""
    attempts = state.addresses.get(command.address_hmac, _NEW_ADDRESS)
    if refusal := _refusal(AddressSignInRefused, command, attempts, now_ms):
        return (refusal,)
    return (
        AddressReserved(
            address_hmac=command.address_hmac,
            username_hmac=command.username_hmac,
            attempt_id=command.attempt_id,
        ),
    )


def reserve_user(person: Person, command: ReserveUserSignIn, now_ms: int) -> Events:
    """Count it against the username at this address, and say what to check the password with."""
    attempts = person.attempts_at(command.address_hmac)
    if refusal := _refusal(UserSignInRefused, command, attempts, now_ms):
        return (refusal,)
    user = person.user
    return (
        SignInReserved(
            address_hmac=command.address_hmac,
            username_hmac=command.username_hmac,
            attempt_id=command.attempt_id,
            user_id=user.user_id if user else None,
            password_hash=user.password_hash if user else None,
        ),
    )


def settle(person: Person, command: SettleSignIn, cause: Cause) -> Events:
    """Start a session where the password was right; else the attempt stays counted."""
    if not command.right or person.user is None or command.attempt_id in person.void_attempts:
        return (_failed(command),)
    if person.user.locked:
        return (_locked(command),)
    return (
        SessionStarted(
            address_hmac=command.address_hmac,
            username_hmac=command.username_hmac,
            attempt_id=command.attempt_id,
            user_id=person.user.user_id,
            session_id=cause.new_id(),
            role=person.user.role,
            expires_at_ms=command.expires_at_ms,
            refresh_hmac=command.refresh_hmac,
            password_hash=command.rehashed,
        ),
        *_making_room(person, person.user, cause.time_ms),
    )


def settle_address(command: SettleAddressSignIn) -> AddressSettled:
    """Give the address its attempt back, or count it as wrong."""
    return AddressSettled(
        address_hmac=command.address_hmac, attempt_id=command.attempt_id, wrong=command.wrong
    )


def refresh(person: Person, command: RefreshSession, now_ms: int) -> Events:
    """Each token works once; one that was used longer than the leeway ago ends its family."""
    user, session = person.user, person.sessions.get(command.session_id)
    if user is None or session is None or session.expires_ms <= now_ms:
        return (_refresh_refused(command, Reason.UNKNOWN_SESSION),)
    if (command.generation, command.refresh_hmac) == (session.generation, session.refresh_hmac):
        return (_refreshed(user, command, session),)
    if command.generation >= session.generation:
        return (_refresh_refused(command, Reason.UNKNOWN_SESSION),)
    if session.was_just_used(command.generation, now_ms):
        return (_refresh_refused(command, Reason.REFRESH_TOKEN_USED),)
    return (ended(user, command.session_id, SessionEnd.REUSED),)


def change_password(person: Person, command: ChangePassword) -> Events:
    """Of sessions and API keys only the session that asked lives on.

    Whoever signs in meanwhile with the old password fails.
    """
    user = person.user
    if user is None or command.attempt_id in person.void_attempts:
        return (_failed(command),)
    if user.locked:
        return (_locked(command),)
    others = tuple(each for each in person.sessions if each != command.session_id)
    changed = PasswordChanged(
        address_hmac=command.address_hmac,
        username_hmac=command.username_hmac,
        attempt_id=command.attempt_id,
        user_id=user.user_id,
        session_id=command.session_id,
        password_hash=command.password_hash,
        ended=(*others, *person.api_keys),
    )
    return (
        changed,
        *(ended(user, each, SessionEnd.PASSWORD_CHANGED) for each in others),
        *api_keys.all_deleted(person, user, ApiKeyEnd.PASSWORD_CHANGED),
    )


def end(person: Person, command: EndSession) -> Events:
    """Sign out."""
    if person.user is None or command.session_id not in person.sessions:
        return (refused(command, Reason.UNKNOWN_SESSION),)
    return (ended(person.user, command.session_id, SessionEnd.SIGNED_OUT),)


def _refusal(
    outcome: type[_SignInRefused],
    command: ReserveSignIn | ReserveUserSignIn,
    attempts: Attempts,
    now_ms: int,
) -> _SignInRefused | None:
    """Blocked by wrong attempts, or busy while those reserved might become too many wrong ones."""
    wrong = attempts.wrong(now_ms)
    if wrong >= ATTEMPTS_MAX:
        reason = Reason.SIGN_IN_BLOCKED
        retry_after_ms = attempts.wrong_ms[-ATTEMPTS_MAX] + WINDOW_MS - now_ms
    elif wrong + attempts.reserved(now_ms) >= ATTEMPTS_MAX:
        reason, retry_after_ms = Reason.SIGN_IN_BUSY, 0
    else:
        return None
    return outcome(
        address_hmac=command.address_hmac,
        username_hmac=command.username_hmac,
        attempt_id=command.attempt_id,
        reason=reason,
        retry_after_ms=retry_after_ms,
    )


def _failed(command: SettleSignIn | ChangePassword) -> SignInFailed:
    return SignInFailed(
        address_hmac=command.address_hmac,
        username_hmac=command.username_hmac,
        attempt_id=command.attempt_id,
    )


def _locked(command: SettleSignIn | ChangePassword) -> SignInLocked:
    return SignInLocked(
        address_hmac=command.address_hmac,
        username_hmac=command.username_hmac,
        attempt_id=command.attempt_id,
    )


def _making_room(person: Person, user: User, now_ms: int) -> Events:
    """The sessions whose time is over, and the oldest of those that would be too many."""
    expired = [each for each, session in person.sessions.items() if session.expires_ms <= now_ms]
    live = [each for each in person.sessions if each not in expired]
    crowded_out = live[: max(0, len(live) + 1 - SESSIONS_MAX)]
    return (
        *(ended(user, each, SessionEnd.EXPIRED) for each in expired),
        *(ended(user, each, SessionEnd.TOO_MANY) for each in crowded_out),
    )


def ended(user: User, session_id: str, reason: SessionEnd) -> SessionEnded:
    """The end of one session."""
    return SessionEnded(
        user_id=user.user_id,
        username_hmac=user.username_hmac,
        session_id=session_id,
        reason=reason,
    )


def _refreshed(user: User, command: RefreshSession, session: Session) -> SessionRefreshed:
    return SessionRefreshed(
        user_id=user.user_id,
        username_hmac=user.username_hmac,
        session_id=command.session_id,
        role=user.role,
        generation=command.generation + 1,
        refresh_hmac=command.next_hmac,
        expires_at_ms=min(command.expires_at_ms, session.started_ms + SESSION_MS_MAX),
    )


def _refresh_refused(command: RefreshSession, reason: Reason) -> RefreshRefused:
    return RefreshRefused(
        username_hmac=command.username_hmac, session_id=command.session_id, reason=reason
    )
