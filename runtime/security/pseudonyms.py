"""Keyed pseudonyms: what stands in topics and tables in place of a name, an email, an address."""

import hmac
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Final

from runtime.errors import Unavailable
from runtime.security.files import PSEUDONYMS, read_secret

_BYTES: Final = 16


class Pseudonyms:
    """HMAC-SHA256 under one subkey per purpose, cut to 128 bits, as 32 hex digits.

    Addresses have a random key for each day, which the vault keeps for 30 days
    (runtime/security/day_keys.py): after that nobody can try out whose pseudonym it was.
    """

    def __init__(self, master: bytes) -> None:
        self._username: Final = _subkey(master, "username")
        self._email: Final = _subkey(master, "email")
        self._days: Mapping[date, bytes] = {}
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
        """The key of a network address on one UTC day.

        Raises:
            Unavailable: that day's key is not known here.
        """
        key = self._days.get(day)
        if key is None:
            raise Unavailable(f"no key for addresses of {day}")
        return _mac(key, address.encode())

    def take(self, days: Mapping[date, bytes]) -> None:
        """These are the days whose addresses are asked for now."""
        self._days = days

    def fingerprint(self, body: bytes) -> str:
        """What tells two bodies of one Idempotency-Key apart (C1); never give it a password."""
        return _mac(self._fingerprint, body)


def _subkey(key: bytes, purpose: str) -> bytes:
    return hmac.digest(key, purpose.encode(), "sha256")


def _mac(key: bytes, message: bytes) -> str:
    return hmac.digest(key, message, "sha256")[:_BYTES].hex()
