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
from schemas.envelope import Headers
from schemas.identity import Ciphertext, RegisterUser
from schemas.topics import IDENTITY_COMMANDS

_NOTHING: Final = Ciphertext(key_id="", nonce="", bytes="")


class Registering:
    """Forwards registrations: each gets its outcome at identity, also one that cannot be served.

    The tail destroys the keys of those that identity refuses.
    """

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
            Unavailable: too busy, or the vault is down; identity refuses the command as expired.
        """
        try:
            command = await self._command(secret)
        except Exception:
            await self.give_up(request, key=self._pseudonyms.username(secret.username))
            raise
        event_id = secrets.token_hex(16)
        self._tail.keys.forwarded(event_id, command.profile.key_id)
        headers = request.forwarded(event_id, command, int(time.time() * 1_000))
        await self._deliver(command, headers)

    async def give_up(self, request: Request, *, key: str) -> None:
        """Have the command refused, so that who asks for its outcome later finds one.

        `key` is the username's HMAC, or anything where that is not known.
        """
        command = RegisterUser(
            username_hmac=key,
            email_hmac="",
            profile=_NOTHING,
            password_hash=_NOTHING,
            marketing_emails_consent=False,
        )
        headers = request.given_up(secrets.token_hex(16), command, int(time.time() * 1_000))
        await self._deliver(command, headers)

    async def _command(self, secret: RegisterSecret) -> RegisterUser:
        self._passwords.check_load()
        hashed = await self._passwords.hashed(secret.password)
        key_id = await self._vault.create()
        return RegisterUser(
            username_hmac=self._pseudonyms.username(secret.username),
            email_hmac=self._pseudonyms.email(secret.email),
            profile=await encrypt_profile(self._vault, key_id, _profile(secret)),
            password_hash=await self._vault.encrypt(key_id, hashed.encode(), use=PASSWORD_HASH),
            marketing_emails_consent=secret.marketing_emails_consent,
        )

    async def _deliver(self, command: RegisterUser, headers: Headers) -> None:
        """Whether a failed attempt reached the log is not known; the command id makes it one."""
        key = command.username_hmac.encode()
        await self._sender.deliver(IDENTITY_COMMANDS, encode(command), headers, key=key)


def _profile(secret: RegisterSecret) -> Profile:
    return Profile(
        username=secret.username,
        email=secret.email,
        first_name=secret.first_name,
        last_name=secret.last_name,
        phone=secret.phone,
        date_of_birth=secret.date_of_birth,
    )
