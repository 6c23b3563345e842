"""One key, one effect, whatever the client repeats; and what was not waited for can be asked."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from decimal import Decimal

import httpx
import pytest
from traders import API, UNDECIDED, Gateways, Json, Trader, check_problem, order, until

from runtime.devstack.background import Stack

COPIES = 20
MANY_COPIES = 1_000
KILLED_IN_TURN = ("accounts", "markets", "accounts", "auth", "accounts")
DEPOSIT = ("/balance/deposit", {"amount": "12.34"})
BUY = ("/orders", order(quantity="0.002"))
LIMIT = ("/orders", order(order_type="limit_buy", asset_id="BTC", quantity="0.01", price="1000"))
WITHDRAWAL = ("/balance/withdraw", {"amount": "1.5"})

Send = Callable[[int], Awaitable[httpx.Response]]


async def _all_at_once(send: Send) -> list[httpx.Response]:
    """So many copies over both gateways; those still being decided ask again, all have an end."""
    answers = await asyncio.gather(*(send(each) for each in range(COPIES)))
    for each in answers:
        assert each.status_code in (201, *UNDECIDED), each.text
        if each.status_code == 409:
            check_problem(each, "command-pending")
    return [await _settled(send, number, each) for number, each in enumerate(answers)]


async def _settled(send: Send, number: int, answer: httpx.Response) -> httpx.Response:
    async with asyncio.timeout(20):
        while answer.status_code in UNDECIDED:
            answer = await send(number)
    return answer


@pytest.mark.parametrize(
    ("path", "body"), [DEPOSIT, BUY, LIMIT, WITHDRAWAL], ids=["deposit", "buy", "limit", "withdraw"]
)
async def test_20_equal_requests_with_one_key_have_one_effect(
    stack: Stack, path: str, body: Json
) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.trader()
        await trader.move("deposit", "500")
        before = await _counts(trader)
        key = {"Idempotency-Key": uuid.uuid4().hex}
        answers = await _all_at_once(
            lambda each: trader.send("POST", path, through=each, json=body, headers=key)
        )
        assert {each.status_code for each in answers} == {201}
        first = [each for each in answers if "idempotency-replayed" not in each.headers]
        assert len(first) <= 1
        assert len({each.text for each in answers}) == 1
        replayed = {each.headers["idempotency-replayed"] for each in answers if each not in first}
        assert replayed == {"true"}
        after = await _counts(trader)
        orders = 1 if path == "/orders" else 0
        movements = 0 if body is LIMIT[1] else 1
        assert after == (before[0] + movements, before[1] + orders)
        for through in (0, 1):
            changed = body | ({"amount": "12.35"} if "amount" in body else {"quantity": "0.003"})
            other = await trader.send("POST", path, through=through, json=changed, headers=key)
            assert other.status_code == 422
            check_problem(other, "idempotency-key-reused")
        assert await _counts(trader) == after


async def test_1000_equal_orders_with_one_key_are_one_while_workers_are_killed(
    stack: Stack,
) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.funded("500")
        before = await _counts(trader)
        key = {"Idempotency-Key": uuid.uuid4().hex}

        async def send(number: int) -> httpx.Response:
            return await trader.send("POST", LIMIT[0], through=number, json=LIMIT[1], headers=key)

        answers: list[httpx.Response] = []
        for worker in KILLED_IN_TURN:
            await until(lambda name=worker: _runs(stack, name), limit_s=30)
            stack.kill(worker)
            copies = range(MANY_COPIES // len(KILLED_IN_TURN))
            answers += await asyncio.gather(*map(send, copies))
        assert len(answers) == MANY_COPIES
        assert {each.status_code for each in answers} <= {201, *UNDECIDED}
        placed = await _settled(send, 0, answers[-1])
        decided = [each for each in answers if each.status_code == 201]
        assert {each.json()["data"]["order_id"] for each in decided} <= {
            placed.json()["data"]["order_id"]
        }
        assert len(decided) >= COPIES
        assert sum("idempotency-replayed" not in each.headers for each in decided) <= 1
        assert await _counts(trader) == (before[0], before[1] + 1)
        for worker in set(KILLED_IN_TURN):
            await until(lambda name=worker: _runs(stack, name), limit_s=30)


async def _runs(stack: Stack, name: str) -> bool:
    return name in stack.pids


async def _counts(trader: Trader) -> tuple[int, int]:
    moved = await trader.read("/balance/transactions?limit=1", through=1)
    placed = await trader.read("/orders?limit=100", through=1)
    return moved["total_count"], len(placed["data"])


async def test_20_equal_registrations_with_one_key_are_one_user(stack: Stack) -> None:
    from traders import registration  # noqa: PLC0415

    async with Gateways.of(stack) as gateways:
        body, key = registration(), {"Idempotency-Key": uuid.uuid4().hex}
        answers = await _all_at_once(
            lambda each: gateways.send(
                "POST", "/auth/register", through=each, json=body, headers=key
            )
        )
        assert {each.status_code for each in answers} == {201}
        first = [each for each in answers if "idempotency-replayed" not in each.headers]
        assert len(first) <= 1
        await gateways.signed_in(body["username"], through=1)


async def test_two_users_with_one_key_are_two_commands(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        key = {"Idempotency-Key": uuid.uuid4().hex}
        for each in await gateways.traders(2):
            answer = await each.send("POST", DEPOSIT[0], json=DEPOSIT[1], headers=key)
            assert answer.status_code == 201, answer.text
            assert "idempotency-replayed" not in answer.headers
            assert (await each.read("/balance", through=1))["current_balance"] == "12.34"


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        (*DEPOSIT, None),
        (*BUY, None),
        (*LIMIT, None),
        (*WITHDRAWAL, None),
        ("/balance/withdraw", {"amount": "4999"}, "insufficient-funds"),
        ("/orders", order(asset_id="BTC", quantity="0.09"), "insufficient-funds"),
    ],
    ids=["deposit", "buy", "limit", "withdraw", "too-much", "too-dear"],
)
async def test_what_was_not_waited_for_tells_its_end_to_its_owner_alone(
    stack: Stack, path: str, body: Json, code: str | None
) -> None:
    async with Gateways.of(stack) as gateways:
        trader, stranger = await gateways.traders(2)
        await trader.move("deposit", "100")
        key = {"Idempotency-Key": uuid.uuid4().hex, "Prefer": "respond-async"}
        accepted = await trader.send("POST", path, json=body, headers=key)
        assert accepted.status_code == 202, accepted.text
        command_id = accepted.json()["command_id"]
        assert accepted.json() == {"command_id": command_id, "status": "pending"}
        location = accepted.headers["location"]
        assert location == f"{API}/commands/{command_id}"
        path_of = location.removeprefix(API)
        outcome: Json = {}

        async def is_decided() -> bool:
            outcome.update(await trader.ask("GET", path_of, through=1))
            return outcome["status"] != "pending"

        await until(is_decided, limit_s=20)
        assert outcome["decided_at"].endswith("Z")
        waited = await _settled(
            lambda each: trader.send(
                "POST",
                path,
                through=each,
                json=body,
                headers={"Idempotency-Key": key["Idempotency-Key"]},
            ),
            0,
            accepted,
        )
        assert waited.headers["idempotency-replayed"] == "true"
        if code is None:
            assert (outcome["status"], waited.status_code) == ("succeeded", 201)
            assert outcome["result"] == waited.json()
        else:
            assert (outcome["status"], waited.status_code) == ("refused", 422)
            assert outcome["problem"]["code"] == waited.json()["code"] == code
        for through in (0, 1):
            foreign = await stranger.send("GET", path_of, through=through)
            assert foreign.status_code == 404
            check_problem(foreign, "not-found")
        made_up = await trader.send("GET", f"/commands/{command_id[:-8]}{'0' * 8}")
        assert made_up.status_code == 404
        assert Decimal((await trader.read("/balance"))["current_balance"]) >= 0
