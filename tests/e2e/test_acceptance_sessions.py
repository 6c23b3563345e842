"""Sessions live on by refresh tokens that work once, and end everywhere when they are ended."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
from contract import check_answer
from mutants import Forger, is_sendable
from traders import API, PASSWORD, WRONG, Gateways, Json, Trader, check_problem, until

from runtime.devstack.background import Stack
from runtime.security.files import read_secret
from runtime.security.signing import key_id, key_names

RENEWED = "An0ther!Passw0rd"
REUSED_AFTER_S = 10.5
SIGN_INS = 200
PROTECTED = (
    ("GET", "/balance"),
    ("POST", "/orders"),
    ("GET", "/auth/sessions"),
    ("POST", "/auth/password"),
)


@pytest.fixture
async def gateways(stack: Stack) -> AsyncIterator[Gateways]:
    async with Gateways.of(stack) as made:
        yield made


async def _refreshed(gateways: Gateways, trader: Trader, *, through: int = 0) -> Trader:
    """The trader with the tokens that the present ones are exchanged for."""
    answer = await trader.refresh(through=through)
    assert answer.status_code == 200, answer.text
    check_answer("post", f"{API}/auth/refresh", 200, answer.json())
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["expires_in"] > 0
    return Trader(gateways, trader.username, body["access_token"], body["refresh_token"])


async def _status(trader: Trader, through: int) -> int:
    return (await trader.send("GET", "/balance", through=through)).status_code


async def _dead_everywhere(trader: Trader, limit_s: float = 2.0) -> None:
    for through in (0, 1):

        async def is_dead(through: int = through) -> bool:
            return await _status(trader, through) == 401

        await until(is_dead, limit_s=limit_s)


async def _sessions(trader: Trader, *, through: int = 0) -> list[Json]:
    answer = await trader.read("/auth/sessions", through=through)
    check_answer("get", f"{API}/auth/sessions", 200, answer)
    return answer["data"]


async def test_each_refresh_token_works_once_through_whichever_gateway(gateways: Gateways) -> None:
    first = await gateways.trader()
    second = await _refreshed(gateways, first, through=1)
    third = await _refreshed(gateways, second)
    for each in (first, second, third):  # access tokens live out their own time
        assert await _status(each, 1) == 200
    assert len({each.refresh_token for each in (first, second, third)}) == 3
    for used in (first, second):
        refused = await used.refresh()
        assert refused.status_code == 401
        check_problem(refused, "invalid-refresh-token")
    await _refreshed(gateways, third, through=1)


async def test_of_50_refreshes_of_one_token_at_once_one_wins_and_the_family_lives(
    gateways: Gateways,
) -> None:
    trader = await gateways.trader()
    answers = await asyncio.gather(*(trader.refresh(through=each) for each in range(50)))
    assert Counter(each.status_code for each in answers) == {200: 1, 401: 49}
    (won,) = (each.json() for each in answers if each.status_code == 200)
    winner = Trader(gateways, trader.username, won["access_token"], won["refresh_token"])
    assert await _status(winner, 0) == 200
    await _refreshed(gateways, winner, through=1)


@pytest.mark.parametrize("token", ["", "x", "x" * 118, "é" * 118, "x" * 1_001, None, 1, []])
async def test_what_is_no_refresh_token_refreshes_nothing(
    gateways: Gateways, token: object
) -> None:
    answer = await gateways.send("POST", "/auth/refresh", json={"refresh_token": token})
    is_text = isinstance(token, str) and 0 < len(token) <= 1_000
    assert answer.status_code == (401 if is_text else 422)
    check_problem(answer)


async def test_a_reused_token_ends_its_family_and_keys_rotate_without_a_401(
    stack: Stack, gateways: Gateways
) -> None:
    """Both take the ten seconds of their leeway, so they are tried together."""
    await asyncio.gather(_reuse(gateways), _rotation(stack, gateways))


async def _reuse(gateways: Gateways) -> None:
    first = await gateways.trader()
    other = await gateways.signed_in(first.username)
    second = await _refreshed(gateways, first)
    await asyncio.sleep(REUSED_AFTER_S)
    reused = await first.refresh(through=1)
    assert reused.status_code == 401
    check_problem(reused, "invalid-refresh-token")
    for each in (first, second):
        await _dead_everywhere(each)
        assert (await each.refresh()).status_code == 401
    assert await _status(other, 0) == 200
    await _refreshed(gateways, other)


async def _rotation(stack: Stack, gateways: Gateways) -> None:
    statuses: Counter[int] = Counter()
    kids: set[str] = set()
    before = await _kids(stack)

    async def read_and_refresh(trader: Trader) -> None:
        while len(kids) < 2:
            trader = await _refreshed(gateways, trader, through=sum(statuses.values()))
            kids.add(Forger(trader.token, bytes(32)).header["kid"])
            for through in (0, 1):
                statuses[await _status(trader, through)] += 1

    traders = await gateways.traders(3)
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for each in traders:
            group.create_task(read_and_refresh(each))
        await _cnop(stack, "keys", "rotate")
    assert before < await _kids(stack)
    assert await _kids(stack) >= kids
    assert set(statuses) == {200}, statuses
    assert statuses[200] >= 40, statuses


async def _kids(stack: Stack) -> set[str]:
    path = "/.well-known/jwks.json"
    async with httpx.AsyncClient(base_url=stack.urls[0]) as client:
        answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    check_answer("get", path, 200, answer.json())
    return {each["kid"] for each in answer.json()["keys"]}


async def _cnop(stack: Stack, *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "runtime.cli", *arguments, env=os.environ | stack.environment
    )
    assert await process.wait() == 0


async def test_one_sees_ones_sessions_and_ends_any_of_them_everywhere(gateways: Gateways) -> None:
    here = await gateways.trader()
    there = await gateways.signed_in(here.username, through=1)
    stranger = await gateways.trader()
    newest, oldest = await _sessions(here, through=1)
    assert (newest["current"], oldest["current"]) == (False, True)
    for through in (0, 1):
        assert await _status(there, through) == 200
    path = f"/auth/sessions/{newest['session_id']}"
    hidden = await stranger.send("DELETE", path)
    assert hidden.status_code == 404
    check_problem(hidden, "unknown-session")
    ended = await here.send("DELETE", path)
    assert (ended.status_code, ended.content) == (204, b"")
    assert await _status(there, 0) == 401
    await _dead_everywhere(there)
    assert (await there.refresh(through=1)).status_code == 401
    assert [each["session_id"] for each in await _sessions(here)] == [oldest["session_id"]]
    assert (await here.send("DELETE", path)).status_code == 404
    assert await _status(here, 1) == 200


async def test_signing_out_ends_the_refresh_token_too(gateways: Gateways) -> None:
    trader = await gateways.trader()
    await trader.ask("POST", "/auth/logout", json={})
    assert (await trader.refresh(through=1)).status_code == 401


async def test_another_password_ends_all_other_sessions_everywhere(gateways: Gateways) -> None:
    here = await gateways.trader()
    others = [await gateways.signed_in(here.username, through=each) for each in (0, 1)]
    for each in others:
        for through in (0, 1):
            assert await _status(each, through) == 200
    change = {"current_password": PASSWORD, "new_password": RENEWED}
    wrong = await here.send("POST", "/auth/password", json=change | {"current_password": WRONG})
    assert wrong.status_code == 401
    check_problem(wrong, "invalid-credentials")
    common = await here.send(
        "POST", "/auth/password", json=change | {"new_password": "Password123!"}
    )
    assert common.status_code == 422
    check_problem(common, "validation-failed")
    assert await _status(others[0], 0) == 200
    changed = await here.send("POST", "/auth/password", json=change)
    assert (changed.status_code, changed.content) == (204, b"")
    assert [await _status(each, 0) for each in others] == [401, 401]
    for each in others:
        await _dead_everywhere(each)
        assert (await each.refresh()).status_code == 401
    assert await _status(here, 1) == 200
    here = await _refreshed(gateways, here)
    assert (await gateways.sign_in(here.username, PASSWORD)).status_code == 401
    await gateways.signed_in(here.username, RENEWED, through=1)


async def test_no_mutant_of_a_token_opens_a_protected_route(
    stack: Stack, gateways: Gateways
) -> None:
    trader = await gateways.trader()
    secrets = stack.settings.secrets
    keys = [read_secret(secrets, f"{each.stem}.key") for each in key_names(secrets, ".key")]
    kid = Forger(trader.token, bytes(32)).header["kid"]
    (private,) = (each for each in keys if _kid_of(each) == kid)
    forger = Forger(trader.token, private)
    genuine = {"Authorization": f"Bearer {forger.signed()}"}
    assert (await gateways.send("GET", "/balance", headers=genuine)).status_code == 200
    mutants = forger.mutants()
    assert len(mutants) >= 25
    visible = {each: text for each, text in mutants.items() if is_sendable(text)}
    for method, path in PROTECTED:
        answers = await asyncio.gather(
            *(
                gateways.send(method, path, json={}, headers={"Authorization": f"Bearer {each}"})
                for each in visible.values()
            )
        )
        taken = [
            name for name, answer in zip(visible, answers, strict=True) if answer.status_code != 401
        ]
        assert taken == [], f"{method} {path}"
    assert await _status(trader, 1) == 200


def _kid_of(private: bytes) -> str:
    from nacl.signing import SigningKey  # noqa: PLC0415  # only here

    return key_id(bytes(SigningKey(private).verify_key))


async def test_more_sign_ins_than_may_wait_are_a_429_and_others_get_through(
    gateways: Gateways,
) -> None:
    flooded, calm = await gateways.trader(), await gateways.trader()
    flood = [
        asyncio.create_task(gateways.sign_in(flooded.username, through=each))
        for each in range(SIGN_INS)
    ]
    reads = 0
    while not all(each.done() for each in flood):
        assert await _status(calm, reads) == 200
        reads += 1
    answers = [await each for each in flood]
    statuses = Counter(each.status_code for each in answers)
    assert set(statuses) == {200, 429}, statuses
    assert reads
    for each in answers:
        if each.status_code == 429:
            check_problem(each, "sign-in-busy")
            assert int(each.headers["retry-after"]) >= 1
    await gateways.signed_in(calm.username)
