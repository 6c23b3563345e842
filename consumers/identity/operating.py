"""What operators do to one user."""

import msgspec

from consumers.identity import api_keys
from consumers.identity.outcomes import Events, refused
from consumers.identity.sessions import ended
from consumers.identity.state import Person
from schemas.envelope import Cause
from schemas.identity import (
    ApiKeyEnd,
    ChangeRole,
    EraseUser,
    LockUser,
    Reason,
    Role,
    RoleChanged,
    SessionEnd,
    UnlockUser,
    User,
    UserErased,
    UserLocked,
    UserUnlocked,
)


def operate(person: Person, command: ChangeRole | LockUser | UnlockUser, cause: Cause) -> Events:
    """Change the user, also into what it is already: whoever asked gets an answer of their own.

    An attempt that was reserved before a lock is refused when it is settled.
    """
    user = person.user
    if user is None:
        return (refused(command, Reason.UNKNOWN_USER),)
    match command:
        case ChangeRole(role=role):
            changed = RoleChanged(user=_with(user, role=role, now_ms=cause.time_ms))
            if role == user.role:
                return (changed,)
            ends = _all_ended(person, user, SessionEnd.ROLE_CHANGED, ApiKeyEnd.ROLE_CHANGED)
            return (changed, *ends)
        case LockUser():
            locked = UserLocked(user=_with(user, locked=True, now_ms=cause.time_ms))
            ends = _all_ended(person, user, SessionEnd.USER_LOCKED, ApiKeyEnd.USER_LOCKED)
            return (locked, *ends)
        case UnlockUser():
            return (UserUnlocked(user=_with(user, locked=False, now_ms=cause.time_ms)),)


def erase(person: Person, command: EraseUser) -> Events:
    """Forget the user and end all sessions and API keys.

    An email change under way returns what it is granted.
    The name is free at once: who takes it next is another user, whom this command does not name.
    """
    user = person.user
    if user is None or user.user_id != command.user_id:
        return (refused(command, Reason.UNKNOWN_USER),)
    erased = UserErased(
        user_id=user.user_id,
        username_hmac=user.username_hmac,
        email_hmac=user.email_hmac,
        key_id=user.profile.key_id,
    )
    return (erased, *_all_ended(person, user, SessionEnd.USER_ERASED, ApiKeyEnd.USER_ERASED))


def _all_ended(person: Person, user: User, session: SessionEnd, key: ApiKeyEnd) -> Events:
    """The end of all sessions, by whose clock one expired does not matter, and of all API keys."""
    return (
        *(ended(user, each, session) for each in person.sessions),
        *api_keys.all_deleted(person, user, key),
    )


def _with(user: User, *, now_ms: int, role: Role | None = None, locked: bool | None = None) -> User:
    return msgspec.structs.replace(
        user,
        role=user.role if role is None else role,
        locked=user.locked if locked is None else locked,
        updated_at_ms=now_ms,
    )
