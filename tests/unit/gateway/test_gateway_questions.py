"""Who presents a token is known: asked about together, renewed in time, never past its time."""

import asyncio
import time

import pytest
from desks import deciding_at
from starlette.requests import Request

from gateway.auth import Auth
from gateway.problems import Problem
from gateway.replies import Waiters
from gateway.sessions import Sessions
from producers.commands import Acknowledgement, BrokerClock
from runtime.errors import Unavailable
from runtime.security.api_keys import new_api_key
from runtime.security.sealed import OpeningKey
from schemas.auth import TokensSecret, Validate, Verdict, Verdicts
from schemas.codec import encode
from schemas.envelope import CE_TYPE

CACHED_S = 5.0
BAD = "bad"


class Door:
    """Auth, and the way there and back; a token says its holder, and `BAD` is not good.

    `is_silent` takes questions and answers none.
    """

    def __init__(self) -> None:
        self.clock = BrokerClock()
        self.waiters = Waiters()
        self.partition = 0
        self.now_s = 0.0
        self.is_silent = False
        self.bad = {BAD}
        self.asked: list[tuple[str, ...]] = []
        self._opening = OpeningKey.generate()
        self.sessions = Sessions(CACHED_S, lambda: self.now_s)
        self.auth = Auth(deciding_at(self), self._opening.sealing, self.sessions)

    async def publish(
        self, _topic: str, _key: None, question: Validate, *, command_id: str, **_: object
    ) -> Acknowledgement:
        tokens = self._opening.open(question.secret, TokensSecret).access_tokens
        self.asked.append(tokens)
        if not self.is_silent:
            verdicts = Verdicts(verdicts=tuple(map(self._verdict, tokens)))
            self.waiters.resolve(command_id, {CE_TYPE: verdicts.TYPE.encode()}, encode(verdicts))
        return asyncio.get_running_loop().create_future()

    def _verdict(self, token: str) -> Verdict | None:
        if token in self.bad:
            return None
        return Verdict(
            user_id=token,
            username_hmac="h",
            session_id=f"session of {token}",
            role="trader",
            expires_at_ms=round(time.time() * 1_000) + 60_000,
        )

    async def caller(self, token: str) -> Verdict:
        headers = [(b"authorization", f"Bearer {token}".encode())]
        request = {"type": "http", "headers": headers, "cnop.request_id": "r"}
        return await self.auth.caller(Request(request))

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(5):
            while len(self.asked) < times or len(self.waiters):  # noqa: ASYNC110  # a deadline
                await asyncio.sleep(0.01)


async def test_tokens_of_one_moment_share_a_question() -> None:
    door = Door()
    tokens = ["ann", "ben", "ann", "cid"]
    callers = await asyncio.gather(*map(door.caller, tokens))
    assert [each.user_id for each in callers] == tokens
    assert door.asked == [("ann", "ben", "cid")]


async def test_a_question_holds_32_tokens_at_most() -> None:
    door = Door()
    await asyncio.gather(*(door.caller(f"t{each}") for each in range(40)))
    assert list(map(len, door.asked)) == [32, 8]


async def test_a_bad_token_spoils_nobody_elses() -> None:
    door = Door()
    ann, bad = await asyncio.gather(door.caller("ann"), door.caller(BAD), return_exceptions=True)
    assert isinstance(ann, Verdict)
    assert isinstance(bad, Problem)
    assert bad.code == "invalid-token"


async def test_a_verdict_past_half_its_life_is_renewed_and_nobody_waits() -> None:
    door = Door()
    await door.caller("ann")
    door.now_s, door.is_silent = 0.6 * CACHED_S, True
    assert (await door.caller("ann")).user_id == "ann"
    assert len(door.asked) == 1
    door.is_silent = False
    await door.until_asked(2)
    door.now_s = 1.4 * CACHED_S
    assert (await door.caller("ann")).user_id == "ann"
    assert door.asked == [("ann",), ("ann",)]


async def test_renewals_go_along_with_whoever_waits() -> None:
    door = Door()
    await door.caller("ann")
    door.now_s = 0.6 * CACHED_S
    await door.caller("ann")
    await door.caller("ben")
    assert door.asked == [("ann",), ("ann", "ben")]


async def test_a_verdict_that_is_not_renewed_ends_in_time() -> None:
    door = Door()
    await door.caller("ann")
    door.now_s, door.is_silent = 1.1 * CACHED_S, True
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await door.caller("ann")


async def test_a_token_found_bad_when_renewed_is_good_no_longer() -> None:
    door = Door()
    await door.caller("ann")
    door.now_s = 0.6 * CACHED_S
    door.bad.add("ann")
    await door.caller("ann")
    await door.until_asked(2)
    with pytest.raises(Problem):
        await door.caller("ann")


async def test_a_refused_token_is_not_asked_about_for_two_seconds() -> None:
    door = Door()
    for now_s in (0.0, 1.0, 1.9, 2.1):
        door.now_s = now_s
        with pytest.raises(Problem):
            await door.caller(BAD)
    assert len(door.asked) == 2


async def test_an_api_key_that_was_refused_is_good_as_soon_as_auth_knows_it() -> None:
    door, key = Door(), new_api_key()
    door.bad.add(key)
    with pytest.raises(Problem):
        await door.caller(key)
    door.bad.clear()
    assert (await door.caller(key)).user_id == key


async def test_a_session_that_ends_while_its_verdict_is_on_its_way_is_over() -> None:
    door = Door()
    asking = asyncio.create_task(door.caller("ann"))
    door.sessions.end("session of ann")
    with pytest.raises(Problem):
        await asking


async def test_who_waits_for_auth_in_vain_is_not_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.questions._ANSWER_MS", 20)
    door = Door()
    door.is_silent = True
    both = await asyncio.gather(*map(door.caller, ("ann", "ann")), return_exceptions=True)
    assert [type(each) for each in both] == [Unavailable, Unavailable]
    door.is_silent = False
    assert (await door.caller("ann")).user_id == "ann"
