"""Who may have a name, an email, one more attempt, a session: pure decisions of one partition."""

from collections.abc import Sequence
from typing import Final

import msgspec

from consumers.identity import api_keys
from consumers.identity.state import (
    ADDRESS,
    ATTEMPTS_MAX,
    EMAIL,
    SESSION_MS_MAX,
    SESSIONS_MAX,
    USER,
    WINDOW_MS,
    Attempts,
    Person,
    Session,
    State,
)
from runtime.errors import Halted
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.identity import (
    AddressReserved,
    AddressSettled,
    AddressSignInRefused,
    ApiKeyDeleted,
    ApiKeyEnd,
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
    Reason,
    RefreshRefused,
    RefreshSession,
    RegisterUser,
    RegistrationRejected,
    RegistrationStarted,
    ReleaseEmail,
    ReserveSignIn,
    ReserveUserSignIn,
    Role,
    RoleChanged,
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
    UnlockUser,
    UpdateProfile,
    User,
    UserErased,
    UserLocked,
    UserRegistered,
    UserSignInRefused,
    UserUnlocked,
)

Events = tuple[Message, ...]
_NOBODY: Final = Person()
_NEW_ADDRESS: Final = Attempts()


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
            return _register(_person(state, command.username_hmac), command, cause)
        case UpdateProfile():
            return _update(_person(state, command.username_hmac), command, cause)
        case ReserveSignIn():
            return _reserve_address(state, command, cause.time_ms)
        case ReserveUserSignIn():
            person = _person(state, command.username_hmac)
            return _reserve_user(person, command, cause.time_ms)
        case SettleSignIn():
            return _settle(_person(state, command.username_hmac), command, cause)
        case SettleAddressSignIn():
            return (_address_settled(command),)
        case RefreshSession():
            return _refresh(_person(state, command.username_hmac), command, cause.time_ms)
        case ChangePassword():
            return _change_password(_person(state, command.username_hmac), command)
        case EndSession():
            return _end_session(_person(state, command.username_hmac), command)
        case MakeApiKey():
            return api_keys.make(_person(state, command.username_hmac), command, cause)
        case DeleteApiKey():
            return api_keys.delete(_person(state, command.username_hmac), command)
        case ChangeRole() | LockUser() | UnlockUser():
            return _operate(_person(state, command.username_hmac), command, cause)
        case EraseUser():
            return _erase(_person(state, command.username_hmac), command)
        case ClaimEmail():
            return _claim(state, command)
        case SettleEmailClaim():
            return _settle_claim(_person(state, command.username_hmac), command, cause)
        case ReleaseEmail():
            return _release(state, command)
        case _:
            raise Halted(f"identity has no command {command.TYPE}")


def _person(state: State, username_hmac: str) -> Person:
    return state.people.get(username_hmac, _NOBODY)


# --- registration, profile, emails ---------------------------------------------------------------


def _register(person: Person, command: RegisterUser, cause: Cause) -> Events:
    """Hold the username while its email is claimed; meanwhile it is taken for everybody else."""
    if not person.is_nobody:
        return (
            RegistrationRejected(
                username_hmac=command.username_hmac,
                key_id=command.profile.key_id,
                reason=Reason.USERNAME_TAKEN,
            ),
        )
    return (RegistrationStarted(user=_new_user(command, cause)),)


def _new_user(command: RegisterUser, cause: Cause) -> User:
    return User(
        user_id=cause.new_id(),
        username_hmac=command.username_hmac,
        email_hmac=command.email_hmac,
        profile=command.profile,
        password_hash=command.password_hash,
        marketing_emails_consent=command.marketing_emails_consent,
        created_at_ms=cause.time_ms,
        updated_at_ms=cause.time_ms,
    )


def _update(person: Person, command: UpdateProfile, cause: Cause) -> Events:
    if person.user is None:
        return (_refused(command, Reason.UNKNOWN_USER),)
    if person.claim is not None:
        return (_refused(command, Reason.EMAIL_CHANGE_PENDING),)
    if command.based_on != person.user.profile.nonce:
        return (_refused(command, Reason.PROFILE_CHANGED),)
    user = msgspec.structs.replace(
        person.user,
        profile=command.profile,
        email_hmac=command.email_hmac,
        marketing_emails_consent=command.marketing_emails_consent,
        updated_at_ms=cause.time_ms,
    )
    if user.email_hmac == person.user.email_hmac:
        return (ProfileUpdated(user=user),)
    return (EmailChangeStarted(user=user, request_id=cause.new_id()),)


