"""From identity's events to one row per user; ciphertexts are stored as they come."""

from collections.abc import Mapping, Sequence
from typing import Final

from read_models.users.table import USERS
from runtime.projection import TableSpec
from runtime.table import Change, Delete, Put, Row
from schemas.codec import Codec, Message
from schemas.envelope import Recorded
from schemas.identity import (
    EVENTS,
    Ciphertext,
    ProfileUpdated,
    RoleChanged,
    User,
    UserErased,
    UserLocked,
    UserRegistered,
    UserUnlocked,
)
from schemas.topics import IDENTITY_JOURNAL

_Changes = UserRegistered | ProfileUpdated | RoleChanged | UserLocked | UserUnlocked


class UsersProjection:
    """The `Projection` of users."""

    name: str = "users"
    journals: Mapping[str, Codec] = {IDENTITY_JOURNAL: EVENTS}
    tables: Sequence[TableSpec] = (USERS,)
    concerns = frozenset(each.TYPE for each in (*_Changes.__args__, UserErased))

    def project(self, event: Message, recorded: Recorded) -> Sequence[Change]:
        """The user after the event, with its entity's version; one that was erased has no row."""
        if isinstance(event, UserErased):
            return (Delete(USERS.name, {"user_id": event.user_id}),)
        if isinstance(event, _Changes):
            return (Put(USERS.name, _row(event.user, recorded.entity_version)),)
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
