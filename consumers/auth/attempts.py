"""Attempts at a password: reserved at identity, checked, settled; never more than it allows."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Final

from consumers.auth.asking import Identity
from consumers.auth.passwords import Passwords
from consumers.auth.request import Request
from consumers.auth.tail import settle_id
from consumers.auth.turnstile import Overloaded, Turnstile
from runtime import metrics
from runtime.errors import Unavailable
from runtime.security.audit import Audit
from runtime.security.profiles import PASSWORD_HASH
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.vault import Erased, Vault
from schemas.audit import Happened, SecurityEvent
from schemas.auth import Reason, Refused
from schemas.codec import Message
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

ATTEMPTS_MAX: Final = 64
"""In work at a time, which is seconds of hashing; more are refused, so that others get through."""
_QUEUE_SHARE: Final = 0.6
"""Of a request's patience for waiting to be let in; who is let in has the rest to be decided."""
_SETTLE_MS_MAX: Final = 15_000
_BUSY_WAIT_S: Final = 0.05
_WRONG: Final = Refused(reason=Reason.INVALID_CREDENTIALS)
_LOCKED: Final = Refused(reason=Reason.USER_LOCKED)
_BUSY: Final = Refused(reason=Reason.BUSY, retry_after_s=1)
_Ended = SessionStarted | SignInFailed | SignInLocked | AddressSignInRefused | UserSignInRefused
"""Ends that only auth tells of; that of a change of the password, identity's outbox tells."""
_HAPPENED: Final = {
    SessionStarted.TYPE: Happened.SIGNED_IN,
    SignInFailed.TYPE: Happened.SIGN_IN_FAILED,
    SignInLocked.TYPE: Happened.SIGN_IN_LOCKED,
    AddressSignInRefused.TYPE: Happened.SIGN_IN_BLOCKED,
    UserSignInRefused.TYPE: Happened.SIGN_IN_BLOCKED,
}

Settle = Callable[[SignInReserved, str], Awaitable[Message]]
"""What a right password commands; it is given the reservation and the hash that matched."""


