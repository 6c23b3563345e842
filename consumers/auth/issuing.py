"""The tokens of a session: an access token of minutes, and what refreshes it."""

import time
from typing import Final

from consumers.auth.refresh_tokens import RefreshToken, RefreshTokens
from consumers.auth.tokens import Tokens
from runtime.security.sealed import SealingKey
from schemas.auth import SignedIn, SignedInSecret
from schemas.identity import SessionRefreshed, SessionStarted


class Issuing:
    """Issues tokens for sessions that identity started or refreshed; durations are in seconds."""

    def __init__(
        self, tokens: Tokens, refresh_tokens: RefreshTokens, *, token_s: int, session_s: int
    ) -> None:
        self._tokens: Final = tokens
        self._token_s: Final = token_s
        self._session_s: Final = session_s
        self.refresh_tokens: Final = refresh_tokens

    def session_ends_ms(self) -> int:
        """When a session ends that is not refreshed after now."""
        return (int(time.time()) + self._session_s) * 1_000

    def signed_in(
        self, session: SessionStarted | SessionRefreshed, secret: bytes, sealing: SealingKey
    ) -> SignedIn:
        """Both tokens, sealed; the secret is that of the session's newest refresh token."""
        now_s = int(time.time())
        expires_at_s = min(now_s + self._token_s, session.expires_at_ms // 1_000)
        generation = session.generation if isinstance(session, SessionRefreshed) else 0
        refreshing = RefreshToken(session.username_hmac, session.session_id, generation, secret)
        issued = SignedInSecret(
            access_token=self._tokens.issue(
                user_id=session.user_id,
                username_hmac=session.username_hmac,
                session_id=session.session_id,
                role=session.role,
                issued_at_s=now_s,
                expires_at_s=expires_at_s,
            ),
            expires_in=expires_at_s - now_s,
            refresh_token=self.refresh_tokens.encode(refreshing),
        )
        return SignedIn(secret=sealing.seal(issued))
