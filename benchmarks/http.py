"""Orders over HTTP, from servers and sizes to a section of the report."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, NamedTuple

from benchmarks import load, projectors
from benchmarks.backlog import Backlog, watching
from benchmarks.load import Load, Trader
from benchmarks.measure import Ratio, in_fresh_process
from benchmarks.orders import System, running
from benchmarks.report import Section, Table
from benchmarks.suite import Bench
from benchmarks.traders import fund
from runtime import admin
from runtime.dynamodb import open_dynamodb
from runtime.settings import Settings
from schemas.topics import TOPICS

COMPARED_AT: Final = 64
_ACCOUNTS_EACH: Final = 64
_WARM_S: Final = 2.0
_DRAIN_S_MAX: Final = 40.0


class Round(NamedTuple):
    """Orders and, half before and half after, the echo under the same load; what they left."""

    orders: Load
    echo: Load
    cpu_ms: Mapping[str, float]
    """CPU per filled order in ms, by process."""
    backlog: Backlog


def orders(bench: Bench) -> Section:
    """Market orders over HTTP at growing numbers of connections, beside a bare echo."""
    sizes = bench.sizes
    rounds: list[Round] = []
    with _namespace(bench.settings) as settings:
        bench.say("starting the whole system")
        with running(settings) as system:
            bench.say(f"registering up to {sizes.accounts:,} traders")
            traders = in_fresh_process(
                fund, system.stack.urls[0], sizes.accounts, seconds=sizes.registering_s
            )
            _round(system, traders, connections=16, seconds=_WARM_S)
            for n, connections in enumerate(_levels(sizes.connections, sizes.pairs)):
                if n >= len(sizes.connections) and not sizes.has_time:
                    break  # each level once, however slow the machine is
                bench.say(f"{connections} connections, {len(traders):,} accounts")
                rounds.append(_round(system, traders, connections, sizes.load_s))
    rounds.sort(key=lambda each: each.orders.connections)
    return _section(rounds, len(traders))


def _levels(connections: Sequence[int], pairs: int) -> Iterator[int]:
    """The compared level first and as often as there are pairs, the others once."""
    yield COMPARED_AT
    yield from (each for each in connections if each != COMPARED_AT)
    yield from [COMPARED_AT] * (pairs - 1)


def _round(system: System, traders: Sequence[Trader], connections: int, seconds: float) -> Round:
    some = traders[: _ACCOUNTS_EACH * connections]
    early = _echoed(system, some, connections, seconds / 4)
    before = system.cpu_s()
    ordered, backlog = in_fresh_process(
        _trade, system.settings, system.port, some, connections=connections, seconds=seconds
    )
    after = system.cpu_s()
    echo = early.and_then(_echoed(system, some, connections, seconds / 4))
    spent = {name: (used - before.get(name, 0.0)) * 1000 for name, used in after.items()}
    per_order = {name: ms / max(1, ordered.filled) for name, ms in spent.items()}
    return Round(ordered, echo, per_order, backlog)


def _echoed(system: System, traders: Sequence[Trader], connections: int, seconds: float) -> Load:
    return in_fresh_process(
        load.run, system.echo_port, traders, connections=connections, seconds=seconds, is_echo=True
    )


async def _trade(
    settings: Settings, port: int, traders: Sequence[Trader], *, connections: int, seconds: float
) -> tuple[Load, Backlog]:
    """Trade, and see what is left behind the moment that it ends."""
    async with watching(settings) as watch:
        done = await load.run(
            port, traders, connections=connections, seconds=seconds, is_echo=False
        )
        return done, await watch.drained(timeout_s=_DRAIN_S_MAX)


def _section(rounds: Sequence[Round], traders: int) -> Section:
    compared = [
        each.orders.rate / each.echo.rate
        for each in rounds
        if each.orders.connections == COMPARED_AT
    ]
    name = f"orders over HTTP / bare Starlette echo at {COMPARED_AT} connections"
    return Section(
        "orders",
        (
            Table(
                f"Market orders over HTTP, {traders:,} accounts, projectors on",
                (
                    "connections",
                    "filled/s",
                    "p50",
                    "p99",
                    "p99.9",
                    "not filled",
                    "refused",
                    "202",
                    "errors",
                    "echo/s",
                    "echo p50",
                ),
                tuple(_order_row(each) for each in rounds),
            ),
            Table(
                "CPU per filled order, ms, until all is projected",
                ("connections", *(names := _processes(rounds)), "all"),
                tuple(_cpu_row(each, names) for each in rounds),
            ),
            Table(
                "Journal records left to project at the last answer, and until none was",
                ("connections", "orders", "portfolio", "activity", "commands", "drained"),
                tuple(_backlog_row(each) for each in rounds),
            ),
        ),
        (Ratio.of(name, compared, least=0.05),) if compared else (),
        (
            "A closed loop: each connection waits for its answer. Half are buys, half sells.",
            "An order is of about $10 (of 0.001 BTC at least) and filled by the house.",
        ),
    )


def _order_row(each: Round) -> tuple[str, ...]:
    done, echo = each.orders, each.echo
    return (
        str(done.connections),
        f"{done.rate:,.0f}",
        *(f"{done.latency_ms(share):.1f} ms" for share in (0.5, 0.99, 0.999)),
        *(f"{count:,}" for count in (done.unfilled, done.refused, done.pending, done.errors)),
        f"{echo.rate:,.0f}",
        f"{echo.latency_ms(0.5):.1f} ms",
    )


def _processes(rounds: Sequence[Round]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for each in rounds for name in each.cpu_ms))


def _cpu_row(each: Round, names: Sequence[str]) -> tuple[str, ...]:
    spent = [each.cpu_ms.get(name, 0.0) for name in names]
    figures = (*spent, sum(spent))
    return (str(each.orders.connections), *(f"{ms:.2f}" for ms in figures))


def _backlog_row(each: Round) -> tuple[str, ...]:
    records, drained_s = each.backlog
    return (
        str(each.orders.connections),
        *(f"{count:,}" for count in records.values()),
        f"over {_DRAIN_S_MAX:.0f} s" if drained_s is None else f"{drained_s:.1f} s",
    )


@contextmanager
def _namespace(settings: Settings) -> Iterator[Settings]:
    """A namespace of its own; topics and tables are gone afterwards."""
    own = settings.model_copy(update={"namespace": f"{settings.namespace}h-"})
    try:
        yield own
    finally:
        asyncio.run(_clean(own))


async def _clean(settings: Settings) -> None:
    async with open_dynamodb(settings) as client:
        await projectors.drop_tables(client, settings)
    await admin.delete_topics(settings, TOPICS)
