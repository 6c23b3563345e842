"""Messages of the auth service: requests of gateways, and what it answers.

What is secret is sealed (libsodium sealed box, base64): requests to the auth service's key,
answers to the key that the asking gateway process sent along. The sealed contents are the
`*Secret` structs below, as JSON.
"""

from enum import StrEnum
from typing import ClassVar, Final

import msgspec

from schemas.codec import Codec, Message


class Reason(StrEnum):
    """Why auth refused."""

    INVALID_CREDENTIALS = "invalid-credentials"
    SIGN_IN_BLOCKED = "sign-in-blocked"
    USER_LOCKED = "user-locked"
    INVALID_SECRET = "invalid-secret"  # noqa: S105  # the sealed box does not open
    UNAVAILABLE = "unavailable"
    BUSY = "busy"
    INVALID_REFRESH_TOKEN = "invalid-refresh-token"  # noqa: S105  # a reason


class Sealed(msgspec.Struct, frozen=True, gc=False):
    """A libsodium sealed box, base64, and the id of the key it was sealed to."""

    key_id: str
    box: str


class RegisterSecret(msgspec.Struct, frozen=True, kw_only=True):
    """What a registration seals; validated and normalised by the gateway."""

    username: str
    email: str
    password: str
    first_name: str
    last_name: str
    phone: str | None = None
    date_of_birth: str | None = None
    marketing_emails_consent: bool = False


class SignInSecret(msgspec.Struct, frozen=True, kw_only=True):
    """What a sign-in seals; `address` is the caller's network address."""

    username: str
    password: str
    address: str


class RefreshSecret(msgspec.Struct, frozen=True, kw_only=True):
    """What a refresh seals."""

    refresh_token: str


class ChangePasswordSecret(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of the password seals; `address` is the caller's network address."""

    username_hmac: str
    session_id: str
    current_password: str
    new_password: str
    address: str


class TokensSecret(msgspec.Struct, frozen=True, kw_only=True):
    """What a validation seals."""

    access_tokens: tuple[str, ...]


class SignedInSecret(msgspec.Struct, frozen=True, kw_only=True):
    """What the answer to a right sign-in or refresh seals; `expires_in` is in seconds."""

    access_token: str
    expires_in: int
    refresh_token: str = ""


# --- requests ----------------------------------------------------------------------------------


class Register(Message):
    """Hash the password, make the user's key, forward the registration to identity.

    Identity answers the waiting client (`user-registered` or `registration-rejected`);
    auth does only with `Refused`, when it cannot forward.
    """

    TYPE: ClassVar[str] = "auth.register.v1"
    secret: Sealed


class SignIn(Message):
    """Check a password and start a session; `reply_key` is the gateway's public key, base64."""

    TYPE: ClassVar[str] = "auth.sign-in.v1"
    secret: Sealed
    reply_key: str


class Refresh(Message):
    """Exchange a refresh token for new tokens; `reply_key` as in a sign-in."""

    TYPE: ClassVar[str] = "auth.refresh.v1"
    secret: Sealed
    reply_key: str


class ChangePassword(Message):
    """Check the current password and take the new one."""

    TYPE: ClassVar[str] = "auth.change-password.v1"
    secret: Sealed


class Validate(Message):
    """Say who holds each of these access tokens and API keys."""

    TYPE: ClassVar[str] = "auth.validate.v1"
    secret: Sealed


# --- answers -----------------------------------------------------------------------------------


class SignedIn(Message):
    """The password or refresh token was right; sealed to the request's `reply_key`."""

    TYPE: ClassVar[str] = "auth.signed-in.v1"
    secret: Sealed


class PasswordChanged(Message):
    """The new password counts; these sessions and API keys of the user have ended."""

    TYPE: ClassVar[str] = "auth.password-changed.v1"
    ended: tuple[str, ...] = ()


class Verdict(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A token is good: who holds it, and until when (ms since 1970).

    Of an API key `session_id` is its id, and `scopes` are all it may do; a session has no scopes.
    """

    user_id: str
    username_hmac: str
    session_id: str
    role: str
    expires_at_ms: int
    scopes: tuple[str, ...] | None = None


class Verdicts(Message):
    """One for each token that was asked about, in their order; None for one that is not good."""

    TYPE: ClassVar[str] = "auth.verdicts.v1"
    verdicts: tuple[Verdict | None, ...]


class Refused(Message):
    """Nothing was granted; `retry_after_s` is 0 when trying again does not help.

    `of_address`: until then nobody at this address is let try a password.
    """

    TYPE: ClassVar[str] = "auth.refused.v1"
    reason: Reason
    retry_after_s: int = 0
    of_address: bool = False


REQUESTS: Final = Codec(Register, SignIn, Refresh, ChangePassword, Validate)
ANSWERS: Final = Codec(SignedIn, PasswordChanged, Verdicts, Refused)
