"""Poison on an inbox: workers go on, and the DLQ has exactly what was poison."""

import asyncio
import random
import uuid
from typing import Any

import pytest
from topics import Place, producing, read_topics
from traders import Gateways, Trader, until

from runtime.admin import partitions_of
from runtime.devstack.background import Stack
from runtime.settings import Settings
from schemas.topics import (
    ACCOUNTS_COMMANDS,
    AUTH_REQUESTS,
    IDENTITY_COMMANDS,
    MARKETS_COMMANDS,
    REGISTRY,
    dlq_of,
)

INBOXES = {
    IDENTITY_COMMANDS: b"identity.register-user.v1",
    ACCOUNTS_COMMANDS: b"accounts.deposit-funds.v1",
    MARKETS_COMMANDS: b"markets.update-quote.v1",
    AUTH_REQUESTS: b"auth.validate.v1",
}
ASSETS = {"BTC": "0.001", "ETH": "0.001", "SOL": "0.1", "XRP": "10", "DOGE": "50"}
POISON_EACH = 50
NULL = object()
"""A header without a value, which Kafka allows; None is no header."""
GOOD = 40

Headers = list[tuple[str, bytes | None]]


def _poison(known_type: bytes, number: int) -> tuple[bytes | None, Headers]:
    """A body and headers, wrong in one of many ways; never a fact, which would have to halt."""
    dice = random.Random(number)
    bad = b"\xff\xfe" + dice.randbytes(6)
    headers = {
        "command-id": uuid.UUID(int=dice.getrandbits(128)).hex.encode(),
        "ce_type": known_type,
        "ce_id": b"1",
        "expires-at": b"99999999999999",
        "reply-to": b"0/none",
        "x-source": b"gateway",
        "x-auth-service": b"auth-service",
        "x-user-id": b"u",
        "x-user-role": b"trader",
    }
    kinds: list[tuple[bytes | None, dict[str, Any]]] = [
        (dice.randbytes(200), {}),
        (None, {}),
        (b"", {}),
        (b"{}", {}),
        (b"[1, 2", {}),
        (b"[" * 100_000, {}),
        (b"null", {}),
        (b'{"account_id": 7, "amount_e8": "x", "secret": [], "symbol": {}}', {}),
        (b"\xef\xbb\xbf{}", {}),
        (dice.randbytes(300_000), {}),
        (b"{}", {"ce_type": None}),
        (b"{}", {"ce_type": b"nobody.knows-this.v1"}),
        (b"{}", {"ce_type": bad}),
        (b"{}", {"command-id": None}),
        (b"{}", {"command-id": bad}),
        (b"{}", {"command-id": b""}),
        (b"{}", {"command-id": b"x" * 10_000}),
        (b"{}", {"expires-at": b"soon"}),
        (b"{}", {"expires-at": None, "reply-to": None}),
        (b"{}", {"reply-to": bad}),
        (b"{}", {"reply-to": b"nowhere"}),
        (b"{}", {"x-user-id": bad}),
        (b"{}", {"x-source": b"somebody"}),
        (b"{}", {"x-source": None}),
        (b"{}", {"correlation-id": bad}),
        (b"{}", {"ce_id": bad, "traceparent": bad, "content-type": bad}),
        (b"{}", dict.fromkeys(headers)),
        (b"{}", dict.fromkeys(headers, bad)),
        (b"{}", {"command-id": NULL, "ce_id": NULL, "correlation-id": NULL}),
        (b"{}", {"ce_type": NULL, "reply-to": NULL, "expires-at": NULL}),
    ]
    body, changes = kinds[number % len(kinds)]
    merged = headers | changes
    return body, [
        (name, None if each is NULL else each) for name, each in merged.items() if each is not None
    ]


async def _poisoned(settings: Settings, topic: str, good: asyncio.Task[None]) -> set[Place]:
    """Spread the poison over all partitions while good commands run; where it went."""
    places: set[Place] = set()
    partitions = partitions_of(REGISTRY[topic], settings)
    async with producing(settings) as producer:
        for number in range(POISON_EACH):
            body, headers = _poison(INBOXES[topic], number)
            sent = await producer.send_and_wait(
                settings.topic(topic),
                body,
                key=b"%d" % number,
                headers=headers,
                partition=number % partitions,
            )
            places.add((topic, sent.partition, sent.offset))
            await asyncio.sleep(0)
    assert not good.done() or good.exception() is None
    return places


async def _dead(settings: Settings, topic: str) -> list[Place]:
    return [
        (
            each.header("dlq-topic"),
            int(each.header("dlq-partition")),
            int(each.header("dlq-offset")),
        )
        for each in await read_topics(settings, [dlq_of(topic)])
    ]


async def _good(gateways: Gateways, traders: list[Trader]) -> None:
    """Commands for every inbox: deposits, orders, registrations and sign-ins."""
    for each in range(GOOD):
        trader = traders[each % len(traders)]
        await trader.move("deposit", "10", through=each)
        await trader.order(through=each + 1)
        if each % 8 == 0:
            await gateways.trader()


@pytest.mark.timeout(120)
async def test_poison_on_every_inbox_goes_to_its_dlq_and_the_workers_go_on(stack: Stack) -> None:
    settings, pids = stack.settings, stack.pids
    before = {topic: await _dead(settings, topic) for topic in INBOXES}
    async with Gateways.of(stack) as gateways:
        traders = await gateways.traders(6)
        good = asyncio.create_task(_good(gateways, traders))
        poisoned = {topic: await _poisoned(settings, topic, good) for topic in INBOXES}
        await good
        for topic, places in poisoned.items():
            assert len(places) == POISON_EACH
            wanted = places | set(before[topic])

            async def arrived(topic: str = topic, wanted: set[Place] = wanted) -> bool:
                return set(await _dead(settings, topic)) >= wanted

            await until(arrived, limit_s=20)
            after = await _dead(settings, topic)
            assert sorted(after) == sorted([*before[topic], *places])
        # every partition of every inbox still decides
        for each in await gateways.traders(8):
            await each.move("deposit", "1000")
            for asset, quantity in ASSETS.items():
                await each.order(asset_id=asset, quantity=quantity)
            assert (await each.read("/auth/profile", through=1))["username"] == each.username
    workers = ("identity", "accounts", "markets", "auth", "read-models", "auditor")
    assert {each: stack.pids[each] for each in workers} == {each: pids[each] for each in workers}
