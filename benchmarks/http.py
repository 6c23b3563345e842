"""Orders over HTTP, from servers and sizes to a section of the report."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from botocore.exceptions import BotoCoreError

from benchmarks import denominators, load, projectors
from benchmarks.backlog import Backlog, watching
from benchmarks.load import Load, Trader
from benchmarks.measure import Ratio, in_fresh_process
from benchmarks.report import Section, Table
from benchmarks.suite import Bench
from benchmarks.system import System, running, serving
from benchmarks.traders import fund
from runtime import admin
from runtime.devstack.ports import free_port
from runtime.dynamodb import open_dynamodb
from runtime.settings import Settings
from schemas.topics import TOPICS

COMPARED_AT: Final = 64
ECHO_LEAST: Final = 0.08
FLOOR_LEAST: Final = 0.3
_ACCOUNTS_EACH: Final = 64
_WARM_S: Final = 2.0
_DRAIN_S_MAX: Final = 40.0


class Round(NamedTuple):
    """Orders and, half before and half after, the bare loops under the same load; what they left.

    Each bare loop is measured while the system idles.
    """

    orders: Load
    echo: Load
    floor: Load
    cpu_ms: Mapping[str, float]
    """CPU per filled order in ms, by process."""
    backlog: Backlog


class _Bare(NamedTuple):
    """Ports of the bare loops."""

    echo: int
    floor: int


def orders(bench: Bench) -> Section:
    """Market orders over HTTP at growing numbers of connections, beside the bare loops."""
    sizes = bench.sizes
    rounds: list[Round] = []
    with (
        trading(bench, sizes.accounts, sizes.registering_s) as (system, traders),
        _bare_loops(system.settings) as bare,
    ):
        _round(system, bare, traders, connections=16, seconds=_WARM_S)
        for n, connections in enumerate(_levels(sizes.connections, sizes.pairs)):
            if n >= len(sizes.connections) and not sizes.has_time:
                break  # each level once, however slow the machine is
            bench.say(f"{connections} connections, {len(traders):,} accounts")
            rounds.append(_round(system, bare, traders, connections, sizes.load_s))
    rounds.sort(key=lambda each: each.orders.connections)
    return _section(rounds, len(traders))


@contextmanager
def trading(bench: Bench, count: int, seconds: float) -> Iterator[tuple[System, list[Trader]]]:
    """A whole system in a namespace of its own, with up to `count` funded traders."""
    with namespace(bench.settings) as settings:
        bench.say("starting the whole system")
        with running(settings) as system:
            bench.say(f"registering up to {count:,} traders")
            url = system.stack.urls[0]
            yield system, in_fresh_process(fund, url, count, seconds=seconds)


@contextmanager
def _bare_loops(settings: Settings) -> Iterator[_Bare]:
    ports = _Bare(free_port(), free_port())
    with (
        serving(denominators.serve_echo, ports.echo, port=ports.echo),
        serving(denominators.decide_one_append, settings),
        serving(denominators.serve_one_append, ports.floor, settings, port=ports.floor),
    ):
        yield ports


def _levels(connections: Sequence[int], pairs: int) -> Iterator[int]:
    """The compared level first and as often as there are pairs, the others once."""
    yield COMPARED_AT
    yield from (each for each in connections if each != COMPARED_AT)
    yield from [COMPARED_AT] * (pairs - 1)


def _round(
    system: System, bare: _Bare, traders: Sequence[Trader], connections: int, seconds: float
) -> Round:
    some = traders[: _ACCOUNTS_EACH * connections]
    early = [_bare_load(port, some, connections, seconds / 4) for port in bare]
    before = system.cpu_s()
    ordered, backlog = in_fresh_process(
        _trade, system.settings, system.port, some, connections=connections, seconds=seconds
    )
    after = system.cpu_s()
    late = [_bare_load(port, some, connections, seconds / 4) for port in reversed(bare)]
    echo, floor = (one.and_then(two) for one, two in zip(early, reversed(late), strict=True))
    spent = {name: (used - before.get(name, 0.0)) * 1000 for name, used in after.items()}
    per_order = {name: ms / max(1, ordered.filled) for name, ms in spent.items()}
    return Round(ordered, echo, floor, per_order, backlog)


def _bare_load(port: int, traders: Sequence[Trader], connections: int, seconds: float) -> Load:
    return in_fresh_process(
        load.run, port, traders, connections=connections, seconds=seconds, is_echo=True
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
    compared = [each for each in rounds if each.orders.connections == COMPARED_AT]
    against = (
        ("bare Starlette echo", [each.echo for each in compared], ECHO_LEAST),
        ("one-append floor", [each.floor for each in compared], FLOOR_LEAST),
    )
    ratios = tuple(
        Ratio.of(
            f"orders over HTTP / {name} at {COMPARED_AT} connections",
            [each.orders.rate / bare.rate for each, bare in zip(compared, bares, strict=True)],
            least=least,
        )
        for name, bares, least in against
    )
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
                    "floor/s",
                    "floor p50",
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
        ratios,
        (
            "A closed loop: each connection waits for its answer. Half are buys, half sells.",
            "An order is of about $10 (of 0.001 BTC at least) and filled by the house.",
            "Floor: Starlette, inbox, one worker, journal, reply; one append, no checks.",
        ),
    )


def _order_row(each: Round) -> tuple[str, ...]:
    done = each.orders
    return (
        str(done.connections),
        f"{done.rate:,.0f}",
        *(f"{done.latency_ms(share):.1f} ms" for share in (0.5, 0.99, 0.999)),
        *(f"{count:,}" for count in (done.unfilled, done.refused, done.pending, done.errors)),
        *_bare_cells(each.echo),
        *_bare_cells(each.floor),
    )


def _bare_cells(bare: Load) -> tuple[str, str]:
    return f"{bare.rate:,.0f}", f"{bare.latency_ms(0.5):.1f} ms"


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
def namespace(settings: Settings, suffix: str = "h-") -> Iterator[Settings]:
    """A namespace of its own; topics and tables are gone afterwards."""
    own = settings.model_copy(update={"namespace": f"{settings.namespace}{suffix}"})
    try:
        yield own
    finally:
        asyncio.run(_clean(own))


async def _clean(settings: Settings) -> None:
    async with open_dynamodb(settings) as client:
        with suppress(BotoCoreError):  # figures are worth more than tables left behind
            await projectors.drop_tables(client, settings)
    await admin.delete_topics(settings, TOPICS)
