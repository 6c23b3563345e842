"""Access tokens: JWT as RFC 9068 has them (typ at+jwt), signed with Ed25519."""

import base64
import binascii
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runtime.security.files import read_secret
from runtime.security.signing import key_id, key_names

_LOG: Final = logging.getLogger(__name__)
ISSUER: Final = "cnop"
AUDIENCE: Final = "cnop-api"
TYPE: Final = "at+jwt"
_ALGORITHM: Final = "EdDSA"
_LENGTH_MAX: Final = 2_048
_READ_AGAIN_S: Final = 1.0
"""How often an unknown `kid` may have the keys read again."""
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


class TokenKey:
    """A private key that signs tokens from `active_ms` on, and what they say of it."""

    def __init__(self, private: bytes, active_ms: int = 0) -> None:
        self.private: Final = Ed25519PrivateKey.from_private_bytes(private)
        self.public: Final = self.private.public_key()
        self.active_ms: Final = active_ms
        self.kid: Final = key_id(self.public.public_bytes_raw())
        self.header: Final = {"alg": _ALGORITHM, "kid": self.kid, "typ": TYPE}


def read_keys(directory: Path) -> tuple[TokenKey, ...]:
    """The signing keys of a secrets directory, oldest first."""
    return tuple(
        TokenKey(read_secret(directory, f"{each.stem}.key"), each.active_ms)
        for each in key_names(directory, ".key")
    )


class Tokens:
    """Issues tokens with the newest key that is active, and reads those of all its keys."""

    def __init__(self, source: Callable[[], Sequence[TokenKey]]) -> None:
        self._source: Final = source
        self._signed: Final = lru_cache(_KNOWN_MAX)(self._checked)
        self._keys: dict[str, TokenKey] = {}
        self._read_s = 0.0
        self._take(source())

    @classmethod
    def of(cls, directory: Path) -> "Tokens":
        """With the signing keys of this secrets directory, as they are now and later."""
        return cls(lambda: read_keys(directory))

    @property
    def kids(self) -> frozenset[str]:
        """The ids of all keys."""
        return frozenset(self._keys)

    @property
    def key(self) -> TokenKey:
        """The key that signs now."""
        now_ms = time.time() * 1_000
        active = [each for each in self._keys.values() if each.active_ms <= now_ms]
        return max(active or self._keys.values(), key=lambda each: each.active_ms)

    def read_keys_again(self) -> None:
        """Take the keys that are there now; those that cannot be read leave what is known."""
        self._read_s = time.monotonic()
        try:
            self._take(self._source())
        except (OSError, ValueError) as error:
            _LOG.warning("the signing keys cannot be read again: %s", error)

    def _take(self, keys: Sequence[TokenKey]) -> None:
        found = {each.kid: each for each in keys}
        if not found:
            raise ValueError("there is no signing key")
        if found.keys() != self._keys.keys():
            self._keys = found
            self._signed.cache_clear()

    def _key_of(self, header: Any) -> TokenKey | None:  # noqa: ANN401  # whatever a token says
        kid = header.get("kid")
        if not isinstance(kid, str):
            return None
        if kid not in self._keys and time.monotonic() - self._read_s > _READ_AGAIN_S:
            self.read_keys_again()
        return self._keys.get(kid)

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
        payload, key = msgspec.to_builtins(claims), self.key
        return jwt.encode(payload, key.private, algorithm=_ALGORITHM, headers=key.header)

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
            header = jwt.get_unverified_header(token)
            key = self._key_of(header)
            if key is None or header != key.header:
                raise InvalidToken
            claims: dict[str, Any] = jwt.decode(
                token,
                key.public,
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
