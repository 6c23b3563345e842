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
    PROFILE_CHANGED = "profile-changed"
    SIGN_IN_BLOCKED = "sign-in-blocked"
    SIGN_IN_BUSY = "sign-in-busy"
    TOO_MANY_API_KEYS = "too-many-api-keys"
    UNKNOWN_API_KEY = "unknown-api-key"
    REFRESH_TOKEN_USED = "refresh-token-used"  # noqa: S105  # a reason


class Role(StrEnum):
    """What a user is; which routes that opens, gateway/access.py says."""

    TRADER = "trader"
    ANALYST = "analyst"
    OPERATOR = "operator"


class Scope(StrEnum):
    """What an API key may do on behalf of its user; none implies another."""

    READ = "read"
    TRADE = "trade"
    DEPOSIT = "deposit"
    WITHDRAW = "withdraw"


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
    role: Role = Role.TRADER
    locked: bool = False
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
    """Replace the encrypted profile; another email is claimed first.

    `based_on` is the nonce of the profile that the new one was merged onto: only while that is
    still the user's, no other change is overwritten.
    """

    TYPE: ClassVar[str] = "identity.update-profile.v1"
    username_hmac: str
    based_on: str
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
    """The reserved attempt was right (gives it back, starts the session) or wrong (counts).

    The session lives until `expires_at_ms`, longer when it is refreshed; `refresh_hmac` is what
    stays of its first refresh token, `rehashed` the same password under newer parameters.
    """

    TYPE: ClassVar[str] = "identity.settle-sign-in.v1"
    address_hmac: str
    username_hmac: str
    attempt_id: str
    right: bool
    expires_at_ms: int = 0
    refresh_hmac: str = ""
    rehashed: Ciphertext | None = None


class RefreshSession(Message):
    """Exchange the session's refresh token of this generation for its next one.

    The generation is what auth once wrote into the token, under a key that it alone has.
    """

    TYPE: ClassVar[str] = "identity.refresh-session.v1"
    username_hmac: str
    session_id: str
    generation: int
    refresh_hmac: str
    next_hmac: str
    expires_at_ms: int


class ChangePassword(Message):
    """The reserved attempt was right: this is the new password's hash; other sessions end."""

    TYPE: ClassVar[str] = "identity.change-password.v1"
    address_hmac: str
    username_hmac: str
    attempt_id: str
    session_id: str
    password_hash: Ciphertext


class EndSession(Message):
    """Sign out, here or elsewhere."""

    TYPE: ClassVar[str] = "identity.end-session.v1"
    username_hmac: str
    session_id: str


class MakeApiKey(Message):
    """Let a bot act for the user within these scopes; only who is signed in makes keys.

    Of the key itself only its SHA-256 is here, 64 hex digits; `name` is encrypted.
    """

    TYPE: ClassVar[str] = "identity.make-api-key.v1"
    username_hmac: str
    session_id: str
    name: Ciphertext
    scopes: tuple[Scope, ...]
    secret_hash: str
    expires_at_ms: int | None = None


class DeleteApiKey(Message):
    """Let this key be good for nothing."""

    TYPE: ClassVar[str] = "identity.delete-api-key.v1"
    username_hmac: str
    api_key_id: str


# --- commands from operators ---------------------------------------------------------------------


class ChangeRole(Message):
    """Give a user another role; tokens carry the role, so all sessions end."""

    TYPE: ClassVar[str] = "identity.change-role.v1"
    OPERATORS_ONLY: ClassVar[bool] = True
    username_hmac: str
    role: Role


class LockUser(Message):
    """Let nobody sign in as this user, and end all sessions."""

    TYPE: ClassVar[str] = "identity.lock-user.v1"
    OPERATORS_ONLY: ClassVar[bool] = True
    username_hmac: str


class UnlockUser(Message):
    """Let the user sign in again."""

    TYPE: ClassVar[str] = "identity.unlock-user.v1"
    OPERATORS_ONLY: ClassVar[bool] = True
    username_hmac: str


class EraseUser(Message):
    """Forget this user of this name for ever: the person's key is destroyed once it is decided.

    Both are named, so that asking again never erases who took the name afterwards.
    """

    TYPE: ClassVar[str] = "identity.erase-user.v1"
    OPERATORS_ONLY: ClassVar[bool] = True
    username_hmac: str
    user_id: str


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


class ReserveUserSignIn(Message):
    """The address may try; now reserve the attempt of the username too."""

    TYPE: ClassVar[str] = "identity.reserve-user-sign-in.v1"
    address_hmac: str
    username_hmac: str
    attempt_id: str


class SettleAddressSignIn(Message):
    """How the attempt ended: a wrong one counts against its address, any other is given back."""

    TYPE: ClassVar[str] = "identity.settle-address-sign-in.v1"
    address_hmac: str
    attempt_id: str
    wrong: bool


