"""An address that identity blocked is refused here, for no longer than identity would."""

import asyncio
from types import SimpleNamespace

import httpx
import pytest
from desks import deciding_at
from traders import WRONG

from gateway.app import app
from gateway.auth import Auth
from gateway.blocked import Blocked
from gateway.replies import Waiters
from gateway.sessions import Sessions
from producers.commands import Acknowledgement, BrokerClock
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.sealed import OpeningKey
from runtime.settings import Settings
from schemas.audit import Happened, SecurityEvent
from schemas.auth import Reason, Refused
from schemas.codec import Message, encode
from schemas.envelope import CE_TYPE


class Blocker:
    """A gateway whose auth refuses everybody with `answer`."""

    def __init__(self) -> None:
        self.answer = Refused(reason=Reason.SIGN_IN_BLOCKED, retry_after_s=60, of_address=True)
        self.asked = 0
        self.told: list[SecurityEvent] = []
        self.clock = BrokerClock()
        self.waiters = Waiters()
        self.partition = 0
        app.state.services = SimpleNamespace(
            settings=Settings(),
            auth=Auth(deciding_at(self), OpeningKey.generate().sealing, Sessions(5.0)),
            pseudonyms=Pseudonyms(b"k" * 32),
            audit=SimpleNamespace(tell=self.told.append),
        )

    async def publish(self, *_: object, command_id: str, **__: object) -> Acknowledgement:
        self.asked += 1
        answer: Message = self.answer
        self.waiters.resolve(command_id, {CE_TYPE: answer.TYPE.encode()}, encode(answer))
        return asyncio.get_running_loop().create_future()

    async def sign_in(self, address: str) -> httpx.Response:
        transport = httpx.ASGITransport(app, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            body = {"username": "somebody", "password": WRONG}
            return await client.post("/api/v1/auth/login", json=body)


@pytest.fixture
def blocker() -> Blocker:
    return Blocker()


async def test_a_blocked_address_is_refused_without_asking_and_told(blocker: Blocker) -> None:
    first, second = [await blocker.sign_in("192.0.2.1") for _ in range(2)]
    assert blocker.asked == 1
    assert (first.status_code, first.json()["code"]) == (403, "sign-in-blocked")
    assert (second.status_code, second.json()["code"]) == (403, "sign-in-blocked")
    assert 55 < int(second.headers["retry-after"]) <= 60
    (told,) = blocker.told
    assert told.happened is Happened.SIGN_IN_BLOCKED
    assert told.user == Pseudonyms(b"k" * 32).username("somebody")
    await blocker.sign_in("192.0.2.2")
    assert blocker.asked == 2


async def test_a_user_blocked_by_others_blocks_no_address(blocker: Blocker) -> None:
    blocker.answer = Refused(reason=Reason.SIGN_IN_BLOCKED, retry_after_s=60)
    for _ in range(2):
        assert (await blocker.sign_in("192.0.2.1")).status_code == 403
    assert blocker.asked == 2


def test_the_last_second_is_identitys_and_few_addresses_are_kept() -> None:
    now_s = 0.0
    blocked = Blocked(lambda: now_s)
    blocked.add("a", 300)
    assert blocked.left_s("a") == 300
    now_s = 298.5
    assert blocked.left_s("a") == 2
    now_s = 299.0
    assert blocked.left_s("a") == 0
    for each in range(10_001):
        blocked.add(str(each), 60)
    assert (blocked.left_s("0"), blocked.left_s("1")) == (0, 60)
