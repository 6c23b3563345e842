"""Signing keys of access tokens: files that come and go while tokens of several keys are alive.

The first key is `auth-sign.key`, a later one `auth-sign-<ms since 1970>.key` by the time from which
it signs, each with its public half beside it (`.pub`). So whoever validates knows a key before
anybody signs with it.
"""

import base64
import hashlib
import itertools
import re
from pathlib import Path
from typing import Any, Final, NamedTuple

from nacl.signing import SigningKey

from runtime.security.files import read_secret, write_secret

_MARGIN_MS: Final = 60_000
"""By how much clocks may differ."""
_NAME: Final = re.compile(r"auth-sign(?:-(\d{13}))?")
_KEY_ID_DIGITS: Final = 16


class KeyName(NamedTuple):
    """A key's files, without their endings; it signs from `active_ms` on."""

    active_ms: int
    stem: str


def key_names(directory: Path, ending: str) -> list[KeyName]:
    """The keys that have a file of this ending (`.key`, `.pub`), oldest first."""
    found = (
        (match, each.stem)
        for each in directory.glob(f"auth-sign*{ending}")
        if (match := _NAME.fullmatch(each.stem))
    )
    return sorted(KeyName(int(match[1] or 0), stem) for match, stem in found)


def key_id(public: bytes) -> str:
    """The `kid` of a key."""
    return hashlib.sha256(public).hexdigest()[:_KEY_ID_DIGITS]


def jwks(directory: Path) -> dict[str, Any]:
    """The public keys as a JSON Web Key Set (RFC 7517, RFC 8037), oldest first."""
    names = key_names(directory, ".pub")
    return {"keys": [_jwk(read_secret(directory, f"{each.stem}.pub")) for each in names]}


def rotate(directory: Path, *, now_ms: int, active_ms: int, token_ms: int) -> str:
    """Make the next key, remove those whose tokens have all died; returns the new `kid`.

    It signs from `active_ms` on; `token_ms` is how long access tokens live.
    """
    key = SigningKey.generate()
    public = bytes(key.verify_key)
    write_secret(directory, f"auth-sign-{active_ms:013d}.pub", public)
    write_secret(directory, f"auth-sign-{active_ms:013d}.key", bytes(key))
    names = key_names(directory, ".key")
    for name, successor in itertools.pairwise(names):
        if successor.active_ms + token_ms + _MARGIN_MS < now_ms:
            (directory / f"{name.stem}.key").unlink(missing_ok=True)
            (directory / f"{name.stem}.pub").unlink(missing_ok=True)
    return key_id(public)


def _jwk(public: bytes) -> dict[str, Any]:
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "use": "sig",
        "alg": "EdDSA",
        "kid": key_id(public),
        "x": base64.urlsafe_b64encode(public).rstrip(b"=").decode(),
    }
