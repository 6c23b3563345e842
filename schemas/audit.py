"""Security events on `security.audit`: who did what, from where, without secrets or names.

People are HMACs of their usernames, addresses the HMACs of one day (runtime/security/pseudonyms);
both are what identity's journal has, so an event can be joined with it.
"""

from enum import StrEnum
from typing import ClassVar, Final

from schemas.codec import Codec, Message


class Happened(StrEnum):
    """What a security event tells."""

    SIGNED_IN = "signed-in"
    SIGN_IN_FAILED = "sign-in-failed"
    SIGN_IN_BLOCKED = "sign-in-blocked"
    SIGN_IN_LOCKED = "sign-in-locked"
    """The password was right, and the user is locked."""
    SESSION_ENDED = "session-ended"
    ROLE_REFUSED = "role-refused"
    ROLE_CHANGED = "role-changed"
    USER_LOCKED = "user-locked"
    USER_UNLOCKED = "user-unlocked"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105  # what happened
    REFRESH_REUSED = "refresh-reused"
    """A refresh token came again long after its use, so its session ended."""
    API_KEY_MADE = "api-key-made"
    API_KEY_DELETED = "api-key-deleted"
    SCOPE_REFUSED = "scope-refused"
    """An API key asked for what its scopes do not cover."""
    KEY_ROTATED = "key-rotated"
    """Auth found a new key that signs access tokens."""
    RATE_LIMITED = "rate-limited"
    USER_ERASED = "user-erased"


class SecurityEvent(Message):
    """One thing that happened.

    `user` and `address` are pseudonyms, `by` is the user id of who did it to `user` (absent for the
    command line), `call` a route or message type, `detail` a reason code, a role, a key id, a
    scope or the name of a limit; `api_key` the id of the API key that it is about or that asked.
    """

    TYPE: ClassVar[str] = "security.event.v1"
    happened: Happened
    user: str | None = None
    address: str | None = None
    request_id: str | None = None
    by: str | None = None
    call: str | None = None
    detail: str | None = None
    api_key: str | None = None


EVENTS: Final = Codec(SecurityEvent)
