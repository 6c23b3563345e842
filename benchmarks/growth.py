"""What many accounts cost: the time to restore them, and the latency among them."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Final, NamedTuple

from benchmarks import direct, filling
from benchmarks.http import namespace
from benchmarks.measure import Ratio, in_fresh_process, percentile
from benchmarks.report import Section, Table
from benchmarks.suite import Bench, topics
from benchmarks.system import System, running
from benchmarks.workload import account_ids
from runtime import admin
from schemas.topics import ACCOUNTS, MARKETS, TOPICS

RESTORED_ACCOUNTS: Final = 100_000
RESTORED_ORDERS: Final = 50_000
FEW: Final = 1_000
GROWTH_MOST: Final = 1.5
_TRADING: Final = 100
_WARM: Final = 20


class Grown(NamedTuple):
    """A running system with that many accounts, and some of them that trade."""

    accounts: int
    system: System
    trading: Sequence[str]
    filled_s: float
    started_s: float


def restore(bench: Bench) -> Section:
    """How long the writers of accounts and of markets take to start from large snapshots."""
    rows: list[tuple[str, ...]] = []
    sizes = {"accounts": RESTORED_ACCOUNTS, "orders": RESTORED_ORDERS}
    with topics(bench.settings, "big-", TOPICS) as settings:
        for context in (ACCOUNTS, MARKETS):
            bench.say(f"{RESTORED_ORDERS:,} open orders into the snapshots of {context}")
            in_fresh_process(filling.fill_one, settings, context, **sizes)
            bench.say(f"restoring {context}")
            accounts, orders, took_s = in_fresh_process(filling.restored, settings, context)
            rows.append((context, f"{accounts:,}", f"{orders:,}", f"{took_s:.2f} s"))
    title = "Start of a writer from snapshots, until it decides"
    columns = ("", "accounts", "open orders", "took")
    return Section("restore", (Table(title, columns, tuple(rows)),))


def growth(bench: Bench) -> Section:
    """Market orders over Kafka among few accounts and among many, side by side."""
    with (
        _grown(bench, FEW) as few,
        _grown(bench, bench.sizes.grown) as many,
    ):
        p50_ms: dict[int, list[float]] = {each.accounts: [] for each in (few, many)}
        _p50_ms(few, _WARM), _p50_ms(many, _WARM)
        while bench.sizes.goes_on(len(p50_ms[FEW])):
            pair = len(p50_ms[FEW]) + 1
            bench.say(f"pair {pair}: one order at a time")
            for each in (few, many) if pair % 2 else (many, few):
                p50_ms[each.accounts].append(_p50_ms(each, bench.sizes.asked))
        rows = tuple(_row(each, p50_ms[each.accounts]) for each in (few, many))
    lows, highs = p50_ms.values()
    return Section(
        "accounts-growth",
        (
            Table(
                "Market orders over Kafka, one at a time, by how many accounts there are",
                ("accounts", "made in", "system ready in", "accounts worker", "p50"),
                rows,
            ),
        ),
        (
            Ratio.of(
                f"latency among {bench.sizes.grown:,} accounts / among {FEW:,}, by p50",
                [high / low for low, high in zip(lows, highs, strict=True)],
                most=GROWTH_MOST,
            ),
        ),
        ("Both systems run at the same time, and one of them is asked.",),
    )


def _row(grown: Grown, p50_ms: Sequence[float]) -> tuple[str, ...]:
    return (
        f"{grown.accounts:,}",
        f"{grown.filled_s:.0f} s",
        f"{grown.started_s:.0f} s",
        f"{grown.system.memory_mib(ACCOUNTS):,.0f} MiB",
        f"{percentile(p50_ms, 0.5):.1f} ms",
    )


def _p50_ms(grown: Grown, count: int) -> float:
    took_ms = in_fresh_process(direct.market_orders, grown.system.settings, grown.trading, count)
    return percentile(took_ms, 0.5)


@contextmanager
def _grown(bench: Bench, count: int) -> Iterator[Grown]:
    with namespace(bench.settings, f"g{count}-") as settings:
        bench.say(f"{count:,} accounts into the snapshots")
        asyncio.run(admin.create_topics(settings))
        began = monotonic()
        in_fresh_process(filling.fill_accounts, settings, count)
        filled = monotonic()
        bench.say(f"starting the whole system with {count:,} accounts")
        with running(settings) as system:
            ids = account_ids(count)
            trading = ids[:: count // _TRADING]
            yield Grown(count, system, trading, filled - began, monotonic() - filled)
