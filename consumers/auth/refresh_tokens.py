"""Refresh tokens: opaque to clients, authenticated by us, and only their HMACs are kept."""

import base64
import binascii
import hmac
import secrets
import struct
from pathlib import Path
from typing import Final, NamedTuple

from runtime.security.files import REFRESH, read_secret

_LAYOUT: Final = struct.Struct(">16s16sQ32s")
"""Username HMAC, session id, generation within the session, secret."""
_TAG_BYTES: Final = 16
_HMAC_BYTES: Final = 16
_TEXT_CHARACTERS: Final = -(-(_LAYOUT.size + _TAG_BYTES) * 4 // 3)


class InvalidRefreshToken(Exception):  # noqa: N818  # named by what it means
    """Not a refresh token that we made."""


class RefreshToken(NamedTuple):
    """What a token says; both ids are 32 hex digits, the secret 32 random bytes."""

    username_hmac: str
    session_id: str
    generation: int
    secret: bytes


class RefreshTokens:
    """Makes and reads tokens under one key; a forged one is refused before it costs a record."""

    def __init__(self, master: bytes) -> None:
        self._tag_key: Final = hmac.digest(master, b"refresh-token-tags", "sha256")
        self._secret_key: Final = hmac.digest(master, b"refresh-token-secrets", "sha256")

    @classmethod
    def of(cls, directory: Path) -> "RefreshTokens":
        """With the key of this secrets directory."""
        return cls(read_secret(directory, REFRESH))

    def new_secret(self) -> bytes:
        """A secret that nobody had before."""
        return secrets.token_bytes(32)

    def kept(self, secret: bytes) -> str:
        """What is kept of a token's secret: its HMAC, cut to 128 bits, 32 hex digits."""
        return hmac.digest(self._secret_key, secret, "sha256")[:_HMAC_BYTES].hex()

    def encode(self, token: RefreshToken) -> str:
        """The token as clients carry it, base64url."""
        body = _LAYOUT.pack(
            bytes.fromhex(token.username_hmac),
            bytes.fromhex(token.session_id),
            token.generation,
            token.secret,
        )
        return base64.urlsafe_b64encode(body + self._tag(body)).rstrip(b"=").decode()

    def decode(self, text: str) -> RefreshToken:
        """What a token of ours says.

        Raises:
            InvalidRefreshToken: it is none.
        """
        raw = _decoded(text)
        body, tag = raw[: _LAYOUT.size], raw[_LAYOUT.size :]
        if len(raw) != _LAYOUT.size + _TAG_BYTES or not hmac.compare_digest(tag, self._tag(body)):
            raise InvalidRefreshToken
        username_hmac, session_id, generation, secret = _LAYOUT.unpack(body)
        return RefreshToken(username_hmac.hex(), session_id.hex(), generation, secret)

    def _tag(self, body: bytes) -> bytes:
        return hmac.digest(self._tag_key, body, "sha256")[:_TAG_BYTES]


def _decoded(text: str) -> bytes:
    if len(text) != _TEXT_CHARACTERS:
        raise InvalidRefreshToken
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRefreshToken from None
    if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise InvalidRefreshToken  # another text of the same bytes
    return raw