class Attempts:
    """Lets passwords be tried with exactly as many wrong attempts as identity allows."""

    def __init__(  # noqa: PLR0913  # its parts
        self,
        *,
        identity: Identity,
        passwords: Passwords,
        pseudonyms: Pseudonyms,
        vault: Vault,
        audit: Audit,
        decoy: Ciphertext,
        attempts_max: int = ATTEMPTS_MAX,
    ) -> None:
        self._identity: Final = identity
        self._passwords: Final = passwords
        self._pseudonyms: Final = pseudonyms
        self._vault: Final = vault
        self._audit: Final = audit
        self._decoy: Final = decoy
        self._turnstile: Final = Turnstile()
        self._settlements: Final[set[asyncio.Task[Message]]] = set()
        self._places: Final = asyncio.Semaphore(attempts_max)

    async def tried(  # who tries what from where
        self, request: Request, *, address: str, username_hmac: str, password: str, settle: Settle
    ) -> Message:
        """What identity decided of the attempt, or our refusal.

        Raises:
            Unavailable: a dependency is down, or too slow.
        """
        if self._places.locked():
            return _BUSY
        today = datetime.now(UTC).date()
        address_hmac = self._pseudonyms.address(address, today)
        wait_s = request.patience_s
        in_until_s = asyncio.get_running_loop().time() + wait_s * _QUEUE_SHARE
        is_reserved = False
        try:
            async with asyncio.timeout(wait_s), AsyncExitStack() as passed:
                await self._let_in(passed, address_hmac, username_hmac, in_until_s)
                reserved = await self._reserve(request, address_hmac, username_hmac, in_until_s)
                if not isinstance(reserved, SignInReserved):
                    self._tell(request, reserved)
                    return _refusal(reserved)
                is_reserved = True
                settled = await asyncio.shield(self._settling(request, reserved, password, settle))
        except Overloaded:
            return _BUSY
        except TimeoutError as error:
            if is_reserved:  # identity decides, and too many passwords are being hashed
                return _BUSY
            raise Unavailable("an attempt is not decided in time") from error
        return _answered(settled)

    async def _let_in(
        self, passed: AsyncExitStack, address_hmac: str, username_hmac: str, until_s: float
    ) -> None:
        """Wait until few enough are tried at once.

        Raises:
            Overloaded: too many wait, or it takes longer than until then (of the loop's clock).
        """
        try:
            async with asyncio.timeout_at(until_s):
                await passed.enter_async_context(self._places)
                for key in (f"address:{address_hmac}", f"user:{username_hmac}"):
                    await passed.enter_async_context(self._turnstile.through(key))
        except TimeoutError as error:
            raise Overloaded from error

    async def _reserve(
        self, request: Request, address_hmac: str, username_hmac: str, until_s: float
    ) -> Message:
        """Try again while others' attempts are being checked.

        Raises:
            Overloaded: they still are by then.
        """
        while True:
            attempt_id = secrets.token_hex(16)
            command = ReserveSignIn(
                address_hmac=address_hmac, username_hmac=username_hmac, attempt_id=attempt_id
            )
            outcome = await self._identity.decided(request, attempt_id, address_hmac, command)
            if not _is_busy(outcome):
                return outcome
            if asyncio.get_running_loop().time() > until_s:
                raise Overloaded
            await asyncio.sleep(_BUSY_WAIT_S)

    def _settling(
        self, request: Request, reserved: SignInReserved, password: str, settle: Settle
    ) -> asyncio.Task[Message]:
        """Check and settle to the end, even when nobody waits: a reservation blocks others."""
        task = asyncio.create_task(self._check(request, reserved, password, settle))
        self._settlements.add(task)
        task.add_done_callback(self._settled)
        return task

    def _settled(self, task: asyncio.Task[Message]) -> None:
        self._settlements.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has got it

    async def _check(
        self, request: Request, reserved: SignInReserved, password: str, settle: Settle
    ) -> Message:
        hashed = await self._hash_of(reserved.password_hash)
        matches = await self._passwords.match(hashed or self._passwords.decoy, password)
        right = matches and hashed is not None
        command = await settle(reserved, hashed) if right and hashed else _wrong(reserved)
        expires_at_ms = request.expires_at_ms + _SETTLE_MS_MAX
        patient = request._replace(expires_at_ms=expires_at_ms)
        async with asyncio.timeout(_SETTLE_MS_MAX / 1_000):
            settled = await self._identity.decided(
                patient, settle_id(reserved.attempt_id), reserved.username_hmac, command
            )
        self._tell(request, settled)
        return settled

    def _tell(self, request: Request, outcome: Message) -> None:
        """Tell the audit how an attempt ended."""
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
                call=request.message.TYPE,
            )
        )

    async def _hash_of(self, stored: Ciphertext | None) -> str | None:
        """The hash to check against; an unknown or erased user has none.

        Nobody's decoy is fetched and decrypted as everybody's own, with a key from the store and
        never from memory: else the time would tell who exists, and who signed in just now.
        """
        kept = stored or self._decoy
        self._vault.forget(kept.key_id)
        try:
            hashed = (await self._vault.decrypt(kept, use=PASSWORD_HASH)).decode()
        except Erased:
            return None
        return None if stored is None else hashed


async def make_decoy(vault: Vault, passwords: Passwords) -> Ciphertext:
    """What stands in for the stored hash of somebody unknown; raises as `Vault.encrypt`."""
    key_id = await vault.create()
    return await vault.encrypt(key_id, passwords.decoy.encode(), use=PASSWORD_HASH)


def _wrong(reserved: SignInReserved) -> SettleSignIn:
    return SettleSignIn(
        address_hmac=reserved.address_hmac,
        username_hmac=reserved.username_hmac,
        attempt_id=reserved.attempt_id,
        right=False,
    )


def _answered(settled: Message) -> Message:
    match settled:
        case SignInFailed():
            return _WRONG
        case SignInLocked():
            return _LOCKED
        case _:
            return settled


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
            return Refused(
                reason=Reason.SIGN_IN_BLOCKED,
                retry_after_s=retry_after_s,
                of_address=isinstance(outcome, AddressSignInRefused),
            )
        case _:
            raise Unavailable(f"identity answered {outcome.TYPE}")
