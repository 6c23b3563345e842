"""Sealed boxes between gateways and auth: anybody can seal, only the key's holder can open."""

import base64
import binascii
import hashlib
from pathlib import Path
from typing import Final, TypeVar

import msgspec
from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, PublicKey, SealedBox

from runtime.security.files import SEAL, SEAL_PUBLIC, read_secret
from schemas.auth import Sealed
from schemas.codec import PoisonMessage

SecretT = TypeVar("SecretT", bound=msgspec.Struct)
_KEY_ID_DIGITS: Final = 16


class SealingKey:
    """A public key to seal to; `key_id` names it in what is sealed."""

    def __init__(self, public: bytes) -> None:
        self._box: Final = SealedBox(PublicKey(public))
        self.key_id: Final = hashlib.sha256(public).hexdigest()[:_KEY_ID_DIGITS]

    @classmethod
    def of_auth(cls, directory: Path) -> "SealingKey":
        """Auth's public key; its private one is not needed."""
        return cls(read_secret(directory, SEAL_PUBLIC))

    @classmethod
    def decode(cls, text: str) -> "SealingKey":
        """A public key as a request's `reply_key` carries it.

        Raises:
            PoisonMessage: not 32 bytes of base64.
        """
        try:
            return cls(base64.b64decode(text, validate=True))
        except (binascii.Error, ValueError, CryptoError) as error:
            raise PoisonMessage("a reply key is not a public key") from error

    def seal(self, secret: msgspec.Struct) -> Sealed:
        """Seal the secret as JSON."""
        box = self._box.encrypt(msgspec.json.encode(secret))
        return Sealed(key_id=self.key_id, box=base64.b64encode(box).decode())


class OpeningKey:
    """A private key that opens what was sealed to its public half."""

    def __init__(self, private: bytes) -> None:
        key = PrivateKey(private)
        self._box: Final = SealedBox(key)
        self.sealing: Final = SealingKey(bytes(key.public_key))
        self.public: Final = base64.b64encode(bytes(key.public_key)).decode()
        """The public half in base64, as `reply_key` carries it."""

    @classmethod
    def of_auth(cls, directory: Path) -> "OpeningKey":
        """Auth's private key."""
        return cls(read_secret(directory, SEAL))

    @classmethod
    def generate(cls) -> "OpeningKey":
        """A fresh key that lives as long as its process (a gateway's, for answers)."""
        return cls(bytes(PrivateKey.generate()))

    def open(self, sealed: Sealed, kind: type[SecretT]) -> SecretT:
        """Open a box and read the secret in it.

        Raises:
            PoisonMessage: sealed to another key, tampered with, or not such a secret.
        """
        if sealed.key_id != self.sealing.key_id:
            raise PoisonMessage("sealed to an unknown key")
        try:
            plain = self._box.decrypt(base64.b64decode(sealed.box, validate=True))
            return msgspec.json.decode(plain, type=kind)
        except (binascii.Error, ValueError, TypeError, CryptoError, msgspec.DecodeError):
            raise PoisonMessage("a sealed box does not open") from None  # its content is secret
