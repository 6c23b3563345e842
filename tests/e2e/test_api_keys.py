"""API keys on the running system: bots trade with them, within their scopes, until they end."""

import asyncio
import json
import re
import time
from typing import Any

import httpx
import pytest
from operators import cnop, somebody
from topics import read_topics
from traders import PASSWORD, Gateways, Json, Trader, check_problem, final, order, unique, until

from runtime.devstack.background import Stack
from runtime.dynamodb import open_dynamodb
from schemas.identity import Role
from schemas.topics import IDENTITY_JOURNAL, REGISTRY

REVOKED_S = 2.0
NEW_PASSWORD = "N3w!N3w!N3w!N3w!"  # noqa: S105  # of a test
ALL = ["read", "trade", "deposit", "withdraw"]


async def made(trader: Trader, *scopes: str, **more: Any) -> tuple[Trader, Json]:
    """A bot of this trader with a new key of these scopes, and what the answer said of it."""
    body = {"name": unique("bot"), "scopes": scopes} | more
    answer = await trader.send("POST", "/auth/api-keys", json=body)
    assert answer.status_code == 201, answer.text
    told = answer.json()
    assert re.fullmatch("cnop_[0-9a-f]{64}", told["api_key"])
    return Trader(trader.gateways, trader.username, told.pop("api_key"), ""), told


async def dead_everywhere(bot: Trader, path: str = "/balance") -> None:
    """Within 2 s no gateway takes the key any more."""
    since_s = time.monotonic()
    for through in (0, 1):
        while (answer := await bot.send("GET", path, through=through)).status_code != 401:
            assert time.monotonic() < since_s + REVOKED_S, answer.text
            await asyncio.sleep(0.02)
        check_problem(answer, "invalid-token")


