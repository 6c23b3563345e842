"""A change of the password: the current one is tried like at a sign-in, and the new one hashed."""

from typing import Final

from consumers.auth.attempts import Attempts
from consumers.auth.passwords import Passwords
from consumers.auth.request import Request
from runtime.errors import Unavailable
from runtime.security.profiles import PASSWORD_HASH
from runtime.security.vault import Erased, Vault
from schemas.auth import ChangePasswordSecret, PasswordChanged, Refused
from schemas.codec import Message
from schemas.identity import ChangePassword, SignInReserved
from schemas.identity import PasswordChanged as Changed


class ChangingPassword:
    """Changes passwords; a stolen token cannot guess the current one faster than a sign-in."""

    def __init__(self, *, attempts: Attempts, passwords: Passwords, vault: Vault) -> None:
        self._attempts: Final = attempts
        self._passwords: Final = passwords
        self._vault: Final = vault

    async def change(self, request: Request, secret: ChangePasswordSecret) -> Message:
        """The answer: which sessions ended, or a refusal.

        Raises:
            Unavailable: a dependency is down, or too many passwords wait to be hashed.
        """

        async def settle(reserved: SignInReserved, _: str) -> ChangePassword:
            key_id = reserved.password_hash.key_id if reserved.password_hash else ""
            hashed = await self._passwords.hashed(secret.new_password)
            try:
                password_hash = await self._vault.encrypt(
                    key_id, hashed.encode(), use=PASSWORD_HASH
                )
            except Erased:
                raise Unavailable("the person was erased meanwhile") from None
            return ChangePassword(
                address_hmac=reserved.address_hmac,
                username_hmac=reserved.username_hmac,
                attempt_id=reserved.attempt_id,
                session_id=secret.session_id,
                password_hash=password_hash,
            )

        outcome = await self._attempts.tried(
            request,
            address=secret.address,
            username_hmac=secret.username_hmac,
            password=secret.current_password,
            settle=settle,
        )
        match outcome:
            case Changed():
                return PasswordChanged(ended=outcome.ended)
            case Refused():
                return outcome
            case _:
                raise Unavailable(f"identity answered {outcome.TYPE}")
