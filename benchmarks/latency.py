"""How long one market order takes, and whether it matters whose it is: two sections."""

from collections.abc import Sequence
from statistics import median
from typing import Final, NamedTuple

from benchmarks import denominators, direct, load
from benchmarks.http import trading
from benchmarks.load import Load, Trader
from benchmarks.measure import Ratio, in_fresh_process, percentile
from benchmarks.report import Section, Table
from benchmarks.suite import Bench
from benchmarks.system import System, serving
from benchmarks.workload import account_ids

FLOOR_MOST: Final = 4.0
CLIENTS: Final = 20
SHARING_LEAST: Final = 0.8
_TRADERS: Final = 20
_REGISTERING_S: Final = 30.0
_VALUE: Final = b"x" * 400
_WARM: Final = 50


class Turn(NamedTuple):
    """Milliseconds of one pair: requests and replies, orders over Kafka, orders over HTTP."""

    floor: Sequence[float]
    kafka: Sequence[float]
    http: Sequence[float]


def latency(bench: Bench) -> Section:
    """A market order, one at a time, over Kafka and over HTTP, against one request and reply."""
    turns: list[Turn] = []
    with (
        trading(bench, _TRADERS, _REGISTERING_S) as (system, traders),
        serving(denominators.answer_all, system.settings),
    ):
        in_fresh_process(direct.fund, system.settings, account_ids(_TRADERS))
        _turn(system, traders, _WARM, is_even=False)
        while bench.sizes.goes_on(len(turns)):
            bench.say(f"pair {len(turns) + 1}: one order at a time")
            is_even = len(turns) % 2 == 1
            turns.append(_turn(system, traders, bench.sizes.asked, is_even=is_even))
    return _latency_section(turns)


def _turn(system: System, traders: Sequence[Trader], count: int, *, is_even: bool) -> Turn:
    """All three, in this order or the other way round."""
    took_ms: dict[str, Sequence[float]] = {}
    for name in reversed(Turn._fields) if is_even else Turn._fields:
        took_ms[name] = _asked(name, system, traders, count)
    return Turn(**took_ms)


def _asked(name: str, system: System, traders: Sequence[Trader], count: int) -> Sequence[float]:
    settings = system.settings
    if name == "floor":
        return in_fresh_process(denominators.ask_one, settings, _VALUE, count)
    if name == "kafka":
        return in_fresh_process(direct.market_orders, settings, account_ids(_TRADERS), count)
    return _load(system, traders, connections=1, seconds=count / 100).latencies_ms


def _load(system: System, traders: Sequence[Trader], *, connections: int, seconds: float) -> Load:
    return in_fresh_process(
        load.run, system.port, traders, connections=connections, seconds=seconds, is_echo=False
    )


def _latency_section(turns: Sequence[Turn]) -> Section:
    names = ("request and reply over two topics", "market order over Kafka", "and over HTTP")
    rows = tuple(
        (name, *(f"{median(shares):.2f} ms" for shares in _percentiles(each)))
        for name, each in zip(names, zip(*turns, strict=True), strict=True)
    )
    return Section(
        "latency",
        (Table("One at a time (median of pairs)", ("", "p50", "p99"), rows),),
        (
            Ratio.of(
                "market order over Kafka / request and reply, by p50",
                [_p50(each.kafka) / _p50(each.floor) for each in turns],
                most=FLOOR_MOST,
            ),
            Ratio.of(
                "market order over HTTP / request and reply, by p50",
                [_p50(each.http) / _p50(each.floor) for each in turns],
            ),
        ),
        (
            "An order is seven appends: inbox and journal three times, and the reply.",
            "A request and its reply are two.",
        ),
    )


def _percentiles(runs: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    return [_p50(each) for each in runs], [percentile(each, 0.99) for each in runs]


def _p50(took_ms: Sequence[float]) -> float:
    return percentile(took_ms, 0.5)


def sharing(bench: Bench) -> Section:
    """Twenty clients on one account against twenty on an account each."""
    one: list[Load] = []
    each_own: list[Load] = []
    with trading(bench, CLIENTS, _REGISTERING_S) as (system, traders):
        _load(system, traders, connections=CLIENTS, seconds=2.0)
        while bench.sizes.goes_on(len(one)):
            bench.say(f"pair {len(one) + 1}: {CLIENTS} clients")
            sides = [(traders[:1], one), (traders, each_own)]
            for some, loads in sides if len(one) % 2 else reversed(sides):
                seconds = bench.sizes.load_s / 2
                loads.append(_load(system, some, connections=CLIENTS, seconds=seconds))
    rows = tuple(
        (
            name,
            f"{median(each.rate for each in loads):,.0f}",
            f"{median(each.latency_ms(0.5) for each in loads):.1f} ms",
            str(sum(each.unfilled + each.refused + each.pending + each.errors for each in loads)),
        )
        for name, loads in (("on one account", one), ("on an account each", each_own))
    )
    return Section(
        "sharing",
        (Table(f"{CLIENTS} clients over HTTP", ("", "filled/s", "p50", "others"), rows),),
        (
            Ratio.of(
                f"{CLIENTS} clients on one account / on {CLIENTS}, by filled orders/s",
                [mine.rate / theirs.rate for mine, theirs in zip(one, each_own, strict=True)],
                least=SHARING_LEAST,
            ),
        ),
    )