def _refused(
    command: UpdateProfile | EndSession | ChangeRole | LockUser | UnlockUser | EraseUser,
    reason: Reason,
) -> CommandRefused:
    return CommandRefused(username_hmac=command.username_hmac, command=command.TYPE, reason=reason)


def _claim(state: State, command: ClaimEmail) -> Events:
    """Idempotent per owner: who has the email is granted it again."""
    owner = state.emails.get(command.email_hmac)
    outcome = EmailClaimed if owner is None or owner.user_id == command.user_id else EmailTaken
    return (
        outcome(
            email_hmac=command.email_hmac,
            user_id=command.user_id,
            username_hmac=command.username_hmac,
            request_id=command.request_id,
        ),
    )


def _settle_claim(person: Person, command: SettleEmailClaim, cause: Cause) -> Events:
    claim = person.claim
    if claim is None or claim.request_id != command.request_id:
        return _return_claim(person, command)
    user = msgspec.structs.replace(claim.user, updated_at_ms=cause.time_ms)
    if person.user is None:
        return (_registered(user) if command.granted else _rejected(user),)
    if command.granted:
        user = msgspec.structs.replace(
            user,
            password_hash=person.user.password_hash,
            role=person.user.role,
            locked=person.user.locked,
        )
        return (ProfileUpdated(user=user, released_email_hmac=person.user.email_hmac),)
    return (
        CommandRefused(
            username_hmac=user.username_hmac,
            command=UpdateProfile.TYPE,
            reason=Reason.EMAIL_TAKEN,
            request_id=claim.request_id,
        ),
    )


def _registered(user: User) -> UserRegistered:
    """The user exists from the moment that everything is granted."""
    return UserRegistered(user=msgspec.structs.replace(user, created_at_ms=user.updated_at_ms))


def _rejected(user: User) -> RegistrationRejected:
    return RegistrationRejected(
        username_hmac=user.username_hmac,
        key_id=user.profile.key_id,
        reason=Reason.EMAIL_TAKEN,
    )


def _return_claim(person: Person, command: SettleEmailClaim) -> Events:
    """Nobody waits for this answer: an email granted to no purpose goes back."""
    user = person.user
    holds = user is not None and (user.user_id, user.email_hmac) == (
        command.user_id,
        command.email_hmac,
    )
    if holds or not command.granted:
        return ()
    return (
        EmailClaimReturned(
            username_hmac=command.username_hmac,
            email_hmac=command.email_hmac,
            user_id=command.user_id,
        ),
    )


def _release(state: State, command: ReleaseEmail) -> Events:
    owner = state.emails.get(command.email_hmac)
    if owner is None or owner.user_id != command.user_id:
        return ()
    return (EmailReleased(email_hmac=command.email_hmac, user_id=command.user_id),)


# --- sign-in attempts and sessions ---------------------------------------------------------------


def _reserve_address(state: State, command: ReserveSignIn, now_ms: int) -> Events:
    attempts = state.addresses.get(command.address_hmac, _NEW_ADDRESS)
    if refusal := _refusal(attempts, now_ms):
        reason, retry_after_ms = refusal
        return (
            AddressSignInRefused(
                address_hmac=command.address_hmac,
                username_hmac=command.username_hmac,
                attempt_id=command.attempt_id,
                reason=reason,
                retry_after_ms=retry_after_ms,
            ),
        )
    return (
        AddressReserved(
            address_hmac=command.address_hmac,
            username_hmac=command.username_hmac,
            attempt_id=command.attempt_id,
        ),
    )


def _reserve_user(person: Person, command: ReserveUserSignIn, now_ms: int) -> Events:
    if refusal := _refusal(person.attempts_at(command.address_hmac), now_ms):
        reason, retry_after_ms = refusal
        return (
            UserSignInRefused(
                address_hmac=command.address_hmac,
                username_hmac=command.username_hmac,
                attempt_id=command.attempt_id,
                reason=reason,
                retry_after_ms=retry_after_ms,
            ),
        )
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


def _refusal(attempts: Attempts, now_ms: int) -> tuple[Reason, int] | None:
    """Blocked by wrong attempts, or busy while those reserved might become too many wrong ones."""
    wrong = attempts.wrong(now_ms)
    if wrong >= ATTEMPTS_MAX:
        return Reason.SIGN_IN_BLOCKED, attempts.wrong_ms[-ATTEMPTS_MAX] + WINDOW_MS - now_ms
    if wrong + attempts.reserved(now_ms) >= ATTEMPTS_MAX:
        return Reason.SIGN_IN_BUSY, 0
    return None


