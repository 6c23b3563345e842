"""The vault: one key per person; destroying it erases the person wherever ciphertexts lie."""

import base64
import binascii
import secrets
import time
from typing import Final, Protocol

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_aead_xchacha20poly1305_ietf_KEYBYTES,
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
)
from nacl.exceptions import CryptoError

from runtime.bounded import Bounded
from runtime.errors import Unavailable
from runtime.projection import TableSpec
from runtime.table import Row
from schemas.codec import PoisonMessage
from schemas.identity import Ciphertext

VAULT: Final = TableSpec("vault", "key_id")

_CACHED_MAX: Final = 10_000
_CACHED_S: Final = 60.0
"""How long another process may still read a person whose key was destroyed."""


class Rows(Protocol):
    """What the vault needs of the table store; every method raises `Unavailable`."""

    async def get(self, table: str, key: Row) -> Row | None:
        """The row with this key."""
        ...

    async def put(self, table: str, row: Row) -> None:
        """Write a row."""
        ...

    async def delete(self, table: str, key: Row) -> None:
        """Remove a row."""
        ...


class Wrapping(Protocol):
    """Keys under a key of somebody else's (runtime/security/kms.py), bound to their key ids."""

    async def wrap(self, key_id: str, key: bytes) -> bytes:
        """The key as the vault may store it; raises `Unavailable`."""
        ...

    async def unwrap(self, key_id: str, wrapped: bytes) -> bytes:
        """The key that was wrapped for this id; raises `Unavailable`."""
        ...


class Erased(Exception):  # noqa: N818  # named by what it means
    """The key is not in the vault: the person was erased, or never came to be."""


class Vault:
    """Encrypts and decrypts under personal keys, XChaCha20-Poly1305 with the use as context.

    `use` (`profile`, `password-hash`) is authenticated with the key id, so that a ciphertext
    cannot stand in another's place. Methods raise `Unavailable` when the store fails.

    With a `wrapping` the table, and so its backup, holds no key in the clear; keys that were stored
    before it was set are still read.
    """

    def __init__(self, rows: Rows, wrapping: Wrapping | None = None) -> None:
        self._rows: Final = rows
        self._wrapping: Final = wrapping
        self._cache: Final[Bounded[str, tuple[float, bytes]]] = Bounded(_CACHED_MAX)

    async def create(self) -> str:
        """Make a new key and return its id."""
        key_id = secrets.token_hex(16)
        key = secrets.token_bytes(crypto_aead_xchacha20poly1305_ietf_KEYBYTES)
        row = {"key_id": key_id, **await self.closed(key_id, key)}
        await self._rows.put(VAULT.name, row)  # a random id; the client may repeat a put
        self._remember(key_id, key)
        return key_id

    async def destroy(self, key_id: str) -> None:
        """Erase whatever is encrypted under this key; again is no error."""
        self._cache.pop(key_id, None)
        await self._rows.delete(VAULT.name, {"key_id": key_id})

    def forget(self, key_id: str) -> None:
        """Read the key from the store when it is needed next."""
        self._cache.pop(key_id, None)

    async def encrypt(self, key_id: str, plain: bytes, *, use: str) -> Ciphertext:
        """Encrypt under the key.

        Raises:
            Erased: there is no such key.
        """
        key = await self._key(key_id)
        nonce = secrets.token_bytes(crypto_aead_xchacha20poly1305_ietf_NPUBBYTES)
        sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(
            plain, _context(key_id, use), nonce, key
        )
        return Ciphertext(
            key_id=key_id,
            nonce=base64.b64encode(nonce).decode(),
            bytes=base64.b64encode(sealed).decode(),
        )

    async def decrypt(self, ciphertext: Ciphertext, *, use: str) -> bytes:
        """What was encrypted for this use.

        Raises:
            Erased: its key is gone.
            PoisonMessage: tampered with, or encrypted for another use.
        """
        key = await self._key(ciphertext.key_id)
        try:
            return crypto_aead_xchacha20poly1305_ietf_decrypt(
                base64.b64decode(ciphertext.bytes, validate=True),
                _context(ciphertext.key_id, use),
                base64.b64decode(ciphertext.nonce, validate=True),
                key,
            )
        except (binascii.Error, ValueError, TypeError, CryptoError):
            raise PoisonMessage("a ciphertext does not decrypt") from None

    async def closed(self, key_id: str, key: bytes) -> Row:
        """The key as a row may hold it: wrapped, where something wraps."""
        if self._wrapping is None:
            return {"key": base64.b64encode(key).decode()}
        wrapped = await self._wrapping.wrap(key_id, key)
        return {"wrapped": base64.b64encode(wrapped).decode()}

    async def opened(self, key_id: str, stored: Row) -> bytes:
        """The key that was closed for this id."""
        if "wrapped" not in stored:
            return base64.b64decode(stored["key"])
        if self._wrapping is None:
            raise Unavailable("the vault's keys are wrapped: set CNOP_VAULT_KMS_KEY")
        return await self._wrapping.unwrap(key_id, base64.b64decode(stored["wrapped"]))

    async def _key(self, key_id: str) -> bytes:
        self._forget()
        cached = self._cache.get(key_id)
        if cached:
            return cached[1]
        row = await self._rows.get(VAULT.name, {"key_id": key_id})
        if row is None:
            raise Erased(key_id)
        key = await self.opened(key_id, row)
        self._remember(key_id, key)
        return key

    def _remember(self, key_id: str, key: bytes) -> None:
        self._cache.put(key_id, (time.monotonic(), key))

    def _forget(self) -> None:
        """Drop keys that were read too long ago, oldest first: none outlives its use in memory."""
        since_s = time.monotonic() - _CACHED_S
        while self._cache and next(iter(self._cache.values()))[0] <= since_s:
            self._cache.popitem(last=False)


def _context(key_id: str, use: str) -> bytes:
    return f"{use}/{key_id}".encode()
