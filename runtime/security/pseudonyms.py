"""Keyed pseudonyms: what stands in topics and tables in place of a name, an email, an address."""

import hmac
from datetime import date
from pathlib import Path
from typing import Final

from runtime.security.files import PSEUDONYMS, read_secret

_BYTES: Final = 16


class Pseudonyms:
    """HMAC-SHA256 under one subkey per purpose, cut to 128 bits, as 32 hex digits.

    The address key of a day derives from the master for now, so destroying it after 30 days
    needs keys of their own per day; that belongs to the operators' tools.
    """

    def __init__(self, master: bytes) -> None:
        self._username: Final = _subkey(master, "username")
        self._email: Final = _subkey(master, "email")
        self._address: Final = _subkey(master, "address")
        self._fingerprint: Final = _subkey(master, "fingerprint")

    @classmethod
    def of(cls, directory: Path) -> "Pseudonyms":
        """With the master key of this secrets directory."""
        return cls(read_secret(directory, PSEUDONYMS))

    def username(self, name: str) -> str:
        """The key of a username; upper and lower case are the same name."""
        return _mac(self._username, name.lower().encode())

    def email(self, mail: str) -> str:
        """The key of an email address, lower-cased."""
        return _mac(self._email, mail.lower().encode())

    def address(self, address: str, day: date) -> str:
        """The key of a network address on one UTC day."""
        return _mac(_subkey(self._address, day.isoformat()), address.encode())

    def fingerprint(self, body: bytes) -> str:
        """What tells two bodies of one Idempotency-Key apart (C1); never give it a password."""
        return _mac(self._fingerprint, body)


def _subkey(key: bytes, purpose: str) -> bytes:
    return hmac.digest(key, purpose.encode(), "sha256")


def _mac(key: bytes, message: bytes) -> str:
    return hmac.digest(key, message, "sha256")[:_BYTES].hex()
