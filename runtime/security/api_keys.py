"""API keys as bots carry them: `cnop_` and 256 random bits in hex; their SHA-256 is what is kept.

A hash without salt or stretching is enough, because nobody can guess 256 bits; the prefix lets
scanners for secrets find a key that was published.
"""

import hashlib
import re
import secrets
from typing import Final

_PREFIX: Final = "cnop_"
_API_KEY: Final = re.compile(r"cnop_[0-9a-f]{64}")


def new_api_key() -> str:
    """A key that nobody had before."""
    return _PREFIX + secrets.token_hex(32)


def is_api_key(text: str) -> bool:
    """Whether it looks like a key of ours."""
    return _API_KEY.fullmatch(text) is not None


def hash_of(api_key: str) -> str:
    """What is kept of a key, 64 hex digits."""
    return hashlib.sha256(api_key.encode()).hexdigest()
