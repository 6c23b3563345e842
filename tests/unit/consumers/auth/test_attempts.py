"""Who waits too long to try a password hears that it is busy, not that something is down."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from consumers.auth.attempts import Attempts
from consumers.auth.request import Request
from consumers.auth.turnstile import WIDTH
from runtime.errors import Unavailable
from runtime.security.pseudonyms import Pseudonyms
from schemas.auth import Reason, Refused
from schemas.codec import Message


class Silent:
    """Identity that never decides."""

    async def decided(self, *_: object) -> Message:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


async def test_who_is_not_let_in_in_time_is_told_to_come_back() -> None:
    unreached = cast("Any", None)
    pseudonyms = Pseudonyms(b"k" * 32)
    today = datetime.now(UTC).date()
    pseudonyms.take(dict.fromkeys((today, today + timedelta(days=1)), b"d" * 32))
    attempts = Attempts(
        identity=cast("Any", Silent()),
        passwords=unreached,
        pseudonyms=pseudonyms,
        vault=unreached,
        audit=unreached,
        decoy=unreached,
    )
    request = Request(unreached, {}, appended_ms=0, expires_at_ms=200)
    outcomes = await asyncio.gather(
        *(
            attempts.tried(request, address="a", username_hmac="u", password="", settle=unreached)
            for _ in range(WIDTH + 3)
        ),
        return_exceptions=True,
    )
    busy = Refused(reason=Reason.BUSY, retry_after_s=1)
    assert [isinstance(each, Unavailable) for each in outcomes[:WIDTH]] == [True] * WIDTH
    assert outcomes[WIDTH:] == [busy] * 3
