"""From identity's events to rows of users, sessions and API keys; ciphertexts stay as they are."""

from collections.abc import Mapping, Sequence
from typing import Final

from read_models.users.table import API_KEYS, HEAD, SESSIONS, TABLES, USERS
from runtime.projection import TableSpec
from runtime.table import Change, Delete, Merge, Put, Row
from schemas.codec import Codec, Message
from schemas.envelope import Recorded
from schemas.identity import (
    EVENTS,
    ApiKeyDeleted,
    ApiKeyMade,
    Ciphertext,
    ProfileUpdated,
    RoleChanged,
    SessionEnded,
    SessionRefreshed,
    SessionStarted,
    User,
    UserErased,
    UserLocked,
    UserRegistered,
    UserUnlocked,
)
from schemas.topics import IDENTITY_JOURNAL

_Changes = UserRegistered | ProfileUpdated | RoleChanged | UserLocked | UserUnlocked
USER_EVENTS: Final = frozenset(each.TYPE for each in _Changes.__args__)
SESSION_EVENTS: Final = frozenset({SessionStarted.TYPE, SessionRefreshed.TYPE, SessionEnded.TYPE})
API_KEY_EVENTS: Final = frozenset({ApiKeyMade.TYPE, ApiKeyDeleted.TYPE})


class UsersProjection:
    """The `Projection` of users."""

    name: str = "users"
    journals: Mapping[str, Codec] = {IDENTITY_JOURNAL: EVENTS}
    tables: Sequence[TableSpec] = TABLES
    concerns = USER_EVENTS | SESSION_EVENTS | API_KEY_EVENTS | {UserErased.TYPE}

    def project(self, event: Message, recorded: Recorded) -> Sequence[Change]:
        """The user, session or API key after the event, with its version; none once erased."""
        match event:
            case SessionStarted() | SessionRefreshed() | SessionEnded():
                return (_session(event, recorded), _head(event, recorded))
            case ApiKeyMade() | ApiKeyDeleted():
                return (_api_key(event), _api_keys_head(event, recorded))
            case UserErased():
                return (Delete(USERS.name, {"user_id": event.user_id}),)
            case _ if isinstance(event, _Changes):
                return (Put(USERS.name, _row(event.user, recorded.entity_version)),)
            case _:
                return ()


PROJECTION: Final = UsersProjection()


def _row(user: User, version: int) -> Row:
    return {
        "user_id": user.user_id,
        "username_hmac": user.username_hmac,
        "email_hmac": user.email_hmac,
        "profile": _stored(user.profile),
        "marketing_emails_consent": user.marketing_emails_consent,
        "role": user.role.value,
        "created_at_ms": user.created_at_ms,
        "updated_at_ms": user.updated_at_ms,
        "version": version,
    }


def _stored(ciphertext: Ciphertext) -> Row:
    return {
        "key_id": ciphertext.key_id,
        "nonce": ciphertext.nonce,
        "bytes": ciphertext.bytes,
    }


def _session(event: SessionStarted | SessionRefreshed | SessionEnded, recorded: Recorded) -> Change:
    key = {"user_id": event.user_id, "session_id": event.session_id}
    if isinstance(event, SessionEnded):
        return Delete(SESSIONS.name, key)
    now_ms = recorded.cause.time_ms
    used = {"last_used_at_ms": now_ms, "expires_at_ms": event.expires_at_ms}
    if isinstance(event, SessionRefreshed):
        return Merge(SESSIONS.name, key, used)
    return Put(SESSIONS.name, {**key, "created_at_ms": now_ms, **used})


def _head(event: SessionStarted | SessionRefreshed | SessionEnded, recorded: Recorded) -> Change:
    key = {"user_id": event.user_id, "session_id": HEAD}
    return Put(SESSIONS.name, {**key, "version": recorded.entity_version})


def _api_key(event: ApiKeyMade | ApiKeyDeleted) -> Change:
    """Without what is kept of the key itself, which is auth's business alone."""
    key = {"user_id": event.user_id, "api_key_id": event.api_key_id}
    if isinstance(event, ApiKeyDeleted):
        return Delete(API_KEYS.name, key)
    made = {
        "name": _stored(event.name),
        "scopes": [each.value for each in event.scopes],
        "made_at_ms": event.made_at_ms,
        "expires_at_ms": event.expires_at_ms,
    }
    return Put(API_KEYS.name, {**key, **made})


def _api_keys_head(event: ApiKeyMade | ApiKeyDeleted, recorded: Recorded) -> Change:
    key = {"user_id": event.user_id, "api_key_id": HEAD}
    return Put(API_KEYS.name, {**key, "version": recorded.entity_version})
