"""Sign-in: a right password starts a session, and is hashed anew when our parameters changed."""

from typing import Final

from consumers.auth.attempts import Attempts
from consumers.auth.issuing import Issuing
from consumers.auth.passwords import Passwords
from consumers.auth.request import Request
from runtime.errors import Unavailable
from runtime.security.profiles import PASSWORD_HASH
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.sealed import SealingKey
from runtime.security.vault import Erased, Vault
from schemas.auth import Refused, SignInSecret
from schemas.codec import Message
from schemas.identity import Ciphertext, SessionStarted, SettleSignIn, SignInReserved


class SigningIn:
    """Signs in."""

    def __init__(
        self,
        *,
        attempts: Attempts,
        passwords: Passwords,
        pseudonyms: Pseudonyms,
        vault: Vault,
        issuing: Issuing,
    ) -> None:
        self._attempts: Final = attempts
        self._passwords: Final = passwords
        self._pseudonyms: Final = pseudonyms
        self._vault: Final = vault
        self._issuing: Final = issuing

    async def sign_in(self, request: Request, secret: SignInSecret, reply_key: str) -> Message:
        """The answer: sealed tokens, or a refusal.

        Raises:
            PoisonMessage: the reply key is none.
            Unavailable: a dependency is down.
        """
        sealing = SealingKey.decode(reply_key)
        refresh_secret = self._issuing.refresh_tokens.new_secret()

        async def settle(reserved: SignInReserved, hashed: str) -> SettleSignIn:
            return SettleSignIn(
                address_hmac=reserved.address_hmac,
                username_hmac=reserved.username_hmac,
                attempt_id=reserved.attempt_id,
                right=True,
                expires_at_ms=self._issuing.session_ends_ms(),
                refresh_hmac=self._issuing.refresh_tokens.kept(refresh_secret),
                rehashed=await self._rehashed(reserved, hashed, secret.password),
            )

        outcome = await self._attempts.tried(
            request,
            address=secret.address,
            username_hmac=self._pseudonyms.username(secret.username),
            password=secret.password,
            settle=settle,
        )
        match outcome:
            case SessionStarted():
                return self._issuing.signed_in(outcome, refresh_secret, sealing)
            case Refused():
                return outcome
            case _:
                raise Unavailable(f"identity answered {outcome.TYPE}")

    async def _rehashed(
        self, reserved: SignInReserved, hashed: str, password: str
    ) -> Ciphertext | None:
        """The password under today's parameters, when it is hashed under others."""
        stored = reserved.password_hash
        if stored is None or not self._passwords.is_outdated(hashed):
            return None
        try:
            return await self._vault.encrypt(
                stored.key_id,
                (await self._passwords.hashed(password)).encode(),
                use=PASSWORD_HASH,
            )
        except (Erased, Unavailable):
            return None  # the next sign-in does it
