"""The projector against zombies, and a table that conflicts, throttles and loses answers."""

import re
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journals import History
from msgspec.structs import replace

from read_models.activity.projection import PROJECTION as ACTIVITY
from read_models.commands.projection import PROJECTION as COMMANDS
from read_models.orders.projection import PROJECTION as ORDERS
from read_models.portfolio.projection import PROJECTION as PORTFOLIO
from runtime.errors import Halted, InvariantBroken, Unavailable
from runtime.log import Record
from runtime.memory_table import Fault, MemoryTable
from runtime.projection import Projection
from runtime.projector import ACTIONS_MAX, QUIET_S, Fold, Position, Projector
from runtime.table import Merge, Put
from schemas.envelope import CE_TYPE, WRITER_EPOCH, Headers, header_map
from schemas.topics import ACCOUNTS_JOURNAL

ALL: tuple[Projection, ...] = (ORDERS, PORTFOLIO, ACTIVITY, COMMANDS)
HISTORY = History(7, accounts=4, fee_ppm=500).live(250)


def store(*, faults: float = 0.0, random: Random | None = None) -> MemoryTable:
    def schedule(_call: str) -> Fault | None:
        assert random is not None
        return random.choice(list(Fault)) if random.random() < faults else None

    specs = [spec for each in ALL for spec in each.tables]
    return MemoryTable(specs, faults=schedule) if faults else MemoryTable(specs)


def projector(table: MemoryTable, *projections: Projection) -> Projector:
    return Projector(projections or (ORDERS,), ACCOUNTS_JOURNAL, 0, table)


async def folded(records: list[Record], projection: Projection, *, step: int = 40) -> MemoryTable:
    """The plain fold, without any fault."""
    table = store()
    one = projector(table, projection)
    for start in range(0, len(records), step):
        await one.step(records[start : start + step], now_s=0)
    await one.step([], now_s=1)
    await one.step([], now_s=1 + QUIET_S)
    return table


def checkpoint(table: MemoryTable, projection: Projection) -> Position:
    rows = table.rows(projection.tables[0].name)
    (row,) = [row for (key, _), row in rows.items() if key.startswith("checkpoint/")]
    return Position(row["offset"], row["epoch"])


