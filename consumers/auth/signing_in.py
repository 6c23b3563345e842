"""Sign-in: reserve the attempt at identity, check the password, settle, issue a token."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Final

from consumers.auth.passwords import Passwords
from consumers.auth.request import Request
from consumers.auth.sender import Sender
from consumers.auth.tail import Tail, settle_id
from consumers.auth.tokens import Tokens
from consumers.auth.turnstile import Turnstile
from runtime import metrics
from runtime.errors import Unavailable
from runtime.security.audit import Audit
from runtime.security.profiles import PASSWORD_HASH
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.sealed import SealingKey
from runtime.security.vault import Erased, Vault
from schemas.audit import Happened, SecurityEvent
from schemas.auth import Reason, Refused, SignedIn, SignedInSecret, SignInSecret
from schemas.codec import Message, encode
from schemas.envelope import CORRELATION_ID
from schemas.identity import (
    AddressSignInRefused,
    Ciphertext,
    ReserveSignIn,
    SessionStarted,
    SettleSignIn,
    SignInFailed,
    SignInLocked,
    SignInReserved,
    UserSignInRefused,
)
from schemas.identity import Reason as IdentityReason
from schemas.topics import IDENTITY_COMMANDS

_WAIT_S_MAX: Final = 10.0
"""Well below identity's 30 s, after which a reservation stops counting."""
_SETTLE_MS_MAX: Final = 15_000
_BUSY_WAIT_S: Final = 0.05
_WRONG: Final = Refused(reason=Reason.INVALID_CREDENTIALS)
_LOCKED: Final = Refused(reason=Reason.USER_LOCKED)
_BUSY: Final = Refused(reason=Reason.BUSY, retry_after_s=1)
_Ended = SessionStarted | SignInFailed | SignInLocked | AddressSignInRefused | UserSignInRefused
_HAPPENED: Final = {
    SessionStarted.TYPE: Happened.SIGNED_IN,
    SignInFailed.TYPE: Happened.SIGN_IN_FAILED,
    SignInLocked.TYPE: Happened.SIGN_IN_LOCKED,
    AddressSignInRefused.TYPE: Happened.SIGN_IN_BLOCKED,
    UserSignInRefused.TYPE: Happened.SIGN_IN_BLOCKED,
}


