"""The benchmarks, each from servers and sizes to a section of the report."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from time import monotonic
from typing import Final, NamedTuple

from benchmarks import accounts_worker, denominators, matching, projectors
from benchmarks.measure import Cost, Ratio, in_fresh_process, percentile
from benchmarks.report import Section, Table
from runtime import admin
from runtime.dynamodb import open_dynamodb
from runtime.settings import Settings
from schemas.topics import ACCOUNTS, TOPICS, Topic

Say = Callable[[str], None]
MATCHED_LEAST: Final = 100_000
_MESSAGE: Final = b"x" * 400
_TOPICS: Final = [each for each in TOPICS if ACCOUNTS in {*each.writers, *each.readers}]


class Sizes(NamedTuple):
    """How much of everything; `deadline` is monotonic seconds, after which no pair is begun."""

    commands: int
    pairs: int
    appends: int
    asked: int
    grown: int
    projected: int
    restarts: tuple[int, ...]
    accounts: int
    registering_s: float
    load_s: float
    connections: tuple[int, ...]
    deadline: float

    @property
    def has_time(self) -> bool:
        """Whether something new may begin."""
        return monotonic() < self.deadline

    def goes_on(self, done: int) -> bool:
        """Whether another pair is due, and there is time for it; there is for the first."""
        return done < self.pairs and (done == 0 or self.has_time)


class Bench(NamedTuple):
    """Where a benchmark works: settings of a namespace of its own, sizes, and how it reports."""

    settings: Settings
    sizes: Sizes
    say: Say


def worker(bench: Bench) -> Section:
    """The accounts worker against the bare consume-append loop."""
    count = bench.sizes.commands
    workers: list[Cost] = []
    bares: list[Cost] = []
    while bench.sizes.goes_on(len(bares)):
        pair = len(bares) + 1
        with topics(bench.settings, f"w{pair}-") as settings:
            bench.say(f"pair {pair}: {count:,} messages into the inbox")
            in_fresh_process(accounts_worker.preload, settings, count)
            for turn in ((_real, _bare), (_bare, _real))[pair % 2 == 0]:
                bench.say(f"pair {pair}: {'worker' if turn is _real else 'bare loop'}")
                turn(settings, count, workers, bares)
    return Section(
        "worker",
        (_cost_table("Accounts worker, per message", {"worker": workers, "bare loop": bares}),),
        (
            Ratio.of(
                "accounts worker / bare consume-append, by CPU",
                [bare.cpu_us / real.cpu_us for real, bare in zip(workers, bares, strict=True)],
                least=0.4,
            ),
        ),
        (
            f"{count:,} messages of {accounts_worker.ACCOUNTS:,} accounts, five of nine clients'.",
            "CPU of the worker's process alone, its snapshots included.",
        ),
    )


def _real(settings: Settings, count: int, workers: list[Cost], _bares: list[Cost]) -> None:
    workers.append(in_fresh_process(accounts_worker.decide_all, settings, count))


def _bare(settings: Settings, count: int, _workers: list[Cost], bares: list[Cost]) -> None:
    bares.append(in_fresh_process(accounts_worker.consume_and_append, settings, count))


def append(bench: Bench) -> Section:
    """One idempotent acks=all append at a time."""
    with topics(bench.settings, "a-") as settings:
        bench.say(f"{bench.sizes.appends:,} appends, one at a time")
        took_ms = in_fresh_process(
            denominators.append_one,
            settings,
            accounts_worker.BARE_JOURNAL,
            _MESSAGE,
            bench.sizes.appends,
        )
    shares = (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))
    row = tuple(f"{percentile(took_ms, share):.2f} ms" for _, share in shares)
    title = f"Idempotent acks=all append, {len(_MESSAGE)} bytes, one at a time"
    return Section("append", (Table(title, tuple(name for name, _ in shares), (row,)),))


def projector(bench: Bench) -> Section:
    """The accounts journal's projectors against bare TransactWriteItems of the same requests."""
    count = bench.sizes.projected
    real: list[Cost] = []
    bare: list[Cost] = []
    with topics(bench.settings, "p-") as journal:
        bench.say(f"a journal of {count:,} records")
        in_fresh_process(accounts_worker.preload, journal, count)
        in_fresh_process(accounts_worker.decide_all, journal, count)
        while bench.sizes.goes_on(len(bare)):
            pair = len(bare) + 1
            sides = [(projectors.project, real), (projectors.transact, bare)]
            for side, costs in sides if pair % 2 else reversed(sides):
                bench.say(f"pair {pair}: {'projectors' if costs is real else 'bare transactions'}")
                name = f"{journal.namespace}{pair}{'r' if costs is real else 'b'}-"
                tables = journal.model_copy(update={"namespace": name})
                costs.append(in_fresh_process(side, tables, journal, count))
    return Section(
        "projector",
        (
            _cost_table(
                "Projectors of the accounts journal, per item",
                {"projector": real, "bare TransactWriteItems": bare},
            ),
        ),
        (
            Ratio.of(
                "projectors / bare TransactWriteItems, by items/s",
                [one.rate / other.rate for one, other in zip(real, bare, strict=True)],
                least=0.7,
            ),
        ),
        (f"{real[0].count:,} items from {count:,} records in the same transactions.",),
    )