def _settle(person: Person, command: SettleSignIn, cause: Cause) -> Events:
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
        *(_ended(user, each, SessionEnd.EXPIRED) for each in expired),
        *(_ended(user, each, SessionEnd.TOO_MANY) for each in crowded_out),
    )


def _ended(user: User, session_id: str, reason: SessionEnd) -> SessionEnded:
    return SessionEnded(
        user_id=user.user_id,
        username_hmac=user.username_hmac,
        session_id=session_id,
        reason=reason,
    )


def _refresh(person: Person, command: RefreshSession, now_ms: int) -> Events:
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
    return (_ended(user, command.session_id, SessionEnd.REUSED),)


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


def _change_password(person: Person, command: ChangePassword) -> Events:
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
        *(_ended(user, each, SessionEnd.PASSWORD_CHANGED) for each in others),
        *api_keys.all_deleted(person, user, ApiKeyEnd.PASSWORD_CHANGED),
    )


def _address_settled(command: SettleAddressSignIn) -> AddressSettled:
    return AddressSettled(
        address_hmac=command.address_hmac, attempt_id=command.attempt_id, wrong=command.wrong
    )


def _end_session(person: Person, command: EndSession) -> Events:
    if person.user is None or command.session_id not in person.sessions:
        return (_refused(command, Reason.UNKNOWN_SESSION),)
    return (_ended(person.user, command.session_id, SessionEnd.SIGNED_OUT),)


# --- what operators do ---------------------------------------------------------------------------


def _operate(person: Person, command: ChangeRole | LockUser | UnlockUser, cause: Cause) -> Events:
    """Change the user, also into what it is already: whoever asked gets an answer of their own.

    An attempt that was reserved before a lock is refused when it is settled.
    """
    user = person.user
    if user is None:
        return (_refused(command, Reason.UNKNOWN_USER),)
    sessions = tuple(person.sessions)  # by whose clock one expired does not matter here
    match command:
        case ChangeRole(role=role):
            changed = RoleChanged(user=_with(user, role=role, now_ms=cause.time_ms))
            if role == user.role:
                return (changed,)
            return (
                changed,
                *(_ended(user, each, SessionEnd.ROLE_CHANGED) for each in sessions),
                *api_keys.all_deleted(person, user, ApiKeyEnd.ROLE_CHANGED),
            )
        case LockUser():
            locked = UserLocked(user=_with(user, locked=True, now_ms=cause.time_ms))
            return (
                locked,
                *(_ended(user, each, SessionEnd.USER_LOCKED) for each in sessions),
                *api_keys.all_deleted(person, user, ApiKeyEnd.USER_LOCKED),
            )
        case UnlockUser():
            return (UserUnlocked(user=_with(user, locked=False, now_ms=cause.time_ms)),)


def _erase(person: Person, command: EraseUser) -> Events:
    """Forget the user and end all sessions and API keys.

    An email change under way returns what it is granted.
    The name is free at once: who takes it next is another user, whom this command does not name.
    """
    user = person.user
    if user is None or user.user_id != command.user_id:
        return (_refused(command, Reason.UNKNOWN_USER),)
    erased = UserErased(
        user_id=user.user_id,
        username_hmac=user.username_hmac,
        email_hmac=user.email_hmac,
        key_id=user.profile.key_id,
    )
    return (
        erased,
        *(_ended(user, each, SessionEnd.USER_ERASED) for each in person.sessions),
        *api_keys.all_deleted(person, user, ApiKeyEnd.USER_ERASED),
    )


def _with(user: User, *, now_ms: int, role: Role | None = None, locked: bool | None = None) -> User:
    return msgspec.structs.replace(
        user,
        role=user.role if role is None else role,
        locked=user.locked if locked is None else locked,
        updated_at_ms=now_ms,
    )


# --- what is bounded by time ---------------------------------------------------------------------


def _forgotten(state: State, events: Events, now_ms: int) -> Events:
    """One entity whose window passed, unless the outcome itself is about it."""
    if not state.due or state.due[0][0] > now_ms:
        return ()
    entity = state.due[0][1]
    if any(entity_of(each) == entity for each in events):
        return ()
    return (AttemptsForgotten(entity=entity),)