class SigningIn:
    """Signs in with exactly as many wrong attempts as identity allows."""

    def __init__(  # noqa: PLR0913  # its parts
        self,
        *,
        passwords: Passwords,
        pseudonyms: Pseudonyms,
        vault: Vault,
        tokens: Tokens,
        sender: Sender,
        tail: Tail,
        audit: Audit,
        token_s: int,
    ) -> None:
        self._passwords: Final = passwords
        self._pseudonyms: Final = pseudonyms
        self._vault: Final = vault
        self._tokens: Final = tokens
        self._sender: Final = sender
        self._tail: Final = tail
        self._audit: Final = audit
        self._token_s: Final = token_s
        self._turnstile: Final = Turnstile()
        self._settlements: Final[set[asyncio.Task[Message]]] = set()

    async def sign_in(self, request: Request, secret: SignInSecret, reply_key: str) -> Message:
        """The answer: a sealed token, or a refusal.

        Raises:
            PoisonMessage: the reply key is none.
            Unavailable: a dependency is down.
        """
        sealing = SealingKey.decode(reply_key)
        today = datetime.now(UTC).date()
        address = self._pseudonyms.address(secret.address, today)
        username = self._pseudonyms.username(secret.username)
        try:
            async with asyncio.timeout(min(request.patience_s, _WAIT_S_MAX)), AsyncExitStack() as s:
                await s.enter_async_context(self._turnstile.through(f"address:{address}"))
                await s.enter_async_context(self._turnstile.through(f"user:{username}"))
                reserved = await self._reserve(request, address, username)
                if not isinstance(reserved, SignInReserved):
                    self._tell(request, reserved)
                    return _refusal(reserved)
                settling = self._settling(request, reserved, secret.password)
                return self._answer(await asyncio.shield(settling), sealing)
        except TimeoutError:
            return _BUSY

    async def _reserve(self, request: Request, address: str, username: str) -> Message:
        """Try again while others' attempts are being checked."""
        while True:
            attempt_id = secrets.token_hex(16)
            command = ReserveSignIn(
                address_hmac=address, username_hmac=username, attempt_id=attempt_id
            )
            outcome = await self._ask(request, attempt_id, address, command)
            if not _is_busy(outcome):
                return outcome
            await asyncio.sleep(_BUSY_WAIT_S)

    def _settling(
        self, request: Request, reserved: SignInReserved, password: str
    ) -> asyncio.Task[Message]:
        """Check and settle to the end, even when nobody waits: a reservation blocks others."""
        task = asyncio.create_task(self._check(request, reserved, password))
        self._settlements.add(task)
        task.add_done_callback(self._settled)
        return task

    def _settled(self, task: asyncio.Task[Message]) -> None:
        self._settlements.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has got it

    async def _check(self, request: Request, reserved: SignInReserved, password: str) -> Message:
        hashed = await self._hash_of(reserved.password_hash)
        right = await self._passwords.match(hashed or self._passwords.decoy, password)
        command = SettleSignIn(
            address_hmac=reserved.address_hmac,
            username_hmac=reserved.username_hmac,
            attempt_id=reserved.attempt_id,
            right=right and hashed is not None,
            expires_at_ms=(int(time.time()) + self._token_s) * 1_000,
        )
        command_id = settle_id(reserved.attempt_id)
        expires_at_ms = request.expires_at_ms + _SETTLE_MS_MAX
        patient = request._replace(expires_at_ms=expires_at_ms)
        async with asyncio.timeout(_SETTLE_MS_MAX / 1_000):
            settled = await self._ask(patient, command_id, reserved.username_hmac, command)
        self._tell(request, settled)
        return settled

    def _tell(self, request: Request, outcome: Message) -> None:
        """Tell the audit how a sign-in ended."""
        if not isinstance(outcome, _Ended):
            return
        happened = _HAPPENED[outcome.TYPE]
        metrics.SIGN_INS.labels(happened).inc()
        self._audit.tell(
            SecurityEvent(
                happened=happened,
                user=outcome.username_hmac,
                address=outcome.address_hmac,
                request_id=request.headers.get(CORRELATION_ID, b"").decode() or None,
            )
        )

    async def _hash_of(self, stored: Ciphertext | None) -> str | None:
        """The hash to check against; an unknown or erased user has none."""
        if stored is None:
            return None
        try:
            return (await self._vault.decrypt(stored, use=PASSWORD_HASH)).decode()
        except Erased:
            return None

    async def _ask(self, request: Request, command_id: str, key: str, command: Message) -> Message:
        """Send a command to identity and wait for its outcome in the journal."""
        async with self._tail.waiters.expect(command_id) as outcome:
            await self._sender.send(
                IDENTITY_COMMANDS,
                encode(command),
                request.commanded(command_id, command, int(time.time() * 1_000)),
                key=key.encode(),
            )
            return await outcome

    def _answer(self, settled: Message, sealing: SealingKey) -> Message:
        match settled:
            case SessionStarted():
                return SignedIn(secret=sealing.seal(self._signed_in(settled)))
            case SignInFailed():
                return _WRONG
            case SignInLocked():
                return _LOCKED
            case _:
                raise Unavailable(f"identity answered {settled.TYPE}")

    def _signed_in(self, session: SessionStarted) -> SignedInSecret:
        expires_at_s = session.expires_at_ms // 1_000
        token = self._tokens.issue(
            user_id=session.user_id,
            username_hmac=session.username_hmac,
            session_id=session.session_id,
            role=session.role,
            issued_at_s=expires_at_s - self._token_s,
            expires_at_s=expires_at_s,
        )
        return SignedInSecret(access_token=token, expires_in=self._token_s)


def _is_busy(outcome: Message) -> bool:
    match outcome:
        case AddressSignInRefused() | UserSignInRefused():
            return outcome.reason is IdentityReason.SIGN_IN_BUSY
        case _:
            return False


def _refusal(outcome: Message) -> Message:
    match outcome:
        case AddressSignInRefused() | UserSignInRefused():
            retry_after_s = -(-outcome.retry_after_ms // 1_000)
            return Refused(reason=Reason.SIGN_IN_BLOCKED, retry_after_s=retry_after_s)
        case _:
            raise Unavailable(f"identity answered {outcome.TYPE}")
