"""The system's key files: raw bytes, made once, readable by their owner alone."""

import os
import secrets
from pathlib import Path
from typing import Final

from nacl.public import PrivateKey
from nacl.signing import SigningKey

PSEUDONYMS: Final = "pseudonyms.key"
"""Master of the HMAC keys: gateways and auth."""
SEAL: Final = "auth-seal.key"
"""X25519 private key that opens what is sealed to auth: auth alone."""
SEAL_PUBLIC: Final = "auth-seal.pub"
REFRESH: Final = "auth-refresh.key"
"""Master of the HMAC keys of refresh tokens: auth alone."""
SIGN: Final = "auth-sign.key"
"""The first Ed25519 private key that signs access tokens: auth alone; later ones: signing.py."""
SIGN_PUBLIC: Final = "auth-sign.pub"
SIGN_LATER: Final = "auth-sign-*.key"

_KEY_BYTES: Final = 32


def ensure_secrets(directory: Path) -> Path:
    """Make the key files that are missing; whoever comes first wins, also between processes.

    Raises:
        ValueError: a key file does not hold 32 bytes.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _ensure(directory / PSEUDONYMS, secrets.token_bytes(_KEY_BYTES))
    _ensure(directory / REFRESH, secrets.token_bytes(_KEY_BYTES))
    seal = _ensure(directory / SEAL, bytes(PrivateKey.generate()))
    _ensure(directory / SEAL_PUBLIC, bytes(PrivateKey(seal).public_key))
    if (directory / SIGN).exists() or not any(directory.glob(SIGN_LATER)):
        sign = _ensure(directory / SIGN, bytes(SigningKey.generate()))
        _ensure(directory / SIGN_PUBLIC, bytes(SigningKey(sign).verify_key))
    return directory


def write_secret(directory: Path, name: str, content: bytes) -> None:
    """Make one more key file; it appears whole or not at all, and one that is there stays."""
    _ensure(directory / name, content)


def read_secret(directory: Path, name: str) -> bytes:
    """The bytes of one key file.

    Raises:
        FileNotFoundError: `ensure_secrets` was not called for this directory.
        ValueError: the file does not hold 32 bytes.
    """
    content = (directory / name).read_bytes()
    if len(content) != _KEY_BYTES:
        raise ValueError(f"key file {name} holds {len(content)} bytes, not {_KEY_BYTES}")
    return content


def _ensure(path: Path, content: bytes) -> bytes:
    """Write the file unless it is there; it appears whole or not at all."""
    if not path.exists():
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            _publish(draft, path)
        finally:
            draft.unlink()
    return read_secret(path.parent, path.name)


def _publish(draft: Path, path: Path) -> None:
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        return  # another process was first: its key counts
