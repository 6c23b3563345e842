"""What operators do to one user."""

import msgspec

from consumers.identity import api_keys
from consumers.identity.refusals import Events, refused
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
    sessions = tuple(person.sessions)  # by whose clock one expired does not matter here
    match command:
        case ChangeRole(role=role):
            changed = RoleChanged(user=_with(user, role=role, now_ms=cause.time_ms))
            if role == user.role:
                return (changed,)
            return (
                changed,
                *(ended(user, each, SessionEnd.ROLE_CHANGED) for each in sessions),
                *api_keys.all_deleted(person, user, ApiKeyEnd.ROLE_CHANGED),
            )
        case LockUser():
            locked = UserLocked(user=_with(user, locked=True, now_ms=cause.time_ms))
            return (
                locked,
                *(ended(user, each, SessionEnd.USER_LOCKED) for each in sessions),
                *api_keys.all_deleted(person, user, ApiKeyEnd.USER_LOCKED),
            )
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
    return (
        erased,
        *(ended(user, each, SessionEnd.USER_ERASED) for each in person.sessions),
        *api_keys.all_deleted(person, user, ApiKeyEnd.USER_ERASED),
    )


def _with(user: User, *, now_ms: int, role: Role | None = None, locked: bool | None = None) -> User:
    return msgspec.structs.replace(
        user,
        role=user.role if role is None else role,
        locked=user.locked if locked is None else locked,
        updated_at_ms=now_ms,
    )
