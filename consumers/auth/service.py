"""What auth answers to each request, and what it does with what is none."""

import logging
import secrets
import time
from typing import Final

from aiokafka import ConsumerRecord

from consumers.auth.changing_password import ChangingPassword
from consumers.auth.refreshing import Refreshing
from consumers.auth.registering import Registering
from consumers.auth.request import Request, answer_headers, route_of
from consumers.auth.sender import Sender
from consumers.auth.signing_in import SigningIn
from consumers.auth.tail import Tail
from consumers.auth.tokens import Claims, InvalidToken, Tokens
from runtime import logs, metrics
from runtime.errors import Unavailable
from runtime.journal.entries import dead_letter
from runtime.log import Record
from runtime.security.api_keys import hash_of, is_api_key
from runtime.security.sealed import OpeningKey
from schemas.auth import (
    ChangePassword,
    ChangePasswordSecret,
    Reason,
    Refresh,
    RefreshSecret,
    Refused,
    Register,
    RegisterSecret,
    SignIn,
    SignInSecret,
    TokensSecret,
    Validate,
    Verdict,
    Verdicts,
)
from schemas.codec import Message, PoisonMessage, encode
from schemas.envelope import CORRELATION_ID, ReplyRoute
from schemas.topics import AUTH_REQUESTS, GATEWAY_REPLIES, dlq_of

_LOG: Final = logging.getLogger(__name__)
_LATE_MS: Final = 1_000
_UNAVAILABLE: Final = Refused(reason=Reason.UNAVAILABLE, retry_after_s=1)
_INVALID_SECRET: Final = Refused(reason=Reason.INVALID_SECRET)


class Auth:
    """Handles one record of `auth.requests` at a time; many at once."""

    def __init__(  # noqa: PLR0913  # its parts
        self,
        *,
        opening: OpeningKey,
        tokens: Tokens,
        registering: Registering,
        signing_in: SigningIn,
        refreshing: Refreshing,
        changing_password: ChangingPassword,
        sender: Sender,
        tail: Tail,
    ) -> None:
        self._opening: Final = opening
        self._tokens: Final = tokens
        self._registering: Final = registering
        self._signing_in: Final = signing_in
        self._refreshing: Final = refreshing
        self._changing_password: Final = changing_password
        self._sender: Final = sender
        self._tail: Final = tail

    async def handle(self, record: ConsumerRecord[bytes, bytes]) -> None:
        """Answer the record, or dead-letter it; returns when nothing more is to be done."""
        route = route_of(record)
        try:
            answer = await self._answered(Request.of(record))
        except PoisonMessage as poison:
            await self._dead_letter(record, str(poison))
            answer = _INVALID_SECRET
        except Unavailable as error:
            _LOG.warning("a request cannot be answered now: %s", error)
            answer = _UNAVAILABLE
        if answer is not None and route is not None:
            await self._reply(answer, route)

    async def _answered(self, request: Request) -> Message | None:
        """The answer; None when identity gives it, or nobody waits any more."""
        logs.correlation_id.set(request.headers.get(CORRELATION_ID, b"").decode() or None)
        message = request.message
        if isinstance(message, Register):
            await self._registering.register(request, await self._registration(request, message))
            return None
        if time.time() * 1_000 > request.expires_at_ms + _LATE_MS:
            return None
        match message:
            case SignIn():
                secret = self._opening.open(message.secret, SignInSecret)
                return await self._signing_in.sign_in(request, secret, message.reply_key)
            case Refresh():
                secret = self._opening.open(message.secret, RefreshSecret)
                return await self._refreshing.refresh(request, secret, message.reply_key)
            case ChangePassword():
                secret = self._opening.open(message.secret, ChangePasswordSecret)
                return await self._changing_password.change(request, secret)
            case Validate():
                return await self._verdicts(self._opening.open(message.secret, TokensSecret))
            case _:
                raise PoisonMessage(f"auth does not answer {message.TYPE}")

    async def _registration(self, request: Request, message: Register) -> RegisterSecret:
        try:
            return self._opening.open(message.secret, RegisterSecret)
        except PoisonMessage:
            await self._registering.give_up(request, key=request.command_id)
            raise

    async def _verdicts(self, secret: TokensSecret) -> Message:
        """Fails closed: without fresh knowledge of revocations no token is good."""
        presented = tuple(map(self._presented, secret.access_tokens))
        if any(presented) and not await self._tail.fresh():
            return _UNAVAILABLE
        return Verdicts(verdicts=tuple(map(self._verdict, presented)))

    def _presented(self, token: str) -> Claims | str | None:
        """What a token says, or an API key's hash."""
        if is_api_key(token):
            return hash_of(token)
        try:
            return self._tokens.read(token)
        except InvalidToken:
            return None

    def _verdict(self, claims: Claims | str | None) -> Verdict | None:
        if isinstance(claims, str):
            return self._tail.api_keys.verdict(claims, now_ms=time.time() * 1_000)
        if claims is None or claims.sid in self._tail.revoked:
            return None
        return Verdict(
            user_id=claims.sub,
            username_hmac=claims.unh,
            session_id=claims.sid,
            role=claims.role,
            expires_at_ms=claims.exp * 1_000,
        )

    async def _reply(self, answer: Message, route: ReplyRoute) -> None:
        headers = answer_headers(secrets.token_hex(16), answer, route, int(time.time() * 1_000))
        try:
            await self._sender.send(
                GATEWAY_REPLIES, encode(answer), headers, partition=route.partition
            )
        except Unavailable as error:
            _LOG.warning("an answer is lost: %s", error)

    async def _dead_letter(self, record: ConsumerRecord[bytes, bytes], problem: str) -> None:
        """Keep the raw record for operators; going on without it would lose it."""
        letter = dead_letter(
            Record(record.offset, record.timestamp, record.key, record.value, record.headers),
            topic=AUTH_REQUESTS,
            partition=record.partition,
            problem=problem,
        )
        await self._sender.deliver(
            dlq_of(AUTH_REQUESTS),
            letter.value,
            letter.headers,
            key=letter.key,
            partition=record.partition,
        )
        metrics.DEAD_LETTERS.labels(AUTH_REQUESTS).inc()
