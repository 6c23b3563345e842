"""Messages of identity: usernames, emails, profiles, sign-in attempts, sessions.

Keys are HMACs; what is personal travels only as `Ciphertext` under the user's own key.
The entity of an event is `user:<username hmac>`, `email:<email hmac>` or `address:<hmac>`.
"""

from enum import StrEnum
from typing import ClassVar, Final

import msgspec

from schemas.codec import Codec, Message


class Reason(StrEnum):
    """Why identity refused."""

    USERNAME_TAKEN = "username-taken"
    EMAIL_TAKEN = "email-taken"
    UNKNOWN_USER = "unknown-user"
    UNKNOWN_SESSION = "unknown-session"
    EMAIL_CHANGE_PENDING = "email-change-pending"
    SIGN_IN_BLOCKED = "sign-in-blocked"
    SIGN_IN_BUSY = "sign-in-busy"


class Ciphertext(msgspec.Struct, frozen=True, gc=False):
    """Bytes under a personal key of the vault: key id, nonce and bytes, base64."""

    key_id: str
    nonce: str
    bytes: str


class User(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A user after an event.

    `profile` holds username, email, names, phone and date of birth as one JSON object,
    `password_hash` the argon2id string; both encrypted.
    """

    user_id: str
    username_hmac: str
    email_hmac: str
    profile: Ciphertext
    password_hash: Ciphertext
    marketing_emails_consent: bool
    role: str = "trader"
    created_at_ms: int = 0
    updated_at_ms: int = 0


# --- commands from auth and gateway --------------------------------------------------------------


class RegisterUser(Message):
    """Claim a username, then its email."""

    TYPE: ClassVar[str] = "identity.register-user.v1"
    username_hmac: str
    email_hmac: str
    profile: Ciphertext
    password_hash: Ciphertext
    marketing_emails_consent: bool


class UpdateProfile(Message):
    """Replace the encrypted profile; another email is claimed first."""

    TYPE: ClassVar[str] = "identity.update-profile.v1"
    username_hmac: str
    profile: Ciphertext
    email_hmac: str
    marketing_emails_consent: bool


class ReserveSignIn(Message):
    """Reserve one attempt of this address, then of this username, before a password is checked."""

    TYPE: ClassVar[str] = "identity.reserve-sign-in.v1"
    address_hmac: str
    username_hmac: str
    attempt_id: str


class SettleSignIn(Message):
    """The reserved attempt was right (gives it back, starts the session) or wrong (counts)."""

    TYPE: ClassVar[str] = "identity.settle-sign-in.v1"
    address_hmac: str
    username_hmac: str
    attempt_id: str
    right: bool
    expires_at_ms: int = 0


class EndSession(Message):
    """Sign out."""

    TYPE: ClassVar[str] = "identity.end-session.v1"
    username_hmac: str
    session_id: str


# --- facts between identity's partitions ---------------------------------------------------------


class ClaimEmail(Message):
    """Give this email to that request of that user, unless somebody has it."""

    TYPE: ClassVar[str] = "identity.claim-email.v1"
    email_hmac: str
    user_id: str
    username_hmac: str
    request_id: str


class ReleaseEmail(Message):
    """The user gave this email up."""

    TYPE: ClassVar[str] = "identity.release-email.v1"
    email_hmac: str
    user_id: str


class SettleEmailClaim(Message):
    """The answer to a claim, back to the user's partition."""

    TYPE: ClassVar[str] = "identity.settle-email-claim.v1"
    username_hmac: str
    email_hmac: str
    user_id: str
    request_id: str
    granted: bool


# The helper that owns identity completes facts and events here.
COMMANDS: Final = Codec(
    RegisterUser, UpdateProfile, ReserveSignIn, SettleSignIn, EndSession,
    ClaimEmail, ReleaseEmail, SettleEmailClaim,
)
