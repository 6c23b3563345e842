"""Registration: hash, make the person's key, encrypt, forward to identity, which answers."""

import secrets
import time
from typing import Final

from consumers.auth.passwords import Passwords
from consumers.auth.request import Request
from consumers.auth.sender import Sender
from consumers.auth.tail import Tail
from runtime.security.profiles import PASSWORD_HASH, Profile, encrypt_profile
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.vault import Vault
from schemas.auth import RegisterSecret
from schemas.codec import encode
from schemas.identity import RegisterUser
from schemas.topics import IDENTITY_COMMANDS


class Registering:
    """Forwards registrations; the tail destroys the keys of those that identity refuses."""

    def __init__(
        self,
        *,
        passwords: Passwords,
        pseudonyms: Pseudonyms,
        vault: Vault,
        sender: Sender,
        tail: Tail,
    ) -> None:
        self._passwords: Final = passwords
        self._pseudonyms: Final = pseudonyms
        self._vault: Final = vault
        self._sender: Final = sender
        self._tail: Final = tail

    async def register(self, request: Request, secret: RegisterSecret) -> None:
        """Forward the registration under the client's own command id.

        Raises:
            Unavailable: too busy, or a dependency is down.
        """
        hashed = await self._passwords.hashed(secret.password)
        key_id = await self._vault.create()
        command = RegisterUser(
            username_hmac=self._pseudonyms.username(secret.username),
            email_hmac=self._pseudonyms.email(secret.email),
            profile=await encrypt_profile(self._vault, key_id, _profile(secret)),
            password_hash=await self._vault.encrypt(key_id, hashed.encode(), use=PASSWORD_HASH),
            marketing_emails_consent=secret.marketing_emails_consent,
        )
        event_id = secrets.token_hex(16)
        self._tail.keys.forwarded(event_id, key_id)
        await self._sender.send(
            IDENTITY_COMMANDS,
            encode(command),
            request.forwarded(event_id, command, int(time.time() * 1_000)),
            key=command.username_hmac.encode(),
        )


def _profile(secret: RegisterSecret) -> Profile:
    return Profile(
        username=secret.username,
        email=secret.email,
        first_name=secret.first_name,
        last_name=secret.last_name,
        phone=secret.phone,
        date_of_birth=secret.date_of_birth,
    )
