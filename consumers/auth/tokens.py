"""Access tokens: JWT as RFC 9068 has them (typ at+jwt), signed with Ed25519."""

import base64
import binascii
import hashlib
import secrets
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runtime.security.files import SIGN, read_secret

ISSUER: Final = "cnop"
AUDIENCE: Final = "cnop-api"
TYPE: Final = "at+jwt"
_ALGORITHM: Final = "EdDSA"
_LENGTH_MAX: Final = 2_048
_KEY_ID_DIGITS: Final = 16
_KNOWN_MAX: Final = 10_000
"""Tokens whose signature was found good and is not checked again."""
_REQUIRED: Final = ["iss", "aud", "sub", "sid", "jti", "iat", "exp", "role", "unh"]


class InvalidToken(Exception):  # noqa: N818  # named by what it means
    """Not a token of ours, or not any more."""


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """What a token says; `unh` is the HMAC of the username, `iat` and `exp` seconds since 1970."""

    iss: str
    aud: str
    sub: str
    sid: str
    jti: str
    iat: int
    exp: int
    role: str
    unh: str


class Tokens:
    """Issues and reads access tokens of one key; `kid` names it."""

    def __init__(self, private: bytes) -> None:
        self._key: Final = Ed25519PrivateKey.from_private_bytes(private)
        self._public: Final = self._key.public_key()
        digest = hashlib.sha256(self._public.public_bytes_raw()).hexdigest()
        self.kid: Final = digest[:_KEY_ID_DIGITS]
        self._header: Final = {"alg": _ALGORITHM, "kid": self.kid, "typ": TYPE}
        self._signed: Final = lru_cache(_KNOWN_MAX)(self._checked)

    @classmethod
    def of(cls, directory: Path) -> "Tokens":
        """With the signing key of this secrets directory."""
        return cls(read_secret(directory, SIGN))

    def issue(  # noqa: PLR0913  # one keyword per claim
        self,
        *,
        user_id: str,
        username_hmac: str,
        session_id: str,
        role: str,
        issued_at_s: int,
        expires_at_s: int,
    ) -> str:
        """A signed token for this session."""
        claims = Claims(
            iss=ISSUER,
            aud=AUDIENCE,
            sub=user_id,
            sid=session_id,
            jti=secrets.token_hex(16),
            iat=issued_at_s,
            exp=expires_at_s,
            role=role,
            unh=username_hmac,
        )
        payload = msgspec.to_builtins(claims)
        return jwt.encode(payload, self._key, algorithm=_ALGORITHM, headers=self._header)

    def read(self, token: str) -> Claims:
        """The claims of a token that we signed and that has not expired.

        Raises:
            InvalidToken: anything else.
        """
        claims = self._signed(token)
        if claims.exp <= time.time():
            raise InvalidToken
        return claims

    def _checked(self, token: str) -> Claims:
        """The claims of a token that we signed."""
        if len(token) > _LENGTH_MAX or not _is_canonical(token):
            raise InvalidToken
        try:
            if jwt.get_unverified_header(token) != self._header:
                raise InvalidToken
            claims: dict[str, Any] = jwt.decode(
                token,
                self._public,
                algorithms=[_ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": _REQUIRED, "verify_iat": False, "verify_exp": False},
            )
            return msgspec.convert(claims, Claims)
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError, RecursionError):
            raise InvalidToken from None  # what it says is nobody's business


def _is_canonical(token: str) -> bool:
    """Three parts of base64url as an encoder writes them: else two texts would be one token."""
    parts = token.split(".")
    return len(parts) == 3 and all(map(_is_base64url, parts))  # noqa: PLR2004  # RFC 7515


def _is_base64url(part: str) -> bool:
    try:
        decoded = base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    return bool(part) and base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() == part
