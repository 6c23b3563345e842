"""Command ids that only we can make (C1).

A command id is 24 hex digits, derived from an Idempotency-Key or random, and 8 more that
authenticate them for their owner: so a genuine id that nobody decided yet can be told from a
made-up one, and from somebody else's.
"""

import hashlib
import hmac
import re
import secrets
from typing import Final

from gateway.problems import invalid

NOBODY: Final = ""
"""The owner of a registration's command, which comes from somebody who is not signed in."""
_COMMAND_ID: Final = re.compile(r"[0-9a-f]{32}")
_KEY: Final = re.compile(r"[!-~]{1,64}")
_STEM_DIGITS: Final = 24
_TAG_BYTES: Final = 4


class CommandIds:
    """Makes and recognises command ids under one key, which all gateways share."""

    def __init__(self, master: bytes) -> None:
        self._key: Final = hmac.digest(master, b"command-ids", "sha256")

    def derived(self, owner: str, context: str, subject: str, idempotency_key: str) -> str:
        """The same id for the same key of the same subject (a user, or a username to register)."""
        stem = self._digest("id", context, subject, idempotency_key)[: _STEM_DIGITS // 2].hex()
        return stem + self._tag(owner, stem)

    def random(self, owner: str) -> str:
        """An id that was never given before."""
        stem = secrets.token_hex(_STEM_DIGITS // 2)
        return stem + self._tag(owner, stem)

    def belongs(self, command_id: str, owner: str) -> bool:
        """Whether we made this id for this owner."""
        if _COMMAND_ID.fullmatch(command_id) is None:
            return False
        tag = self._tag(owner, command_id[:_STEM_DIGITS])
        return hmac.compare_digest(tag, command_id[_STEM_DIGITS:])

    def _tag(self, owner: str, stem: str) -> str:
        return self._digest("tag", owner, stem)[:_TAG_BYTES].hex()

    def _digest(self, *parts: str) -> bytes:
        """A keyed BLAKE2b; the parts never hold a zero byte."""
        return hashlib.blake2b("\0".join(parts).encode(), key=self._key, digest_size=32).digest()


def idempotency_key(values: list[str]) -> str | None:
    """The request's Idempotency-Key, from all headers of that name.

    Raises:
        Problem: there are several, or it is not 1 to 64 visible characters.
    """
    if not values:
        return None
    if len(values) > 1 or _KEY.fullmatch(values[0]) is None:
        raise invalid("Idempotency-Key", "has to be 1 to 64 visible characters")
    return values[0]
