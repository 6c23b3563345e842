"""Roles and locks on the running system: who may call what, and how soon that changes."""

import asyncio
import json
import re
import time
from typing import Any

import pytest
from operators import cnop, somebody
from traders import API, PASSWORD, Gateways, Trader, check_problem, unique, until

from gateway.access import ACCESS
from runtime.devstack.background import Stack
from schemas.identity import Role

REVOKED_S = 2.0
NEW_PASSWORD = "N3w!N3w!N3w!N3w!"  # noqa: S105  # of a test
EXAMPLES = {
    "order_id": "0123456789abcdef0123456789abcdef",
    "asset_id": "BTC",
    "symbol": "NONE-USD",
    "username": "nobody_at_all",
    "command_id": "0" * 32,
    "session_id": "0" * 32,
    "api_key_id": "0" * 32,
}
HARMLESS = {("POST", "/api/v1/auth/logout"): {"content": b"not json"}}
"""What would end the session that the table is asked with."""


def filled(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda match: EXAMPLES[match[1]], path).removeprefix(API)


async def test_every_route_answers_every_role_as_the_table_says(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        people: dict[str, Trader] = {
            role: await somebody(stack, gateways, role) for role in (Role.ANALYST, Role.OPERATOR)
        }
        revoked = await gateways.trader()
        assert (await revoked.send("POST", "/auth/logout", json={})).status_code == 200
        people |= {Role.TRADER: await gateways.trader(), "revoked": revoked}
        people["anonymous"] = people["malformed"] = Trader(gateways, "", "e30.e30.e30")
        asked = [
            (method, path, who) for method, path in ACCESS for who in people if path.startswith(API)
        ]
        answered = dict.fromkeys(asked, 0)

        async def ask(method: str, path: str, who: str) -> None:
            rest: dict[str, Any] = HARMLESS.get((method, path), {"json": {}})
            sender = people[who]
            send = gateways.send if who == "anonymous" else sender.send
            answer = await send(method, filled(path), **({} if method == "GET" else rest))
            answered[method, path, who] = answer.status_code
            allowed = ACCESS[method, path].roles
            if allowed is None:
                assert answer.status_code not in (403, 500), (method, path, who)
            elif who in allowed:
                assert answer.status_code not in (401, 403, 500), (method, path, who, answer.text)
            else:
                assert answer.status_code == (403 if who in set(Role) else 401), (method, path, who)
                check_problem(answer, "role-not-allowed" if who in set(Role) else "invalid-token")

        await asyncio.gather(*(ask(*each) for each in asked))
        assert list(answered.values()).count(403) > 40
        assert list(answered.values()).count(401) > 60


async def test_what_belongs_to_another_trader_is_not_there(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        owner, other = await gateways.funded(), await gateways.trader()
        order = await owner.order(
            order_type="limit_buy", asset_id="BTC", quantity="0.001", price="1000"
        )
        path = f"/orders/{order['order_id']}"
        pending = await owner.send("DELETE", path, headers={"Prefer": "respond-async"})
        command = f"/commands/{pending.json()['command_id']}"
        for method, theirs, body in (
            ("GET", path, None),
            ("GET", f"{path}/executions", None),
            ("PATCH", path, {"quantity": "0.002"}),
            ("DELETE", path, None),
            ("GET", command, None),
        ):
            answer = await other.send(method, theirs, json=body)
            assert answer.status_code == 404, (method, theirs, answer.text)
            check_problem(answer)
        assert (await owner.read(path))["data"]["order_id"] == order["order_id"]


async def test_a_new_role_ends_sessions_everywhere_and_opens_what_it_should(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.trader()
        for through in (0, 1):
            await trader.read("/balance", through=through)
        said = await cnop(stack, "users", "role", trader.username.upper(), "operator")
        assert re.fullmatch(r"user [0-9a-f]{32}: operator\n", said.stdout), said
        await dead_everywhere(trader)
        operator = await gateways.signed_in(trader.username)
        assert (await operator.send("GET", "/balance")).status_code == 403
        shown = (await cnop(stack, "users", "show", trader.username)).stdout.splitlines()
        assert shown[0] == said.stdout.strip()
        assert shown[2] == "1 live session"
        unknown = await cnop(stack, "users", "role", "nobody_at_all", "operator")
        assert (unknown.returncode, unknown.stderr) == (1, "There is no such user.\n")


async def test_a_locked_user_is_out_at_once_and_stays_out_until_unlocked(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        operator = await somebody(stack, gateways, Role.OPERATOR)
        victim = await gateways.trader()
        path = f"/ops/users/{victim.username}"
        for through in (0, 1):
            await victim.read("/balance", through=through)
        locked = await operator.write_ok(f"{path}/lock")
        assert locked == {"role": "trader", "locked": True}
        await dead_everywhere(victim)
        refused = await gateways.sign_in(victim.username, through=1)
        assert refused.status_code == 403
        check_problem(refused, "user-locked")
        wrong = await gateways.sign_in(victim.username, "Wr0ng!Wr0ng!Wr0ng")
        assert wrong.status_code == 401  # who does not know the password learns nothing
        assert (await operator.write_ok(f"{path}/lock"))["locked"]
        assert not (await operator.write_ok(f"{path}/unlock"))["locked"]
        again = await gateways.signed_in(victim.username)
        await again.read("/balance")
        missing = await operator.send("POST", f"/ops/users/{unique()}/lock")
        assert missing.status_code == 404
        check_problem(missing, "unknown-user")


async def test_an_operator_halts_a_market_and_resumes_it(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        operator, trader = await somebody(stack, gateways, Role.OPERATOR), await gateways.funded()
        path = "/ops/markets/xrp-usd"
        for _ in range(2):
            halted = await operator.write_ok(f"{path}/halt")
            assert halted == {"symbol": "XRP-USD", "status": "halted"}
        try:

            async def is_refused() -> bool:
                body = {"asset_id": "XRP", "order_type": "market_buy", "quantity": "1"}
                return (await trader.send("POST", "/orders", json=body)).status_code == 422

            await until(is_refused, limit_s=10)
        finally:
            resumed = await operator.write_ok(f"{path}/resume")
        assert resumed == {"symbol": "XRP-USD", "status": "open"}

        async def trades() -> bool:
            body = {"asset_id": "XRP", "order_type": "market_buy", "quantity": "1"}
            return (await trader.send("POST", "/orders", json=body)).status_code == 201

        await until(trades, limit_s=20)
        missing = await operator.send("POST", "/ops/markets/none-usd/halt")
        assert missing.status_code == 404
        check_problem(missing, "unknown-market")


@pytest.mark.timeout(60)
async def test_the_audit_tells_what_happened_to_a_user_and_no_name(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        operator = await somebody(stack, gateways, Role.OPERATOR)
        trader = await gateways.trader()
        wrong = await gateways.sign_in(trader.username, "Wr0ng!Wr0ng!Wr0ng")
        refused = await trader.send("POST", "/ops/markets/BTC-USD/halt")
        assert refused.status_code == 403
        passwords = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        changed = await trader.send("POST", "/auth/password", json=passwords)
        assert changed.status_code == 204
        await operator.write_ok(f"/ops/users/{trader.username}/lock")
        await gateways.sign_in(trader.username, NEW_PASSWORD)
        wanted = {
            "signed-in",
            "sign-in-failed",
            "role-refused",
            "password-changed",
            "user-locked",
            "session-ended",
            "sign-in-locked",
        }
        events: list[dict[str, str]] = []

        async def has_all() -> bool:
            said = await cnop(stack, "audit", "--user", trader.username)
            events[:] = map(json.loads, said.stdout.splitlines())
            return {each["happened"] for each in events} == wanted

        await until(has_all, limit_s=30)
        by = {each["happened"]: each for each in events}
        assert len(events) == len(wanted)
        assert by["sign-in-failed"]["request_id"] == wrong.headers["x-request-id"]
        assert by["role-refused"]["request_id"] == refused.headers["x-request-id"]
        assert by["password-changed"]["request_id"] == changed.headers["x-request-id"]
        assert by["role-refused"]["call"] == "POST /api/v1/ops/markets/{symbol}/halt"
        same_place = {each["address"] for each in events if "address" in each}
        assert len(same_place) == 1
        assert by["user-locked"]["by"] != by["session-ended"]["user"]
        text = json.dumps(events)
        for secret in (trader.username, trader.token, PASSWORD, NEW_PASSWORD, "127."):
            assert secret not in text


async def dead_everywhere(trader: Trader) -> None:
    """Within 2 s no gateway takes the token any more."""
    since_s = time.monotonic()
    for through in (0, 1):
        while (await trader.send("GET", "/balance", through=through)).status_code != 401:
            assert time.monotonic() < since_s + REVOKED_S
            await asyncio.sleep(0.02)
