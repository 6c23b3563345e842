"""How long a wrong sign-in takes does not tell whether there is such a user."""

import time
from statistics import median

import pytest
from traders import WRONG, Gateways, unique

from runtime.devstack.background import Stack

PAIRS = 200
ROUNDS_MAX = 3
"""What noise makes of 200 pairs goes away with more of them; a real difference stays."""
TRIES_PER_USER = 4
"""One below the number of wrong attempts that blocks the next."""
AT_ONCE = 5
DIFFERENCE_MAX = 0.05


async def _took_s(stack: Stack, username: str) -> float:
    """A wrong sign-in from an address of its own, on a connection that is open already."""
    async with Gateways.of(stack) as gateways:
        await gateways.send("GET", "/time")
        began_s = time.perf_counter()
        answer = await gateways.sign_in(username, WRONG)
        took_s = time.perf_counter() - began_s
    assert answer.status_code == 401, answer.text
    return took_s


@pytest.mark.timeout(400)
async def test_known_and_unknown_users_take_as_long(stack: Stack) -> None:
    known: list[float] = []
    unknown: list[float] = []
    difference = 1.0
    for _ in range(ROUNDS_MAX):
        async with Gateways.of(stack) as gateways:
            users = [
                each
                for _ in range(PAIRS // TRIES_PER_USER // AT_ONCE)
                for each in await gateways.traders(AT_ONCE)
            ]
        for pair in range(PAIRS):
            somebody = users[pair % len(users)].username
            if pair % 2:
                known.append(await _took_s(stack, somebody))
            unknown.append(await _took_s(stack, unique("ghost")))
            if not pair % 2:
                known.append(await _took_s(stack, somebody))
        slower, faster = sorted((median(known), median(unknown)), reverse=True)
        difference = 1 - faster / slower
        if difference < DIFFERENCE_MAX:
            break
    assert difference < DIFFERENCE_MAX, (median(known), median(unknown), len(known))
