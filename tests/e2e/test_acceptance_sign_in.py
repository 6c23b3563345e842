"""Wrong sign-ins are counted exactly; a session that ended is dead everywhere."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import httpx
import pytest
from traders import WRONG, Gateways, check_problem, loopback, unique

from runtime.devstack.background import Stack

ALLOWED = 5
TRIES = 12


async def _elsewhere(stack: Stack, closing: AsyncExitStack, number: int) -> list[Gateways]:
    """Clients at so many addresses."""
    return [
        await closing.enter_async_context(Gateways.of(stack, address=loopback()))
        for _ in range(number)
    ]


async def _answered(
    gateways: Gateways, username: str, password: str, *, through: int
) -> httpx.Response:
    """The sign-in's answer; busy is none, one asks again."""
    async with asyncio.timeout(30):
        while (
            answer := await gateways.sign_in(username, password, through=through)
        ).status_code == 503:
            check_problem(answer)
            assert int(answer.headers["retry-after"]) >= 1
    return answer


def _check_blocked(answer: httpx.Response) -> None:
    assert answer.status_code == 403, answer.text
    check_problem(answer, "sign-in-blocked")
    assert 0 < int(answer.headers["retry-after"]) <= 300


async def test_after_five_wrong_sign_ins_of_a_user_the_right_password_is_a_403(
    stack: Stack,
) -> None:
    async with AsyncExitStack() as closing:
        places = await _elsewhere(stack, closing, ALLOWED + 2)
        victim = await places[0].trader()
        other = await places[0].trader()
        for number in range(1, ALLOWED + 1):
            wrong = await _answered(places[number], victim.username, WRONG, through=number)
            assert wrong.status_code == 401
            check_problem(wrong, "invalid-credentials")
        for through in (0, 1):
            blocked = await places[-1].sign_in(victim.username, through=through)
            _check_blocked(blocked)
        # who signed in there before still may: nobody is locked out of their own place
        at_home = await _answered(places[0], victim.username, "Passw0rd!Passw0rd", through=1)
        assert at_home.status_code == 200, at_home.text
        # neither the addresses nor other users pay for it, and open sessions live on
        for place in (places[0], places[-1]):
            answer = await _answered(place, other.username, "Passw0rd!Passw0rd", through=1)
            assert answer.status_code == 200, answer.text
        assert (await victim.send("GET", "/balance", through=1)).status_code == 200


async def test_after_five_wrong_sign_ins_from_an_address_nobody_signs_in_there(
    stack: Stack,
) -> None:
    async with AsyncExitStack() as closing:
        bad, good = await _elsewhere(stack, closing, 2)
        user = await good.trader()
        for number in range(ALLOWED):
            wrong = await _answered(bad, unique("ghost"), WRONG, through=number)
            assert wrong.status_code == 401
        for through in (0, 1):
            _check_blocked(await bad.sign_in(user.username, through=through))
            answer = await _answered(good, user.username, "Passw0rd!Passw0rd", through=through)
            assert answer.status_code == 200, answer.text


async def test_right_sign_ins_do_not_count(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        user = await gateways.trader()
        for number in range(ALLOWED - 1):
            wrong = await _answered(gateways, user.username, WRONG, through=number)
            assert wrong.status_code == 401
        for number in range(3):
            await gateways.signed_in(user.username, through=number)


@pytest.mark.parametrize("shared", ["username", "address"])
async def test_of_12_wrong_sign_ins_at_once_exactly_five_are_tried(
    stack: Stack, shared: str
) -> None:
    """The contract blocks the sixth wrong attempt: five 401, whoever waits for them gets 403."""
    async with AsyncExitStack() as closing:
        is_user = shared == "username"
        home, *places = await _elsewhere(stack, closing, 1 + (TRIES if is_user else 1))
        user = await home.trader()
        answers = await asyncio.gather(
            *(
                _answered(
                    places[each % len(places)],
                    user.username if is_user else unique("ghost"),
                    WRONG,
                    through=each,
                )
                for each in range(TRIES)
            )
        )
        statuses = Counter(each.status_code for each in answers)
        assert statuses == {401: ALLOWED, 403: TRIES - ALLOWED}
        for each in answers:
            if each.status_code == 403:
                _check_blocked(each)
        _check_blocked(await places[0].sign_in(user.username))


async def test_signing_out_is_at_once_here_and_within_2_s_elsewhere(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        for here in (0, 1, 0, 1):
            user = await gateways.trader()
            again = await gateways.signed_in(user.username, through=here)
            for through in (0, 1, 0, 1):  # both gateways know the verdict by now
                assert (await user.send("GET", "/balance", through=through)).status_code == 200
            left = await user.send("POST", "/auth/logout", through=here, json={})
            assert left.status_code == 200, left.text
            ended_s = asyncio.get_running_loop().time()
            dead = await user.send("GET", "/balance", through=here)
            assert dead.status_code == 401
            check_problem(dead, "invalid-token")
            while (await user.send("GET", "/balance", through=here + 1)).status_code != 401:
                assert asyncio.get_running_loop().time() - ended_s < 2.0
            for through in (0, 1):  # one's other session lives
                assert (await again.send("GET", "/balance", through=through)).status_code == 200