# --- events ------------------------------------------------------------------------------------
# "Answers" means that the waiting client gets this event as its outcome.


class RegistrationStarted(Message):
    """The username is held while the email is claimed; `user` is what it will become."""

    TYPE: ClassVar[str] = "identity.registration-started.v1"
    user: User


class UserRegistered(Message):
    """The email was granted: the user exists from here on (answers)."""

    TYPE: ClassVar[str] = "identity.user-registered.v1"
    user: User


class RegistrationRejected(Message):
    """Username or email is taken (answers); `key_id` is the vault key that nobody needs now."""

    TYPE: ClassVar[str] = "identity.registration-rejected.v1"
    username_hmac: str
    key_id: str
    reason: Reason


class EmailChangeStarted(Message):
    """Another email is being claimed for `user`, who stays as before until it is granted."""

    TYPE: ClassVar[str] = "identity.email-change-started.v1"
    user: User
    request_id: str


class ProfileUpdated(Message):
    """The user after an update (answers); `released_email_hmac` is the email given up, if any."""

    TYPE: ClassVar[str] = "identity.profile-updated.v1"
    user: User
    released_email_hmac: str | None = None


class CommandRefused(Message):
    """A change of a user or a sign-out was refused (answers); `request_id`: of an email change."""

    TYPE: ClassVar[str] = "identity.command-refused.v1"
    username_hmac: str
    command: str
    reason: Reason
    request_id: str | None = None


class EmailClaimed(Message):
    """The email belongs to this user; the entity is the email."""

    TYPE: ClassVar[str] = "identity.email-claimed.v1"
    email_hmac: str
    user_id: str
    username_hmac: str
    request_id: str


class EmailTaken(Message):
    """The email belongs to somebody else and stays there; the entity is the email."""

    TYPE: ClassVar[str] = "identity.email-taken.v1"
    email_hmac: str
    user_id: str
    username_hmac: str
    request_id: str


class EmailReleased(Message):
    """The email is free again; the entity is the email."""

    TYPE: ClassVar[str] = "identity.email-released.v1"
    email_hmac: str
    user_id: str


class EmailClaimReturned(Message):
    """A grant came for a request that nobody knows any more: it goes back to the email."""

    TYPE: ClassVar[str] = "identity.email-claim-returned.v1"
    username_hmac: str
    email_hmac: str
    user_id: str


class AddressReserved(Message):
    """The address may try once more; the entity is the address."""

    TYPE: ClassVar[str] = "identity.address-reserved.v1"
    address_hmac: str
    username_hmac: str
    attempt_id: str


class AddressSettled(Message):
    """The attempt counts against the address, or is given back; the entity is the address."""

    TYPE: ClassVar[str] = "identity.address-settled.v1"
    address_hmac: str
    attempt_id: str
    wrong: bool


class AddressSignInRefused(Message):
    """The address has to wait (answers); the entity is the address."""

    TYPE: ClassVar[str] = "identity.address-sign-in-refused.v1"
    address_hmac: str
    username_hmac: str
    attempt_id: str
    reason: Reason
    retry_after_ms: int


class UserSignInRefused(Message):
    """The username has to wait (answers); the entity is the user, known or not."""

    TYPE: ClassVar[str] = "identity.user-sign-in-refused.v1"
    address_hmac: str
    username_hmac: str
    attempt_id: str
    reason: Reason
    retry_after_ms: int


class SignInReserved(Message):
    """The password may be checked (answers) against this hash; without one nobody has the name.

    The reservation carries the credential that holds at this point of the user's partition, so
    a sign-in right after a registration or a password change cannot see an older one.
    """

    TYPE: ClassVar[str] = "identity.sign-in-reserved.v1"
    address_hmac: str
    username_hmac: str
    attempt_id: str
    user_id: str | None = None
    password_hash: Ciphertext | None = None


class SignInFailed(Message):
    """The password was wrong, which counts (answers)."""

    TYPE: ClassVar[str] = "identity.sign-in-failed.v1"
    address_hmac: str
    username_hmac: str
    attempt_id: str


class SignInLocked(Message):
    """The password was right, but the user is locked (answers); the attempt is given back."""

    TYPE: ClassVar[str] = "identity.sign-in-locked.v1"
    address_hmac: str
    username_hmac: str
    attempt_id: str


class SessionStarted(Message):
    """The password was right, which gives the attempt back (answers).

    `password_hash` is the same password's, when it was hashed anew.
    """

    TYPE: ClassVar[str] = "identity.session-started.v1"
    address_hmac: str
    username_hmac: str
    attempt_id: str
    user_id: str
    session_id: str
    role: str
    expires_at_ms: int
    refresh_hmac: str = ""
    password_hash: Ciphertext | None = None


class SessionRefreshed(Message):
    """The session lives on, and only its newest refresh token counts (answers)."""

    TYPE: ClassVar[str] = "identity.session-refreshed.v1"
    user_id: str
    username_hmac: str
    session_id: str
    role: str
    generation: int
    refresh_hmac: str
    expires_at_ms: int


