"""What does not answer is left alone for a while, and nobody waits for it meanwhile."""

import time
from typing import Any, cast

import pytest
from botocore.exceptions import EndpointConnectionError
from desks import deciding_at

from gateway.replies import Waiters
from producers.commands import BrokerClock
from runtime.breaker import Breaker, BreakerOpen
from runtime.dynamodb import DynamoTable
from runtime.errors import Unavailable
from runtime.settings import Settings
from schemas.auth import Sealed, SignIn, Validate
from schemas.topics import AUTH_REQUESTS

SEALED = Sealed(key_id="k", box="c2VhbGVk")
VALIDATE = Validate(secret=SEALED)
SIGN_IN = SignIn(secret=SEALED, reply_key="cmVwbHk=")


class Absent:
    """Auth that cannot be reached, and how often that was tried."""

    def __init__(self) -> None:
        self.clock, self.waiters, self.partition, self.tries = BrokerClock(), Waiters(), 0, 0
        self.deciding = deciding_at(self)

    async def publish(self, *_: object, **__: object) -> None:
        self.tries += 1
        raise Unavailable("nobody there")

    async def ask(self, question: Validate | SignIn) -> None:
        await self.deciding.ask(AUTH_REQUESTS, question, deadline_ms=2_000)


async def test_auth_that_never_answers_is_asked_no_more() -> None:
    auth = Absent()
    for _ in range(20):
        with pytest.raises(Unavailable):
            await auth.ask(VALIDATE)
    assert auth.tries == 5
    with pytest.raises(BreakerOpen):
        await auth.ask(VALIDATE)


async def test_sign_ins_that_fail_keep_nobody_out_who_is_signed_in() -> None:
    auth = Absent()
    for _ in range(20):
        with pytest.raises(Unavailable):
            await auth.ask(SIGN_IN)
    before = auth.tries
    with pytest.raises(Unavailable) as refused:
        await auth.ask(VALIDATE)
    assert not isinstance(refused.value, BreakerOpen)
    assert auth.tries == before + 1


class Gone:
    """A client of a DynamoDB that is not there, until it is."""

    def __init__(self) -> None:
        self.tries = 0
        self.is_back = False

    async def get_item(self, **_: object) -> dict[str, Any]:
        self.tries += 1
        if not self.is_back:
            raise EndpointConnectionError(endpoint_url="http://gone")
        return {}


async def test_a_store_that_is_gone_is_asked_no_more_until_a_probe_finds_it() -> None:
    now_s, client = time.monotonic(), Gone()
    breaker = Breaker("store", clock_s=lambda: now_s)
    table = DynamoTable(cast("Any", client), Settings(), breaker=breaker)
    for _ in range(30):
        with pytest.raises(Unavailable):
            await table.get("vault", {"key_id": "k"})
    assert client.tries == 10
    now_s += 2
    with pytest.raises(Unavailable):
        await table.get("vault", {"key_id": "k"})
    assert client.tries == 11
    client.is_back = True
    now_s += 2
    assert await table.get("vault", {"key_id": "k"}) is None
    assert await table.get("vault", {"key_id": "k"}) is None
    assert client.tries == 13