def restart(bench: Bench) -> Section:
    """How long a writer takes to start, by the length of its journal."""
    rows: list[tuple[str, ...]] = []
    for count in bench.sizes.restarts:
        with topics(bench.settings, f"r{count}-") as settings:
            bench.say(f"a journal of {count:,} records")
            in_fresh_process(accounts_worker.preload, settings, count)
            in_fresh_process(accounts_worker.decide_all, settings, count)
            took = [
                in_fresh_process(accounts_worker.restart, settings, with_snapshots=each)
                for each in (True, False)
            ]
        rows.append((f"{took[0].journal_records:,}", *(f"{each.seconds:.2f} s" for each in took)))
    columns = ("journal records", "from snapshots", "from offset 0")
    return Section("restart", (Table("Start of a writer, until it decides", columns, tuple(rows)),))


def book(bench: Bench) -> Section:
    """Orders a second of one book, in memory."""
    bench.say("orders in one book")
    costs = [in_fresh_process(matching.measured) for _ in range(bench.sizes.pairs)]
    title = "One order book, in memory: 70 % rest, 20 % cancel, 10 % match"
    return Section(
        "matching",
        (_cost_table(title, {"decide and evolve": costs}),),
        (
            Ratio.of(
                f"orders matched / {MATCHED_LEAST:,}, by CPU second",
                [1e6 / each.cpu_us / MATCHED_LEAST for each in costs],
                least=1.0,
            ),
        ),
    )


@contextmanager
def topics(
    settings: Settings, suffix: str, chosen: Sequence[Topic] = _TOPICS
) -> Iterator[Settings]:
    """Topics and tables below a namespace of its own, gone afterwards; inboxes of one partition."""
    own = settings.model_copy(
        update={"namespace": f"{settings.namespace}{suffix}", "partitions": 1}
    )
    asyncio.run(admin.create_topics(own, chosen))
    try:
        yield own
    finally:
        asyncio.run(_clean(own, chosen))


async def _clean(settings: Settings, chosen: Sequence[Topic]) -> None:
    async with open_dynamodb(settings) as client:
        await projectors.drop_tables(client, settings)
    await admin.delete_topics(settings, chosen)


def _cost_table(title: str, costs: dict[str, list[Cost]]) -> Table:
    return Table(
        title,
        ("", "CPU us (median)", "lowest", "highest", "per second"),
        tuple(
            (
                name,
                f"{median(each.cpu_us for each in runs):.1f}",
                f"{min(each.cpu_us for each in runs):.1f}",
                f"{max(each.cpu_us for each in runs):.1f}",
                f"{median(each.rate for each in runs):,.0f}",
            )
            for name, runs in costs.items()
        ),
    )
