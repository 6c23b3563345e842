"""Processes are killed and paused under load; what is left is judged from topics and tables alone.

CNOP_CRASH_ROUNDS is how often each kind of process is killed.
"""

import asyncio
import json
import logging
import os
import signal
import sys
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random

import pytest
from crowd import Crowd
from traders import Gateways, until
from verdict import Journals, check_audit, judge

from runtime.devstack.background import Stack
from runtime.devstack.children import Child
from runtime.devstack.config import StackConfig
from runtime.devstack.ports import free_port
from runtime.devstack.processes import METRICS_PORTS
from schemas.envelope import CE_TYPE
from schemas.journal import Checkpoint, GenerationStarted, WriterClaimed
from schemas.markets import TradeExecuted
from simulation.laws import Told

ROUNDS = int(os.environ.get("CNOP_CRASH_ROUNDS", "2"))
KILLED = (
    *("identity", "accounts", "markets", "auth", "auditor", "read-models", "feed", "clock"),
    "gateway-1",
)
LANES = 3
"""How many processes may be down at once."""
LONGER_THAN_A_SESSION_S = 12.0
FILLED_MIN = 300
_LOG = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)


class Home:
    """A system with servers and a state directory of its own, that can be stopped and started."""

    def __init__(self, config: StackConfig) -> None:
        self.config = config
        self.stack = Stack.start(config, leashed=True)

    def restart(self) -> float:
        """Stop it gracefully and start it again on its data; how long starting took, in s."""
        assert self.stack.stop()
        since_s = time.monotonic()
        self.stack = Stack.start(self.config, leashed=True)
        return time.monotonic() - since_s


