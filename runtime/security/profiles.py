"""What a person's ciphertexts hold, and under which use each is encrypted."""

from typing import Final

import msgspec

from runtime.security.vault import Erased, Vault
from schemas.identity import Ciphertext

PROFILE: Final = "profile"
API_KEY_NAME: Final = "api-key-name"
PASSWORD_HASH: Final = "password-hash"  # noqa: S105  # a use, not a secret


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The personal fields of a user as the gateway shows them; dates are ISO."""

    username: str
    email: str
    first_name: str
    last_name: str
    phone: str | None = None
    date_of_birth: str | None = None


_ERASED: Final = "[erased]"
ERASED: Final = Profile(username=_ERASED, email=_ERASED, first_name=_ERASED, last_name=_ERASED)
"""What a profile reads as once its person's key is destroyed."""


async def encrypt_profile(vault: Vault, key_id: str, profile: Profile) -> Ciphertext:
    """Encrypt a profile under its person's key; raises as `Vault.encrypt`."""
    return await vault.encrypt(key_id, msgspec.json.encode(profile), use=PROFILE)


async def decrypt_profile(vault: Vault, ciphertext: Ciphertext) -> Profile:
    """Decrypt a profile; raises as `Vault.decrypt`."""
    return msgspec.json.decode(await vault.decrypt(ciphertext, use=PROFILE), type=Profile)


async def readable_profile(vault: Vault, ciphertext: Ciphertext) -> Profile:
    """Decrypt a profile to show it, `ERASED` where the person was erased.

    Raises:
        PoisonMessage: as `Vault.decrypt`.
        Unavailable: the vault does not answer.
    """
    try:
        return await decrypt_profile(vault, ciphertext)
    except Erased:
        return ERASED