async def test_a_bot_trades_within_its_scopes_through_every_gateway(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        bot, told = await made(trader, "trade", "read", "trade", name=" my bot ")
        assert (told["name"], told["scopes"]) == ("my bot", ["read", "trade"])
        assert told["expires_at"] is None
        for through in (1, 0):  # the other gateway knows it at once too
            placed = await bot.order(through=through)
            assert placed["status"] == "FILLED"
            read = await bot.read(f"/orders/{placed['order_id']}", through=through)
            assert read["data"]["order_id"] == placed["order_id"]
        assert await bot.cash() == await trader.cash()
        pending = await bot.send(
            "POST", "/orders", json=order(), headers={"Prefer": "respond-async"}
        )
        assert pending.status_code == 202

        async def is_decided() -> bool:
            path = f"/commands/{pending.json()['command_id']}"
            return (await bot.ask("GET", path))["status"] == "succeeded"

        await until(is_decided, limit_s=20)
        refused = await bot.send("POST", "/balance/withdraw", json={"amount": "1"})
        assert refused.status_code == 403
        check_problem(refused, "scope-not-granted")
        reader, _ = await made(trader, "read")
        for verb, path, body in (
            ("POST", "/orders", order()),
            ("DELETE", "/orders", None),
            ("POST", "/balance/deposit", {"amount": "1"}),
        ):
            answer = await reader.send(verb, path, json=body)
            assert answer.status_code == 403, (verb, path)
            check_problem(answer, "scope-not-granted")
        mover, _ = await made(trader, "deposit", "withdraw")
        await mover.move("deposit", "2")
        await mover.move("withdraw", "1", through=1)
        assert (await mover.send("GET", "/balance")).status_code == 403


async def test_a_bot_never_manages_keys_sessions_passwords_or_people(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        bot, told = await made(await gateways.trader(), *ALL)
        passwords = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        for method, path, body in (
            ("POST", "/auth/api-keys", {"name": "more", "scopes": ALL}),
            ("GET", "/auth/api-keys", None),
            ("DELETE", f"/auth/api-keys/{told['api_key_id']}", None),
            ("GET", "/auth/sessions", None),
            ("DELETE", f"/auth/sessions/{told['api_key_id']}", None),
            ("POST", "/auth/password", passwords),
            ("POST", "/auth/logout", {}),
            ("GET", "/auth/profile", None),
            ("PUT", "/auth/profile", {"first_name": "Bot"}),
        ):
            answer = await bot.send(method, path, json=body)
            assert answer.status_code == 403, (method, path, answer.text)
            check_problem(answer, "scope-not-granted")
        operator = await somebody(stack, gateways, Role.OPERATOR)
        powerless, _ = await made(operator, *ALL)
        for method, path in (("POST", f"/ops/users/{bot.username}/lock"), ("GET", "/balance")):
            assert (await powerless.send(method, path, json={})).status_code == 403
        await bot.read("/balance")


async def test_keys_are_listed_without_the_key_and_deleted_ones_die_everywhere(
    stack: Stack,
) -> None:
    async with Gateways.of(stack) as gateways:
        trader, other = await gateways.trader(), await gateways.trader()
        expires_at = "2099-01-31T12:00:00.000Z"
        (first, one), (second, two) = (
            await made(trader, "read"),
            await made(trader, *ALL, expires_at=expires_at),
        )
        for through in (0, 1):
            listed = await trader.read("/auth/api-keys", through=through)
            assert listed == {"data": [two, one]}
            assert two["expires_at"] == expires_at
            for bot in (first, second):
                await bot.read("/balance", through=through)
        path = f"/auth/api-keys/{one['api_key_id']}"
        for sender, unknown in ((other, path), (trader, f"/auth/api-keys/{'0' * 32}")):
            answer = await sender.send("DELETE", unknown)
            assert answer.status_code == 404
            check_problem(answer, "unknown-api-key")
        await first.read("/balance")
        assert (await trader.send("DELETE", path)).status_code == 204
        assert (await first.send("GET", "/balance")).status_code == 401  # here at once
        await dead_everywhere(first)
        assert (await trader.read("/auth/api-keys", through=1))["data"] == [two]
        await second.read("/balance", through=1)
        assert (await trader.send("DELETE", path)).status_code == 404


async def test_a_key_dies_with_its_time_a_new_password_and_a_lock(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        operator = await somebody(stack, gateways, Role.OPERATOR)
        trader = await gateways.trader()
        soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 4))
        brief, _ = await made(trader, "read", expires_at=soon)
        await brief.read("/balance")

        async def is_over() -> bool:
            return (await brief.send("GET", "/balance")).status_code == 401

        await until(is_over, limit_s=10)
        assert (await trader.read("/auth/api-keys"))["data"] == []
        bot, _ = await made(trader, *ALL)
        for through in (0, 1):
            await bot.read("/balance", through=through)
        passwords = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        assert (await trader.send("POST", "/auth/password", json=passwords)).status_code == 204
        assert (await bot.send("GET", "/balance")).status_code == 401
        await dead_everywhere(bot)
        again, _ = await made(trader, *ALL)
        for through in (0, 1):
            await again.read("/balance", through=through)
        await operator.write_ok(f"/ops/users/{trader.username}/lock", through=1)
        await dead_everywhere(again)
        await operator.write_ok(f"/ops/users/{trader.username}/unlock")
        assert (await again.send("GET", "/balance")).status_code == 401
        back = await gateways.signed_in(trader.username, NEW_PASSWORD)
        assert (await back.read("/auth/api-keys"))["data"] == []


async def test_only_the_first_answer_shows_the_key(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.trader()
        body = {"name": "once", "scopes": ["read"]}
        key = {"Idempotency-Key": unique()}

        def send(**changes: object) -> Any:  # an awaitable answer
            return trader.send("POST", "/auth/api-keys", json=body | changes, headers=key)

        first = (await send()).json()
        replay: httpx.Response = await send()
        assert replay.status_code == 201
        assert replay.headers["idempotency-replayed"] == "true"
        api_key = first.pop("api_key")
        assert replay.json() == first
        check_problem(await send(scopes=ALL), "idempotency-key-reused")
        later = await trader.send(
            "POST", "/auth/api-keys", json=body, headers={"Prefer": "respond-async"}
        )
        assert later.status_code == 202
        path = f"/commands/{later.json()['command_id']}"

        async def is_decided() -> bool:
            return (await trader.ask("GET", path))["status"] == "succeeded"

        await until(is_decided, limit_s=20)
        result = (await trader.ask("GET", path))["result"]
        assert set(result) == set(first)
        for token in (api_key, later.json()["api_key"]):
            await Trader(gateways, trader.username, token, "").read("/balance")


async def test_the_twenty_first_key_is_refused_until_one_is_deleted(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.trader()

        async def make() -> httpx.Response:
            body = {"name": "one of many", "scopes": ["read"]}
            return await final(
                lambda key: trader.send("POST", "/auth/api-keys", json=body, headers=key)
            )

        answers = [await make() for _ in range(21)]
        assert [each.status_code for each in answers] == [201] * 20 + [422]
        check_problem(answers[-1], "too-many-api-keys")
        path = f"/auth/api-keys/{answers[0].json()['api_key_id']}"
        assert (await trader.send("DELETE", path)).status_code == 204
        assert (await make()).status_code == 201


@pytest.mark.timeout(120)
async def test_no_topic_and_no_table_holds_a_key_or_its_name(stack: Stack) -> None:
    name = unique("Quetzalcoatl")
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded()
        bot, told = await made(trader, "trade", name=name)
        await bot.order()
        assert (await bot.send("GET", "/balance")).status_code == 403
        assert (await trader.read("/auth/api-keys"))["data"] == [told]
        path = f"/auth/api-keys/{told['api_key_id']}"
        assert (await trader.send("DELETE", path)).status_code == 204
        await dead_everywhere(bot)
        happened = await _told(stack, trader, told["api_key_id"])
    secrets = [bot.token.removeprefix("cnop_").encode(), name.encode()]
    records = await read_topics(stack.settings, REGISTRY)
    stored = [part for each in records for part in each.parts()]
    assert not any(secret in part for secret in secrets for part in stored)
    of_key = {each.topic for each in records if told["api_key_id"].encode() in (each.value or b"")}
    assert IDENTITY_JOURNAL in of_key
    rows = await _rows(stack)
    assert not any(secret in row for secret in secrets for row in rows)
    assert len(rows) > 10
    assert bot.token not in json.dumps(happened)
    assert [(each["happened"], each["detail"]) for each in happened] == [
        ("api-key-made", "trade"),
        ("scope-refused", "read"),
        ("api-key-deleted", "deleted"),
    ]
    assert happened[1]["call"] == "GET /api/v1/balance"


async def _told(stack: Stack, trader: Trader, api_key_id: str) -> list[Json]:
    """What the audit says of this key, in order of time."""
    events: list[Json] = []

    async def has_all() -> bool:
        said = await cnop(stack, "audit", "--user", trader.username)
        found = [json.loads(each) for each in said.stdout.splitlines()]
        events[:] = [each for each in found if each.get("api_key") == api_key_id]
        return len(events) == 3

    await until(has_all, limit_s=30)
    order = ("api-key-made", "scope-refused", "api-key-deleted")
    return sorted(events, key=lambda each: order.index(each["happened"]))


async def _rows(stack: Stack) -> list[bytes]:
    """Every row of every table, as text."""
    found: list[bytes] = []
    async with open_dynamodb(stack.settings) as dynamodb:
        for table in (await dynamodb.list_tables())["TableNames"]:
            pages = dynamodb.get_paginator("scan").paginate(TableName=table)
            found += [str(row).encode() async for page in pages for row in page["Items"]]
    return found
