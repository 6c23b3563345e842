"""Who asks: bearer tokens, validated by the auth service and remembered for seconds."""

import asyncio
import hashlib
import logging
import re
import time
from collections import OrderedDict
from typing import Final

from starlette.requests import Request

from gateway.deciding import Deciding
from gateway.edge import request_id_of
from gateway.outcomes import auth_refusal
from gateway.problems import Problem
from runtime.errors import Unavailable
from runtime.security.sealed import OpeningKey, SealingKey
from schemas.auth import (
    Reason,
    Refused,
    Sealed,
    SignedIn,
    SignedInSecret,
    SignIn,
    SignInSecret,
    TokenSecret,
    Validate,
    Verdict,
)
from schemas.codec import PoisonMessage
from schemas.identity import EVENTS, SessionEnded
from schemas.topics import AUTH_REQUESTS

_LOG: Final = logging.getLogger(__name__)
_TOKEN: Final = re.compile(r"[Bb]earer +([A-Za-z0-9._~+/=-]{1,4096})")
_CACHED_MAX: Final = 10_000
_ENDED_MAX: Final = 100_000
_VALIDATE_MS: Final = 2_000
_SIGN_IN_MS: Final = 5_000


class Sessions:
    """Verdicts by token, bounded in number and age, and the sessions that have ended."""

    def __init__(self, cached_s: float) -> None:
        self._cached_s: Final = cached_s
        self._verdicts: Final[OrderedDict[bytes, tuple[float, Verdict]]] = OrderedDict()
        self._ended: Final[OrderedDict[str, None]] = OrderedDict()

    def get(self, token: bytes) -> Verdict | None:
        """A verdict that still counts."""
        found = self._verdicts.get(token)
        if found is None:
            return None
        known_until_s, verdict = found
        if time.monotonic() < known_until_s and not self.is_dead(verdict):
            return verdict
        del self._verdicts[token]
        return None

    def put(self, token: bytes, verdict: Verdict) -> None:
        """Remember a verdict."""
        self._verdicts[token] = (time.monotonic() + self._cached_s, verdict)
        if len(self._verdicts) > _CACHED_MAX:
            self._verdicts.popitem(last=False)

    def end(self, session_id: str) -> None:
        """Forget a session for good: also a verdict on its way no longer counts."""
        self._ended[session_id] = None
        if len(self._ended) > _ENDED_MAX:
            self._ended.popitem(last=False)

    def is_dead(self, verdict: Verdict) -> bool:
        """Whether the session ended or the token's time is over."""
        return verdict.session_id in self._ended or verdict.expires_at_ms <= time.time() * 1000


class Auth:
    """Asks the auth service, once for all who present the same token at the same time."""

    def __init__(self, deciding: Deciding, sealing: SealingKey, sessions: Sessions) -> None:
        self._deciding: Final = deciding
        self.sealing: Final = sealing
        self._reply_key: Final = OpeningKey.generate()
        self._asking: Final[dict[bytes, asyncio.Task[Verdict]]] = {}
        self.sessions: Final = sessions

    async def caller(self, request: Request) -> Verdict:
        """Who sent this request.

        Raises:
            Problem: no token, or one that is not good (401).
            Unavailable: auth does not answer; nobody is let in.
        """
        token = _bearer(request)
        hashed = hashlib.blake2b(token.encode(), digest_size=32).digest()
        verdict = self.sessions.get(hashed)
        if verdict is None:
            verdict = await self._asked(token, hashed, request_id_of(request))
        if self.sessions.is_dead(verdict):
            raise Problem("invalid-token")
        return verdict

    async def sign_in(
        self, request: Request, username: str, password: str, *, address: str
    ) -> SignedInSecret:
        """Check a password and start a session.

        Raises:
            Problem: wrong (401), blocked (403), or auth is busy (503).
            Unavailable: auth does not answer.
        """
        secret = SignInSecret(username=username, password=password, address=address)
        question = SignIn(secret=self.sealing.seal(secret), reply_key=self._reply_key.public)
        reply = await self._deciding.ask(
            AUTH_REQUESTS,
            question,
            deadline_ms=_SIGN_IN_MS,
            correlation_id=request_id_of(request),
        )
        match reply.event:
            case SignedIn(secret=sealed):
                return self._opened(sealed)
            case Refused() as refused:
                raise auth_refusal(refused)
            case other:
                raise Unavailable(f"auth answered {other.TYPE} to a sign-in")

    def saw_session_end(self, body: bytes) -> None:
        """Take a session-ended event of identity's journal."""
        event = EVENTS.decode(SessionEnded.TYPE, body)
        if isinstance(event, SessionEnded):
            self.sessions.end(event.session_id)

    def _opened(self, sealed: Sealed) -> SignedInSecret:
        try:
            return self._reply_key.open(sealed, SignedInSecret)
        except PoisonMessage as error:
            raise Unavailable("auth's answer does not open") from error

    async def _asked(self, token: str, hashed: bytes, correlation_id: str) -> Verdict:
        asking = self._asking.get(hashed)
        if asking is None:
            asking = asyncio.create_task(self._validated(token, correlation_id))
            self._asking[hashed] = asking
            asking.add_done_callback(lambda done: self._answered(hashed, done))
        return await asyncio.shield(asking)

    def _answered(self, hashed: bytes, done: "asyncio.Task[Verdict]") -> None:
        self._asking.pop(hashed, None)
        if not done.cancelled() and done.exception() is None:
            self.sessions.put(hashed, done.result())

    async def _validated(self, token: str, correlation_id: str) -> Verdict:
        question = Validate(secret=self.sealing.seal(TokenSecret(access_token=token)))
        reply = await self._deciding.ask(
            AUTH_REQUESTS, question, deadline_ms=_VALIDATE_MS, correlation_id=correlation_id
        )
        match reply.event:
            case Verdict() as verdict:
                return verdict
            case Refused(reason=Reason.INVALID_TOKEN):
                raise Problem("invalid-token")
            case Refused() as refused:
                raise auth_refusal(refused)
            case other:
                raise Unavailable(f"auth answered {other.TYPE} to a token")


def _bearer(request: Request) -> str:
    given = request.headers.getlist("authorization")
    match = _TOKEN.fullmatch(given[0]) if len(given) == 1 else None
    if match is None:
        raise Problem("invalid-token")
    return match.group(1)
