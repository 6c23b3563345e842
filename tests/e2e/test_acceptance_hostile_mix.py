"""Everybody attacks at once, and one honest trader trades on.

A gateway with its limits on joins the shared system. First the trader is alone, then all attacks
of support/hostile.py run at their fixed rates. Latency counts from when an order was due.
"""

import asyncio
import gc
import json
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import hostile
import pytest
from gateways import started, wait_ready
from mutants import Forger, is_sendable
from traders import Gateways, Trader, loopback, order

from runtime.devstack import leash
from runtime.devstack.background import Stack
from runtime.devstack.children import last_lines
from runtime.devstack.ports import LOOPBACK, free_port

SECONDS: Final = float(os.environ.get("CNOP_HOSTILE_S", "30"))
ORDERS_PER_S: Final = 10
SLOWER_MOST: Final = 3.0
MEASURED_MOST: Final = 3
"""The third slowest of 300 orders decides, and whoever shares this machine may have delayed it."""
SENT_LEAST: Final = 0.95
"""Of the attacks that were due; fewer would prove nothing."""
NICENESS: Final = "15"
"""Of the attackers, who have machines of their own elsewhere; that they keep up is checked."""


@pytest.fixture
def port(stack: Stack, tmp_path: Path) -> Iterator[int]:
    """A gateway with the limits of a real one."""
    port = free_port()
    gateway = started(stack, port, tmp_path / "gateway.log", {"CNOP_PROFILE": "standard"})
    try:
        wait_ready(gateway, f"http://{LOOPBACK}:{port}")
        yield port
        assert gateway.returncode is None, last_lines(gateway.log, 20)
    finally:
        gateway.stop()


@pytest.fixture
async def trader(stack: Stack, port: int) -> AsyncIterator[Trader]:
    """Somebody with money, who asks through that gateway from an address of their own."""
    async with Gateways.of(stack) as gateways:
        somebody = await gateways.funded("10000")
    through = Gateways([f"http://{LOOPBACK}:{port}"], address=loopback())
    yield await through.signed_in(somebody.username)
    await through._clients[0].aclose()


async def trade(trader: Trader, seconds: float) -> list[float]:
    """Milliseconds of each order from when it was due; all have to be filled."""
    gc.collect()
    gc.freeze()  # the trader's own process does not pause to look through all that tests made
    began_s = time.monotonic()

    async def place(due_s: float) -> float:
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        answer = await trader.send("POST", "/orders", json=order())
        assert answer.status_code == 201, answer.text
        assert answer.json()["data"]["status"] == "FILLED", answer.text
        return (time.monotonic() - due_s) * 1000

    due = [began_s + n / ORDERS_PER_S for n in range(int(seconds * ORDERS_PER_S))]
    try:
        return await asyncio.gather(*(place(each) for each in due))
    finally:
        gc.unfreeze()


def p99(took_ms: list[float]) -> float:
    return sorted(took_ms)[int(len(took_ms) * 0.99)]


async def loot(stack: Stack, port: int, victim: Trader, network: int) -> dict[str, object]:
    """What the attackers know and got hold of; they come from addresses of this network."""
    async with Gateways.of(stack) as gateways:
        attacker = await gateways.trader()
        used = attacker.refresh_token
        assert (await attacker.refresh()).status_code == 200
    mutants = Forger(victim.token, bytes(32)).mutants().values()
    return {
        "port": port,
        "seconds": SECONDS + 1,
        "network": network,
        "victim": victim.username,
        "mutants": [each for each in mutants if is_sendable(each)],
        "replayed": used,
        "attacker_token": attacker.token,
    }


async def attacking(config: dict[str, object]) -> asyncio.subprocess.Process:
    """The attackers, at work."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, leash.__file__, str(os.getpid()), NICENESS),
        *(sys.executable, hostile.__file__, json.dumps(config)),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"attacking\n"
    return process


async def measured(stack: Stack, port: int, trader: Trader, network: int) -> float:
    """How many times slower the slowest of a hundred orders is while everybody attacks."""
    quiet_ms = await trade(trader, SECONDS)
    attackers = await attacking(await loot(stack, port, trader, network))
    hostile_ms = await trade(trader, SECONDS)
    said, _ = await attackers.communicate()
    assert attackers.returncode == 0
    came = {kind: Counter(each) for kind, each in json.loads(said).items()}
    sys.stdout.write(
        f"\np99 quiet {p99(quiet_ms):.0f} ms, attacked {p99(hostile_ms):.0f} ms; {came}\n"
    )
    for kind, rate in hostile.RATES.items():
        assert came[kind].total() >= SENT_LEAST * rate * SECONDS, (kind, came[kind])
        bad = {each for each in came[kind] if each[0] in "25"}
        assert not bad, (kind, came[kind])
    assert came["slow"].total() >= hostile.SLOW_SOCKETS
    return p99(hostile_ms) / p99(quiet_ms)


async def test_an_honest_trader_trades_on_while_everybody_attacks(
    stack: Stack, port: int, trader: Trader
) -> None:
    await trade(trader, 5.0)
    ratios: list[float] = []
    while not ratios or ratios[-1] > SLOWER_MOST:
        assert len(ratios) < MEASURED_MOST, f"p99 attacked / quiet: {ratios}"
        ratios.append(await measured(stack, port, trader, len(ratios)))