@pytest.fixture(scope="module")
def home(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    config = StackConfig(
        state_dir=tmp_path_factory.mktemp("home"),
        kafka_bootstrap=None,
        dynamodb_endpoint=None,
        kafka_port=free_port(),
        dynamodb_port=free_port(),
        gateway_ports=(free_port(), free_port()),
        metrics_base=free_port(consecutive=METRICS_PORTS),
    )
    with pytest.MonkeyPatch.context() as environment:
        for each in ("CNOP_KAFKA_BOOTSTRAP", "CNOP_DYNAMODB_ENDPOINT"):
            environment.delenv(each, raising=False)
        environment.setenv("CNOP_JARS_DIR", str(jars))
        made = Home(config)
        yield made
        made.stack.stop()


@asynccontextmanager
async def crowd_at(stack: Stack, *, number: int = 12, seed: int = 1) -> AsyncIterator[Crowd]:
    async with Gateways.of(stack) as gateways:
        yield Crowd(gateways, number=number, seed=seed)


async def verdict(stack: Stack, crowd: Crowd, *, complete: bool = True) -> Told:
    """Judge the books of the traders and the whole system, with nobody writing to it."""
    await asyncio.to_thread(stack.wait_ready, 120)
    quiet = ("feed", "clock")
    for each in quiet:
        stack.signal(each, signal.SIGSTOP)
    try:
        told = await judge(stack.settings)
        await crowd.check_books()
        if complete:
            crowd.check_journals(told)
        if port := stack.status.process("auditor").metrics_port:
            await _check_auditor(port, told)
    finally:
        for each in quiet:
            stack.signal(each, signal.SIGCONT)
    return told


async def _check_auditor(port: int, told: Told) -> None:
    trades = told.happened[TradeExecuted.TYPE]

    async def has_matched_all() -> bool:
        return sum((await asyncio.to_thread(_audit, port)).get("matched", {}).values()) >= trades

    await until(has_matched_all, limit_s=60)
    assert check_audit(_audit(port)) == trades


def _audit(port: int) -> dict[str, dict[str, int]]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/audit", timeout=5) as answer:
        return json.load(answer)


async def kill(stack: Stack, name: str, crowd: Crowd) -> None:
    """Kill -9, and wait until the process works again and traders get on."""
    since_s = time.monotonic()
    old = stack.kill(name)
    await asyncio.to_thread(stack.wait_restarted, name, old, 90)
    ready_s = time.monotonic() - since_s
    await crowd.progress(5)
    waited_s = crowd.longest_wait_s(since_s, since_s + ready_s)
    _LOG.info("%s: ready after %.1f s, a trader waited %.1f s", name, ready_s, waited_s)


async def kill_in_turn(stack: Stack, crowd: Crowd, names: Sequence[str]) -> None:
    async def lane(mine: Sequence[str]) -> None:
        for each in mine:
            await kill(stack, each, crowd)

    await asyncio.gather(*(lane(names[n::LANES]) for n in range(LANES)))


async def pause(stack: Stack, name: str, duration_s: float) -> None:
    """Stop a process where it stands; it wakes as a zombie when others went on meanwhile."""
    pid = stack.signal(name, signal.SIGSTOP)
    await asyncio.sleep(duration_s)
    os.killpg(pid, signal.SIGCONT)


def another(stack: Stack, worker: str, log: Path) -> Child:
    """One more process of this kind, which the supervisor does not know."""
    command = [sys.executable, "-m", "runtime.cli", "worker", worker]
    return Child(command, log=log, env=os.environ | stack.environment, leashed=True)


async def test_nothing_is_lost_or_doubled_whatever_is_killed_or_paused(
    home: Home, tmp_path: Path
) -> None:
    stack, random = home.stack, Random(1)

    async def disturb(crowd: Crowd) -> None:
        second = another(stack, "accounts", tmp_path / "accounts-2.log")
        await crowd.progress(30)
        for _ in range(ROUNDS):
            await kill_in_turn(stack, crowd, random.sample(KILLED, len(KILLED)))
        await asyncio.gather(
            pause(stack, "accounts", LONGER_THAN_A_SESSION_S),
            pause(stack, "markets", LONGER_THAN_A_SESSION_S),
        )
        await crowd.progress(100)
        since_s = time.monotonic()
        await asyncio.to_thread(second.stop)
        await crowd.progress(100)
        waited_s = crowd.longest_wait_s(since_s, since_s + 1)
        _LOG.info("a worker that was told to end: a trader waited %.1f s", waited_s)
        await pause(stack, "kafka", 7)
        await crowd.progress(30)
        await kill(stack, "kafka", crowd)
        while crowd.filled < FILLED_MIN:
            await crowd.progress(20)

    async with crowd_at(stack) as crowd:
        await crowd.trade_while(disturb(crowd))
        told = await verdict(stack, crowd)
    _report(crowd, told)
    assert crowd.filled >= FILLED_MIN


async def test_a_restarted_system_goes_on_from_its_snapshots(home: Home) -> None:
    async with crowd_at(home.stack, seed=100) as crowd:
        await crowd.trade_while(crowd.progress(150))
        took_s = home.restart()  # in this thread: what it starts dies with the one that started it
        _LOG.info("started again in %.1f s", took_s)
        async with Journals.opened(home.stack.settings) as journals:
            await journals.follow()
            _check_snapshots(journals)
        await crowd.trade_while(crowd.progress(100))
        await verdict(home.stack, crowd, complete=False)
    for name in ("accounts", "identity", "markets"):
        assert "snapshots dropped" not in home.config.files.log(name).read_text()


def _check_snapshots(journals: Journals) -> None:
    """The last writer before this one ended with a checkpoint, at which this one started."""
    for place, records in journals.records.items():
        kinds = [dict(each.headers)[CE_TYPE].decode() for each in records]
        newest = len(kinds) - 1 - kinds[::-1].index(WriterClaimed.TYPE)
        before = kinds[newest - 1]
        assert before in (Checkpoint.TYPE, GenerationStarted.TYPE), f"{place}: {before}"


@pytest.mark.parametrize("partitions", [1, 16])
async def test_any_number_of_partitions_survives_kills(
    start_stack: Callable[..., Stack], partitions: int
) -> None:
    stack = start_stack(partitions=partitions)

    async def disturb(crowd: Crowd) -> None:
        await crowd.progress(60)
        await asyncio.gather(*(kill(stack, each, crowd) for each in ("accounts", "markets")))
        await crowd.progress(60)

    async with crowd_at(stack) as crowd:
        await crowd.trade_while(disturb(crowd))
        told = await verdict(stack, crowd)
    _report(crowd, told)
    stack.stop()


def _report(crowd: Crowd, told: Told) -> None:
    waits = sorted(each.until_s - each.since_s for each in crowd.waits)
    _LOG.info(
        "%d commands, %d orders, %d filled; waits p50 %.2f s, p99 %.1f s, longest %.1f s; "
        "%d trades, %d claims, %d void records; %s",
        *(len(waits), len(crowd.orders), crowd.filled),
        *(waits[len(waits) // 2], waits[len(waits) * 99 // 100], waits[-1]),
        *(told.happened[TradeExecuted.TYPE], told.claims, told.void),
        dict(crowd.answers),
    )
