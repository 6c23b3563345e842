"""Who asks: tokens and API keys, validated by the auth service and remembered for seconds."""

import asyncio
import hashlib
import re
from contextlib import suppress
from typing import Final

from starlette.requests import Request

from gateway.blocked import Blocked
from gateway.callers import caller_of, set_caller
from gateway.deciding import Deciding
from gateway.edge import request_id_of
from gateway.outcomes import auth_refusal
from gateway.problems import Problem
from gateway.questions import Questions
from gateway.sessions import Sessions
from runtime import metrics
from runtime.errors import Unavailable
from runtime.security.api_keys import is_api_key
from runtime.security.sealed import OpeningKey, SealingKey
from schemas.auth import (
    ChangePassword,
    ChangePasswordSecret,
    PasswordChanged,
    Refresh,
    RefreshSecret,
    Refused,
    Sealed,
    SignedIn,
    SignedInSecret,
    SignIn,
    SignInSecret,
    Verdict,
)
from schemas.codec import Message, PoisonMessage
from schemas.identity import EVENTS, ApiKeyDeleted, SessionEnded
from schemas.topics import AUTH_REQUESTS

_TOKEN: Final = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/=-]{1,4096})")
_SIGN_IN_MS: Final = 5_000
_KNOWN_S: Final = 1.0
_KNOWN_AGAIN_S: Final = 0.02


class Auth:
    """Knows callers by their tokens, and signs people in."""

    def __init__(self, deciding: Deciding, sealing: SealingKey, sessions: Sessions) -> None:
        self._deciding: Final = deciding
        self.sealing: Final = sealing
        self._reply_key: Final = OpeningKey.generate()
        self._questions: Final = Questions(deciding, sealing, sessions)
        self.sessions: Final = sessions
        self.blocked: Final = Blocked()

    async def caller(self, request: Request) -> Verdict:
        """Who sent this request; asked once for each.

        Raises:
            Problem: no token, or one that is not good (401).
            Unavailable: auth does not answer; nobody is let in.
        """
        known = caller_of(request)
        if known is not None:
            return known
        try:
            verdict = await self._verdict(request)
        except Problem:
            metrics.UNAUTHORISED.labels("token").inc()
            raise
        set_caller(request, verdict)
        return verdict

    async def _verdict(self, request: Request) -> Verdict:
        token = _bearer(request)
        hashed = _hashed(token)
        known = self.sessions.get(hashed)
        if known is None:
            if self.sessions.is_refused(hashed) and not is_api_key(token):
                raise Problem("invalid-token")  # a key may be known to auth only now
            verdict = await self._questions.verdict(hashed, token)
        else:
            verdict, is_old = known
            if is_old:
                self._questions.renew(hashed, token)
        if self.sessions.is_dead(verdict):
            raise Problem("invalid-token")
        return verdict

    async def known(self, api_key: str) -> None:
        """Wait a little until auth knows a key that was just made, so that it can be used."""
        with suppress(TimeoutError, Unavailable):
            async with asyncio.timeout(_KNOWN_S):
                while True:
                    with suppress(Problem):
                        await self._questions.verdict(_hashed(api_key), api_key)
                        return
                    await asyncio.sleep(_KNOWN_AGAIN_S)

    async def sign_in(
        self, request: Request, username: str, password: str, *, address: str
    ) -> SignedInSecret:
        """Check a password and start a session.

        Raises:
            Problem: wrong (401), blocked (403), or too many sign in (429).
            Unavailable: auth does not answer.
        """
        secret = SignInSecret(username=username, password=password, address=address)
        question = SignIn(secret=self.sealing.seal(secret), reply_key=self._reply_key.public)
        return self._signed_in(await self._tried(request, question, address))

    async def refresh(self, request: Request, refresh_token: str) -> SignedInSecret:
        """Exchange a refresh token for new tokens.

        Raises:
            Problem: it is not good, or not any more (401).
            Unavailable: auth does not answer.
        """
        secret = RefreshSecret(refresh_token=refresh_token)
        question = Refresh(secret=self.sealing.seal(secret), reply_key=self._reply_key.public)
        return self._signed_in(await self._asked(request, question))

    async def change_password(self, request: Request, secret: ChangePasswordSecret) -> None:
        """Change a password and forget the sessions that end with it.

        Raises:
            Problem: the current one is wrong (401), blocked (403), or too many sign in (429).
            Unavailable: auth does not answer.
        """
        question = ChangePassword(secret=self.sealing.seal(secret))
        match await self._tried(request, question, secret.address):
            case PasswordChanged(ended=ended):
                for session_id in ended:
                    self.sessions.end(session_id)
            case other:
                raise _unasked(other)

    async def _tried(self, request: Request, attempt: Message, address: str) -> Message:
        """What auth answers to a password, and what that says of the address."""
        answer = await self._asked(request, attempt)
        if isinstance(answer, Refused) and answer.of_address:
            self.blocked.add(address, answer.retry_after_s)
        return answer

    async def _asked(self, request: Request, question: Message) -> Message:
        reply = await self._deciding.ask(
            AUTH_REQUESTS,
            question,
            deadline_ms=_SIGN_IN_MS,
            correlation_id=request_id_of(request),
        )
        return reply.event

    def _signed_in(self, answer: Message) -> SignedInSecret:
        match answer:
            case SignedIn(secret=sealed):
                return self._opened(sealed)
            case other:
                raise _unasked(other)

    def saw_session_end(self, body: bytes) -> None:
        """Take a session-ended event of identity's journal."""
        event = EVENTS.decode(SessionEnded.TYPE, body)
        if isinstance(event, SessionEnded):
            self.sessions.end(event.session_id)

    def saw_api_key_end(self, body: bytes) -> None:
        """Take an api-key-deleted event of identity's journal."""
        event = EVENTS.decode(ApiKeyDeleted.TYPE, body)
        if isinstance(event, ApiKeyDeleted):
            self.sessions.end(event.api_key_id)

    def _opened(self, sealed: Sealed) -> SignedInSecret:
        try:
            return self._reply_key.open(sealed, SignedInSecret)
        except PoisonMessage as error:
            raise Unavailable("auth's answer does not open") from error


def _unasked(answer: Message) -> Exception:
    """What a refusal raises, or an answer that nobody asked for."""
    if isinstance(answer, Refused):
        return auth_refusal(answer)
    return Unavailable(f"auth answered {answer.TYPE}")


def _hashed(token: str) -> bytes:
    """Under what a token's verdict is remembered."""
    return hashlib.blake2b(token.encode(), digest_size=32).digest()


def _bearer(request: Request) -> str:
    given = request.headers.getlist("authorization")
    match = _TOKEN.fullmatch(given[0]) if len(given) == 1 else None
    if match is None:
        raise Problem("invalid-token")
    return match.group(1)