@given(st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
async def test_tables_are_the_fold_up_to_their_checkpoints_whatever_happens(seed: int) -> None:
    random = Random(seed)  # a schedule that can be repeated
    table = store(faults=0.25, random=random)
    records = HISTORY.records

    def process() -> Projector:
        """It projects some of the read models, others may do so too."""
        return projector(table, *random.sample(ALL, random.randint(1, len(ALL))))

    processes = [process() for _ in range(3)]
    for now_s in range(200):
        if random.random() < 0.1:  # a crash: all memory is gone
            processes[random.randrange(3)] = process()
        one = random.choice(processes)
        start = one.next_offset or 0
        if random.random() < 0.2:  # a redelivery, or a gap
            start = max(0, start + random.randrange(-30, 30))
        batch = records[start : start + random.randrange(1, 60)]
        try:
            await one.step(batch, now_s=now_s)
        except Unavailable:
            continue
        if now_s % 40 == 0:
            await assert_folds(table)
    table.faults = lambda _call: None
    last = projector(table, *ALL)
    for now_s in range(200, 400):
        await last.step(records[last.next_offset or 0 :][:50], now_s=now_s)
    assert {checkpoint(table, each).offset for each in ALL} == {len(records)}
    await assert_folds(table)


async def assert_folds(table: MemoryTable) -> None:
    for projection in ALL:
        name = projection.tables[0].name
        if rows := table.rows(name):
            up_to = checkpoint(table, projection).offset
            reference = await folded(HISTORY.records[:up_to], projection)
            assert rows == reference.rows(name)


async def test_read_models_of_one_journal_share_transactions() -> None:
    table, calls = store(), list[str]()
    table.faults = calls.append
    one = projector(table, *ALL)
    await one.step(HISTORY.records[:20], now_s=0)
    assert calls.count("transact") == 1
    assert len({checkpoint(table, each) for each in ALL}) == 1


async def test_a_read_model_that_was_dropped_is_built_anew_beside_the_others() -> None:
    table, records = store(), HISTORY.records
    await projector(table, ORDERS, PORTFOLIO, COMMANDS).step(records[:100], now_s=0)
    one = projector(table, *ALL)
    await one.step([], now_s=0)
    assert one.next_offset == 0
    await one.step(records[:60], now_s=0)
    assert checkpoint(table, ACTIVITY).offset == 60
    assert checkpoint(table, ORDERS).offset == 100
    await one.step(records[60:150], now_s=0)
    assert {checkpoint(table, each).offset for each in ALL} == {150}
    await assert_folds(table)


async def test_a_zombie_writes_nothing_and_follows_on() -> None:
    table, records = store(), HISTORY.records
    zombie, other = projector(table), projector(table)
    await zombie.step(records[:50], now_s=0)
    await other.step([], now_s=0)
    await other.step(records[50:200], now_s=0)
    before = dict(table.rows("orders"))
    await zombie.step(records[50:80], now_s=0)
    assert table.rows("orders") == before
    assert zombie.next_offset == other.next_offset == 200


async def test_a_write_whose_answer_was_lost_is_not_written_twice() -> None:
    table, lost = store(), [Fault.ANSWER_LOST]
    one = projector(table)
    await one.step([], now_s=0)
    table.faults = lambda _call: lost.pop() if lost else None
    with pytest.raises(Unavailable):
        await one.step(HISTORY.records[:40], now_s=0)
    assert checkpoint(table, ORDERS).offset == 40
    await one.step(HISTORY.records[40:60], now_s=0)
    assert one.next_offset == 40  # it read the checkpoint again
    await one.step(HISTORY.records[40:60], now_s=0)
    assert checkpoint(table, ORDERS).offset == 60


async def test_records_of_a_fenced_writer_change_nothing() -> None:
    history = History(3).live(120)
    void = [each for each in history.records if _is_void(each, history.records)]
    assert void
    for projection in ALL:
        with_void = await folded(history.records, projection)
        skipped = [each for each in history.records if each not in void]
        dense = [replace(each, offset=n) for n, each in enumerate(skipped)]
        without = await folded(dense, projection)
        assert _contents(with_void, projection) == _contents(without, projection)


def _is_void(record: Record, records: list[Record]) -> bool:
    epochs = [int(header_map(each.headers)[WRITER_EPOCH]) for each in records[: record.offset]]
    return int(header_map(record.headers)[WRITER_EPOCH]) < max(epochs, default=0)


def _contents(table: MemoryTable, projection: Projection) -> list[dict[str, object]]:
    rows = table.rows(projection.tables[0].name)
    place = re.compile(r'"journal":"[^"]*"')
    return [
        {name: place.sub("", str(value)) for name, value in row.items() if name != "offset"}
        for (key, _), row in rows.items()
        if not key.startswith("checkpoint/")
    ]


def test_the_epoch_of_the_checkpoint_decides_after_a_restart() -> None:
    history = History(5)
    history.live(40)
    history.claim()
    start = len(history.records)
    history.haunt()
    assert len(history.records) == start + 1
    fresh = Fold({ORDERS: Position(start, history.epoch)}, ACCOUNTS_JOURNAL, 0)
    assert fresh.take(history.records[start:]) == []
    unaware = Fold({ORDERS: Position(start, history.epoch - 1)}, ACCOUNTS_JOURNAL, 0)
    assert unaware.take(history.records[start:]) != []


def test_a_batch_writes_each_row_once_and_cuts_between_records() -> None:
    fold = Fold({ORDERS: None}, ACCOUNTS_JOURNAL, 0)
    big = History(9, accounts=60).live(600)
    cuts = fold.take(big.records)
    assert len(cuts) > 1
    for cut in cuts:
        rows = [each.key if isinstance(each, Merge) else each.row for each in cut.changes]
        keys = [(each["account_id"], each["position"]) for each in rows]
        assert len(keys) == len(set(keys)) < ACTIONS_MAX
    expected = [each.checkpoints[0].expected for each in cuts]
    assert expected == [None, *(before.position._asdict() for before, _ in pairwise(cuts))]
    assert cuts[-1].position.offset == len(big.records)


async def test_records_without_rows_move_the_checkpoint_after_five_seconds() -> None:
    table, history = store(), History(1)  # a claim and two markets' facts
    one = projector(table)
    await one.step(history.records, now_s=100)
    await one.step([], now_s=100 + QUIET_S - 0.1)
    assert not table.rows("orders")
    await one.step([], now_s=100 + QUIET_S)
    assert checkpoint(table, ORDERS) == Position(len(history.records), 1)
    writes: list[str] = []
    table.faults = writes.append
    await one.step([], now_s=1_000)
    assert writes == []  # an idle system writes nothing


async def test_a_gap_is_not_skipped() -> None:
    table = store()
    one = projector(table)
    await one.step(HISTORY.records[:30], now_s=0)
    await one.step(HISTORY.records[35:60], now_s=0)
    assert one.next_offset == 30


async def test_an_unreadable_record_halts_before_it() -> None:
    history = History(2).live(60)
    orders = [n for n, each in enumerate(history.records) if _type_of(each) in ORDERS.concerns]
    at = orders[len(orders) // 2]
    for broken in (
        replace(history.records[at], value=b"{"),
        replace(history.records[at], headers=_retyped(history.records[at], "not.known.v1")),
    ):
        table = store()
        one = projector(table)
        batch = [*history.records[:at], broken, *history.records[at + 1 :]]
        await one.step(batch, now_s=0)
        assert one.next_offset == at
        with pytest.raises(Halted):
            await one.step(batch[at:], now_s=0)
        assert checkpoint(table, ORDERS).offset == at
        await one.step(history.records[at:], now_s=0)  # an operator has mended it
        assert one.next_offset == len(history.records)


async def test_a_record_that_concerns_no_read_model_is_not_even_read() -> None:
    table, history = store(), History(2).live(60)
    others = {n for n, each in enumerate(history.records) if _type_of(each) not in ORDERS.concerns}
    assert others
    one = projector(table)
    batch = [
        replace(each, value=b"{") if n in others else each for n, each in enumerate(history.records)
    ]
    await one.step(batch, now_s=0)
    assert one.next_offset == len(history.records)


def _type_of(record: Record) -> str:
    return header_map(record.headers)[CE_TYPE].decode()


def _retyped(record: Record, event_type: str) -> Headers:
    return [*record.headers, (CE_TYPE, event_type.encode())]


def test_a_record_may_not_change_more_rows_than_a_transaction_holds() -> None:
    class Greedy:
        name, journals, tables = "greedy", ORDERS.journals, ORDERS.tables
        concerns = ORDERS.concerns

        def project(self, _event: object, _recorded: object) -> list[Put]:
            return [Put("orders", {"account_id": "a", "position": n}) for n in range(100)]

    fold = Fold({Greedy(): None}, ACCOUNTS_JOURNAL, 0)
    with pytest.raises(InvariantBroken):
        fold.take(HISTORY.records)
