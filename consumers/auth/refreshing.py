"""Refresh: identity decides whether the token counts, and which one counts next."""

import asyncio
import secrets
from typing import Final

from consumers.auth.asking import Identity
from consumers.auth.issuing import Issuing
from consumers.auth.refresh_tokens import InvalidRefreshToken
from consumers.auth.request import Request
from runtime.errors import Unavailable
from runtime.security.sealed import SealingKey
from schemas.auth import Reason, RefreshSecret, Refused
from schemas.codec import Message
from schemas.identity import RefreshRefused, RefreshSession, SessionEnded, SessionRefreshed

_INVALID: Final = Refused(reason=Reason.INVALID_REFRESH_TOKEN)


class Refreshing:
    """Exchanges refresh tokens."""

    def __init__(self, identity: Identity, issuing: Issuing) -> None:
        self._identity: Final = identity
        self._issuing: Final = issuing

    async def refresh(self, request: Request, secret: RefreshSecret, reply_key: str) -> Message:
        """The answer: sealed tokens, or a refusal.

        Raises:
            PoisonMessage: the reply key is none.
            Unavailable: identity does not decide in time.
        """
        sealing = SealingKey.decode(reply_key)
        tokens = self._issuing.refresh_tokens
        try:
            token = tokens.decode(secret.refresh_token)
        except InvalidRefreshToken:
            return _INVALID
        next_secret = tokens.new_secret()
        command = RefreshSession(
            username_hmac=token.username_hmac,
            session_id=token.session_id,
            generation=token.generation,
            refresh_hmac=tokens.kept(token.secret),
            next_hmac=tokens.kept(next_secret),
            expires_at_ms=self._issuing.session_ends_ms(),
        )
        match await self._decided(request, command):
            case SessionRefreshed() as refreshed:
                return self._issuing.signed_in(refreshed, next_secret, sealing)
            case RefreshRefused() | SessionEnded():
                return _INVALID
            case other:
                raise Unavailable(f"identity answered {other.TYPE}")

    async def _decided(self, request: Request, command: RefreshSession) -> Message:
        try:
            async with asyncio.timeout(request.patience_s):
                return await self._identity.decided(
                    request, secrets.token_hex(16), command.username_hmac, command
                )
        except TimeoutError as error:
            raise Unavailable("identity does not decide a refresh in time") from error
