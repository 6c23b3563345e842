"""Who gets an API key, and when keys end: pure decisions about one user."""

from consumers.identity.outcomes import Events, refused
from consumers.identity.state import API_KEYS_MAX, Person
from schemas.envelope import Cause
from schemas.identity import (
    ApiKeyDeleted,
    ApiKeyEnd,
    ApiKeyMade,
    DeleteApiKey,
    MakeApiKey,
    Reason,
    User,
)


def make(person: Person, command: MakeApiKey, cause: Cause) -> Events:
    """Make the key, unless the session that asked has ended: its key would outlive it."""
    user, session = person.user, person.sessions.get(command.session_id)
    if user is None or session is None or session.expires_ms <= cause.time_ms:
        return (refused(command, Reason.UNKNOWN_SESSION),)
    expired = [each for each, at in person.api_keys.items() if at and at <= cause.time_ms]
    if len(person.api_keys) - len(expired) >= API_KEYS_MAX:
        return (refused(command, Reason.TOO_MANY_API_KEYS),)
    made = ApiKeyMade(
        user_id=user.user_id,
        username_hmac=user.username_hmac,
        api_key_id=cause.new_id(),
        role=user.role,
        name=command.name,
        scopes=command.scopes,
        secret_hash=command.secret_hash,
        made_at_ms=cause.time_ms,
        expires_at_ms=command.expires_at_ms,
    )
    return (*(_deleted(user, each, ApiKeyEnd.EXPIRED) for each in expired), made)


def delete(person: Person, command: DeleteApiKey) -> Events:
    """Delete the key, if the user has it."""
    if person.user is None or command.api_key_id not in person.api_keys:
        return (refused(command, Reason.UNKNOWN_API_KEY),)
    return (_deleted(person.user, command.api_key_id, ApiKeyEnd.DELETED),)


def all_deleted(person: Person, user: User, reason: ApiKeyEnd) -> Events:
    """The end of all the user's keys."""
    return tuple(_deleted(user, each, reason) for each in person.api_keys)


def _deleted(user: User, api_key_id: str, reason: ApiKeyEnd) -> ApiKeyDeleted:
    return ApiKeyDeleted(
        user_id=user.user_id,
        username_hmac=user.username_hmac,
        api_key_id=api_key_id,
        reason=reason,
    )
