"""Processes are killed, paused and cut off under load; topics and tables alone tell what is left.

CNOP_CRASH_ROUNDS is how often each process is killed, paused and cut off; the broker is killed ten
times as often.
"""

import asyncio
import json
import logging
import os
import signal
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from random import Random

import pytest
from crowd import Crowd
from home import Home
from traders import Gateways, until
from verdict import Journals, check_audit, judge, overtaken
from wire import Cut

from runtime.devstack.background import Stack
from runtime.devstack.children import Child
from schemas.envelope import CE_TYPE
from schemas.journal import Checkpoint, GenerationStarted, WriterClaimed
from schemas.markets import TradeExecuted
from simulation.laws import Told

ROUNDS = int(os.environ.get("CNOP_CRASH_ROUNDS", "2"))
DECIDING = ("identity", "accounts", "markets")
DISTURBED = (
    *DECIDING,
    *("auth", "auditor", "read-models", "feed", "clock", "gateway-1", "gateway-2"),
)
LANES = 4
"""How many processes may be hit at once."""
BROKER_KILLS_EACH = 10
SHORT_S = (0.5, 3.0)
LONGER_THAN_AN_ANSWER_S = 7.0
"""Writers wait 5 s for an acknowledgement."""
LONGER_THAN_A_SESSION_S = 12.0
FILLED_MIN = 300
_LOG = logging.getLogger(__name__)
logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.fixture(scope="module")
def home(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    with pytest.MonkeyPatch.context() as environment:
        for each in ("CNOP_KAFKA_BOOTSTRAP", "CNOP_DYNAMODB_ENDPOINT"):
            environment.delenv(each, raising=False)
        environment.setenv("CNOP_JARS_DIR", str(jars))
        made = Home(tmp_path_factory.mktemp("home"), jars).start()
        yield made
        made.stop()


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


async def disturb(home: Home, crowd: Crowd, random: Random) -> None:
    """Kill, pause and cut off every process, several at once, in an order of the seed."""
    ways = cycle(Cut)

    def faults(name: str) -> list[Callable[[], Awaitable[None]]]:
        return [
            partial(home.kill, name, crowd),
            partial(home.pause, name, random.uniform(*SHORT_S), crowd),
            partial(home.cut, name, next(ways), random.uniform(*SHORT_S), crowd),
        ]

    async def lane(names: Sequence[str]) -> None:
        due = [fault for each in names for _ in range(ROUNDS) for fault in faults(each)]
        due += [
            partial(home.cut, each, Cut.SILENT, LONGER_THAN_AN_ANSWER_S, crowd)
            for each in names
            if each in DECIDING
        ]
        for fault in random.sample(due, len(due)):
            await fault()

    await asyncio.gather(*(lane(DISTURBED[n::LANES]) for n in range(LANES)))


async def wake_zombies(home: Home, crowd: Crowd) -> None:
    """Pause the deciding workers until others took over, and see that they do no harm (W5, R1)."""
    since_ms = time.time() * 1_000
    pauses = [home.pause(each, LONGER_THAN_A_SESSION_S, crowd) for each in DECIDING]
    until_ms = since_ms + LONGER_THAN_A_SESSION_S * 1_000
    await asyncio.gather(*pauses)
    async with Journals.opened(home.stack.settings) as journals:
        await journals.follow()
    for context in DECIDING:
        taken, void = overtaken(journals, context, since_ms, until_ms)
        _LOG.info("%s: %d partitions taken over, %d void records since", context, taken, void)
        assert taken, f"nobody took over from {context}"


async def hand_over(seconds: Sequence[Child], crowd: Crowd) -> None:
    """Tell the second workers to end: the first ones get their partitions at once."""
    since_s = time.monotonic()
    await asyncio.gather(*(asyncio.to_thread(each.stop) for each in seconds))
    await crowd.progress(100, limit_s=90)
    waited_s = crowd.longest_wait_s(since_s, since_s + 1)
    _LOG.info("workers that were told to end: a trader waited %.1f s", waited_s)


async def restart(home: Home) -> None:
    """Stop everything gracefully: what starts again goes on from snapshots."""
    took_s = await home.restart()
    since_ms = (time.time() - took_s) * 1_000
    _LOG.info("started again in %.1f s", took_s)
    async with Journals.opened(home.stack.settings) as journals:
        await journals.follow()
        _check_snapshots(journals, since_ms)


@pytest.mark.timeout(1_200)
async def test_nothing_is_lost_or_doubled_whatever_is_killed_paused_or_cut_off(home: Home) -> None:
    async def session() -> None:
        seconds = [home.another(each) for each in DECIDING]
        await crowd.progress(50)
        await disturb(home, crowd, Random(1))
        await wake_zombies(home, crowd)
        await hand_over(seconds, crowd)
        await home.pause_broker(LONGER_THAN_AN_ANSWER_S, crowd)
        for _ in range(ROUNDS * BROKER_KILLS_EACH):
            await home.kill_broker(crowd)
        while crowd.filled < FILLED_MIN:
            await crowd.progress(20)

    async with crowd_at(home.stack) as crowd:
        await crowd.trade_while(session())
        _check_faults(home)
        await restart(home)
        await crowd.trade_while(crowd.progress(100))
        told = await verdict(home.stack, crowd)
    _report(crowd, told)
    assert crowd.filled >= FILLED_MIN
    assert told.claims > len(DECIDING) * ROUNDS, "no writer was ever overtaken"
    for name in DECIDING:
        assert "snapshots dropped" not in home.log(name)


def _check_faults(home: Home) -> None:
    """What should have happened did: each fault to each process, and restores by the killed."""
    _LOG.info("%s; %d bytes held back", dict(home.faults), home.wire.held_bytes)
    for kind in ("kill", "pause", "cut"):
        for name in DISTURBED:
            assert home.faults[kind, name] >= ROUNDS, f"{kind} of {name}"
    assert home.faults["broker kill", "kafka"] == ROUNDS * BROKER_KILLS_EACH
    assert home.wire.held_bytes, "no byte was on its way when a wire was cut"
    for name in DECIDING:
        assert home.log(name).count("restored from snapshots") >= ROUNDS, name


def _check_snapshots(journals: Journals, since_ms: float) -> None:
    """The last writer before the restart ended with a checkpoint, at which the next one started."""
    for place, records in journals.records.items():
        kinds = [dict(each.headers)[CE_TYPE].decode() for each in records]
        claim = next(
            n
            for n, (kind, each) in enumerate(zip(kinds, records, strict=True))
            if kind == WriterClaimed.TYPE and each.timestamp_ms >= since_ms
        )
        before = kinds[claim - 1]
        assert before in (Checkpoint.TYPE, GenerationStarted.TYPE), f"{place}: {before}"


@pytest.mark.parametrize("partitions", [1, 16])
async def test_any_number_of_partitions_survives_kills(
    start_stack: Callable[..., Stack], partitions: int
) -> None:
    stack = start_stack(partitions=partitions)

    async def disturb(crowd: Crowd) -> None:
        await crowd.progress(60)
        killed = {each: stack.kill(each) for each in ("accounts", "markets")}
        for name, pid in killed.items():
            await asyncio.to_thread(stack.wait_restarted, name, pid)
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