class RefreshRefused(Message):
    """There is no such session, or its token was used a moment ago: nothing changes (answers)."""

    TYPE: ClassVar[str] = "identity.refresh-refused.v1"
    username_hmac: str
    session_id: str
    reason: Reason


class PasswordChanged(Message):
    """The new hash counts from here on, which gives the attempt back (answers).

    `ended` are the user's other sessions and the API keys, which end with it.
    """

    TYPE: ClassVar[str] = "identity.password-changed.v1"
    address_hmac: str
    username_hmac: str
    attempt_id: str
    user_id: str
    session_id: str
    password_hash: Ciphertext
    ended: tuple[str, ...] = ()


class SessionEnd(StrEnum):
    """Why a session ended."""

    SIGNED_OUT = "signed-out"
    TOO_MANY = "too-many"
    ROLE_CHANGED = "role-changed"
    USER_LOCKED = "user-locked"
    EXPIRED = "expired"
    REUSED = "refresh-token-reused"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105  # a reason
    USER_ERASED = "user-erased"


class SessionEnded(Message):
    """Tokens of this session are dead; answers who signed out, or came with a used token."""

    TYPE: ClassVar[str] = "identity.session-ended.v1"
    user_id: str
    username_hmac: str
    session_id: str
    reason: SessionEnd = SessionEnd.SIGNED_OUT


class ApiKeyMade(Message):
    """From here on the key of this SHA-256 is good, until it is deleted or expires (answers).

    `role` is its user's, who has no other before all keys are deleted.
    """

    TYPE: ClassVar[str] = "identity.api-key-made.v1"
    user_id: str
    username_hmac: str
    api_key_id: str
    role: Role
    name: Ciphertext
    scopes: tuple[Scope, ...]
    secret_hash: str
    made_at_ms: int
    expires_at_ms: int | None = None


class ApiKeyEnd(StrEnum):
    """Why a key is good no more."""

    DELETED = "deleted"
    EXPIRED = "expired"
    ROLE_CHANGED = "role-changed"
    USER_LOCKED = "user-locked"
    USER_ERASED = "user-erased"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105  # a reason


class ApiKeyDeleted(Message):
    """The key is good for nothing; answers who deleted it."""

    TYPE: ClassVar[str] = "identity.api-key-deleted.v1"
    user_id: str
    username_hmac: str
    api_key_id: str
    reason: ApiKeyEnd = ApiKeyEnd.DELETED


class RoleChanged(Message):
    """The user has this role from here on, or had it already (answers)."""

    TYPE: ClassVar[str] = "identity.role-changed.v1"
    user: User


class UserLocked(Message):
    """Nobody can sign in as the user from here on, or could before (answers)."""

    TYPE: ClassVar[str] = "identity.user-locked.v1"
    user: User


class UserUnlocked(Message):
    """The user can sign in (answers)."""

    TYPE: ClassVar[str] = "identity.user-unlocked.v1"
    user: User


class UserErased(Message):
    """There is no such user any more, and name and email are free (answers).

    Whoever reads this destroys the vault's key `key_id`, without which no earlier event, command
    or row says who it was.
    """

    TYPE: ClassVar[str] = "identity.user-erased.v1"
    user_id: str
    username_hmac: str
    email_hmac: str
    key_id: str


class AttemptsForgotten(Message):
    """The window of an address, or of a username that nobody has, passed; `entity` is dropped."""

    TYPE: ClassVar[str] = "identity.attempts-forgotten.v1"
    entity: str


COMMANDS: Final = Codec(
    RegisterUser,
    UpdateProfile,
    ReserveSignIn,
    SettleSignIn,
    RefreshSession,
    ChangePassword,
    EndSession,
    MakeApiKey,
    DeleteApiKey,
    ChangeRole,
    LockUser,
    UnlockUser,
    EraseUser,
    ClaimEmail,
    ReleaseEmail,
    SettleEmailClaim,
    ReserveUserSignIn,
    SettleAddressSignIn,
)
EVENTS: Final = Codec(
    RegistrationStarted,
    UserRegistered,
    RegistrationRejected,
    EmailChangeStarted,
    ProfileUpdated,
    CommandRefused,
    EmailClaimed,
    EmailTaken,
    EmailReleased,
    EmailClaimReturned,
    AddressReserved,
    AddressSettled,
    AddressSignInRefused,
    UserSignInRefused,
    SignInReserved,
    SignInFailed,
    SignInLocked,
    SessionStarted,
    SessionRefreshed,
    RefreshRefused,
    PasswordChanged,
    SessionEnded,
    ApiKeyMade,
    ApiKeyDeleted,
    RoleChanged,
    UserLocked,
    UserUnlocked,
    UserErased,
    AttemptsForgotten,
)
