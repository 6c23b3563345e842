"""Who waits too long to try a password hears that it is busy, not that something is down."""

import asyncio
from collections.abc import Awaitable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from consumers.auth.attempts import Attempts
from consumers.auth.request import Request
from consumers.auth.turnstile import WIDTH
from runtime.errors import Unavailable
from runtime.security.pseudonyms import Pseudonyms
from schemas.auth import Reason, Refused, SignIn
from schemas.codec import Message
from schemas.identity import (
    AddressSignInRefused,
    Ciphertext,
    SignInReserved,
    UserSignInRefused,
)
from schemas.identity import Reason as IdentityReason


class Silent:
    """Identity that never decides."""

    async def decided(self, *_: object) -> Message:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


class Reserving:
    """Identity that lets everybody try."""

    async def decided(self, *asked: Any) -> Message:
        command = asked[-1]
        return SignInReserved(
            address_hmac=command.address_hmac,
            username_hmac=command.username_hmac,
            attempt_id=command.attempt_id,
        )


class Refusing:
    """Identity that refuses by this event."""

    def __init__(
        self,
        refused: type[AddressSignInRefused | UserSignInRefused],
        reason: IdentityReason = IdentityReason.SIGN_IN_BLOCKED,
    ) -> None:
        self._refused = refused
        self._reason = reason

    async def decided(self, *asked: Any) -> Message:
        command = asked[-1]
        return self._refused(
            address_hmac=command.address_hmac,
            username_hmac=command.username_hmac,
            attempt_id=command.attempt_id,
            reason=self._reason,
            retry_after_ms=2_500,
        )


class Slow:
    """A vault behind which passwords wait longer than anybody."""

    def forget(self, _key_id: str) -> None:
        """Nothing is kept."""

    async def decrypt(self, _ciphertext: Ciphertext, *, use: bytes) -> bytes:
        await asyncio.Event().wait()
        return use


UNREACHED = cast("Any", None)
REQUEST = Request(cast("Any", SignIn), {}, appended_ms=0, expires_at_ms=200)
BUSY = Refused(reason=Reason.BUSY, retry_after_s=1)


def attempts_of(identity: object, vault: object = None, audit: object = None) -> Attempts:
    pseudonyms = Pseudonyms(b"k" * 32)
    today = datetime.now(UTC).date()
    pseudonyms.take(dict.fromkeys((today, today + timedelta(days=1)), b"d" * 32))
    return Attempts(
        identity=cast("Any", identity),
        passwords=UNREACHED,
        pseudonyms=pseudonyms,
        vault=cast("Any", vault),
        audit=cast("Any", audit),
        decoy=Ciphertext(key_id="k", nonce="n", bytes="b"),
    )


def trying(attempts: Attempts) -> Awaitable[Message]:
    return attempts.tried(REQUEST, address="a", username_hmac="u", password="", settle=UNREACHED)


async def test_who_is_not_let_in_in_time_is_told_to_come_back() -> None:
    attempts = attempts_of(Silent())
    asked = (trying(attempts) for _ in range(WIDTH + 3))
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(each, Unavailable) for each in outcomes[:WIDTH]] == [True] * WIDTH
    assert outcomes[WIDTH:] == [BUSY] * 3


async def test_whose_password_is_not_hashed_in_time_is_told_to_come_back() -> None:
    assert await trying(attempts_of(Reserving(), Slow())) == BUSY


async def test_who_others_attempts_keep_waiting_is_told_to_come_back() -> None:
    busy = Refusing(UserSignInRefused, IdentityReason.SIGN_IN_BUSY)
    assert await trying(attempts_of(busy)) == BUSY


@pytest.mark.parametrize("refused", [AddressSignInRefused, UserSignInRefused])
async def test_a_refusal_says_whether_it_is_everybodys_at_the_address(
    refused: type[AddressSignInRefused | UserSignInRefused],
) -> None:
    told: list[object] = []
    attempts = attempts_of(Refusing(refused), audit=SimpleNamespace(tell=told.append))
    assert await trying(attempts) == Refused(
        reason=Reason.SIGN_IN_BLOCKED,
        retry_after_s=3,
        of_address=refused is AddressSignInRefused,
    )
    assert len(told) == 1
