"""Single rules of the protocol where a whole simulated history would not show them."""

from collections.abc import Coroutine, Iterator, Sequence
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from consumers.accounts.context import AccountsContext
from producers.envelopes import command_headers
from runtime.errors import Fenced, Halted, Unavailable
from runtime.journal.partition import Partition
from runtime.journal.remembered import SLICE_SIZE, Outcome, Remembered
from runtime.journal.snapshots import CHUNK_BYTES_MAX, Loaded
from runtime.journal.writer import Writer
from runtime.log import NewRecord, Place, Record
from runtime.simulation.log import Broker, Faults, MemoryLog
from runtime.simulation.scheduler import Process, Scheduler
from schemas.accounts import DepositFunds, PlaceOrder
from schemas.codec import Message, encode
from schemas.envelope import ReplyRoute
from schemas.money import E8
from schemas.topics import TOPICS

INBOX: Place = ("accounts.commands", 0)
JOURNAL: Place = ("accounts.journal", 0)
SNAPSHOTS: Place = ("accounts.snapshots", 0)
REPLIES: Place = ("gateway.replies", 3)
DEPOSIT = DepositFunds(account_id="a" * 32, amount_e8=5 * E8)


class Bench:
    """One partition of accounts on a broker in memory."""

    def __init__(self) -> None:
        self.scheduler = Scheduler(Random(1))
        self.broker = Broker(self.scheduler, {each.name: 16 for each in TOPICS})
        self.process: Process = self.scheduler.process("accounts")
        self.hints: list[int] = []

    def writer(self, **options: int) -> Writer[Any]:
        return Writer(
            AccountsContext(),
            0,
            MemoryLog(self.broker, self.process),
            commit_hint=self._commit_hint,
            **options,
        )

    async def _commit_hint(self, offset: int) -> None:
        self.hints.append(offset)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        task = self.scheduler.spawn(self.process, coroutine, is_joined=True)
        while not task.done:
            self.scheduler.step()
        if task.error is not None:
            raise task.error

    def started(self, **options: int) -> Writer[Any]:
        writer = self.writer(**options)
        self.run(writer.start())
        return writer

    def send(self, command: Message, command_id: str = "c1", **headers: Any) -> None:
        options = {
            "time_ms": self.scheduler.now_ms,
            "expires_at_ms": self.scheduler.now_ms + 60_000,
            "reply_to": ReplyRoute(3, command_id),
            "fingerprint": "same",
        } | headers
        sent = command_headers(command, producer="operators", command_id=command_id, **options)
        self.broker.append(INBOX, [NewRecord(encode(command), sent)])

    def kinds(self, place: Place) -> list[str]:
        return [dict(each.headers)["ce_type"].decode() for each in self.broker.records(place)]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.scheduler.crash(made.process)


def test_a_claim_follows_the_hint_of_the_group(bench: Bench) -> None:  # W1
    bench.started()
    assert bench.hints == [0]
    assert bench.kinds(JOURNAL) == ["journal.writer-claimed.v1", "journal.generation-started.v1"]


def test_a_process_that_lost_its_membership_does_not_claim(bench: Bench) -> None:  # W1
    writer = bench.writer()

    async def refuse(offset: int) -> None:
        raise Fenced(str(offset))

    writer._commit_hint = refuse
    with pytest.raises(Fenced):
        bench.run(writer.start())
    assert bench.broker.records(JOURNAL) == []


def test_a_writer_resumes_after_the_last_decided_offset(bench: Bench) -> None:  # W2
    bench.send(DEPOSIT)
    bench.run(bench.started().step(wait_ms=0))
    bench.send(DEPOSIT, "c2")
    bench.run(bench.started().step(wait_ms=0))
    assert bench.kinds(JOURNAL).count("accounts.funds-deposited.v1") == 2
    assert bench.hints == [0, 1]


def test_an_inbox_that_lost_its_end_halts_the_partition(bench: Bench) -> None:  # W2
    bench.send(DEPOSIT)
    bench.run(bench.started().step(wait_ms=0))
    bench.broker.records(INBOX).clear()
    with pytest.raises(Halted, match="ends at 0"):
        bench.started()


def test_a_command_that_cannot_be_decoded_is_discarded_with_a_copy(bench: Bench) -> None:  # W3
    writer = bench.started()
    bench.broker.append(INBOX, [NewRecord(b"\xff poison", [])])
    for _ in range(2):
        bench.run(writer.step(wait_ms=0))
    assert bench.kinds(JOURNAL)[-1] == "journal.command-discarded.v1"
    (letter,) = bench.broker.records(("accounts.commands.dlq", 0))
    assert letter.value == b"\xff poison"
    assert dict(letter.headers)["dlq-offset"] == b"0"


def test_monstrous_headers_are_discarded_and_do_not_reach_the_journal(bench: Bench) -> None:  # W3
    writer = bench.started()
    monster = [("ce_type", b"x"), ("command-id", b"c" * 100_000), ("x-user-id", None)]
    for _ in range(50):
        bench.broker.append(INBOX, [NewRecord(b"", monster)])
    for _ in range(60):
        bench.run(writer.step(wait_ms=0))
    assert bench.kinds(JOURNAL).count("journal.command-discarded.v1") == 50
    assert len(bench.broker.records(("accounts.commands.dlq", 0))) == 50
    carried = [len(v or b"") for each in bench.broker.records(JOURNAL) for _, v in each.headers]
    assert max(carried) < 300


def test_a_command_too_large_to_follow_up_is_discarded(bench: Bench) -> None:  # W3
    writer = bench.started()
    bench.send(
        PlaceOrder(
            account_id="a", asset="B" * 40_000, side="BUY", order_type="MARKET", quantity_e8=E8
        )
    )
    bench.run(writer.step(wait_ms=0))
    assert bench.kinds(JOURNAL)[-1] == "journal.command-discarded.v1"


def test_headers_that_are_no_text_stay_out_of_the_journal(bench: Bench) -> None:  # W3
    writer = bench.started()
    bench.send(DEPOSIT, traceparent="00-ü")
    bench.run(writer.step(wait_ms=0))
    assert bench.kinds(JOURNAL)[-1] == "journal.command-discarded.v1"
    assert all(v.isascii() for each in bench.broker.records(JOURNAL) for _, v in each.headers)


def test_a_client_cannot_name_the_house_or_a_market(bench: Bench) -> None:  # W3
    writer = bench.started()
    for n, name in enumerate(("house:BTC-USD", "market:BTC-USD")):
        bench.send(DepositFunds(account_id=name, amount_e8=E8), f"c{n}")
    for _ in range(4):
        bench.run(writer.step(wait_ms=0))
    assert bench.kinds(JOURNAL).count("journal.command-discarded.v1") == 2


def test_what_was_decided_before_a_halt_is_journaled(bench: Bench) -> None:  # W8
    bench.scheduler.random.choice = lambda options: options[-1]  # reads give all there is
    writer = bench.started()
    for n in range(3):
        bench.send(DEPOSIT, f"c{n}")
    fact = [("ce_type", b"no.such.v1"), ("command-id", b"f"), ("source", b"markets/0/1")]
    bench.broker.append(INBOX, [NewRecord(b"{}", [*fact, ("source-sequence", b"1")])])
    with pytest.raises(Halted):
        bench.run(writer.step(wait_ms=0))
    assert bench.kinds(JOURNAL).count("accounts.funds-deposited.v1") == 3
    assert len(bench.broker.records(REPLIES)) == 3


def test_an_inbox_with_a_gap_halts_the_partition(bench: Bench) -> None:  # W2
    writer = bench.started()
    for n in range(2):
        bench.send(DEPOSIT, f"c{n}")
    with pytest.raises(Halted, match="gave 1 after -1"):
        writer.partition.decide(bench.broker.records(INBOX)[1])


def test_a_discarded_command_below_the_checkpoint_is_not_sent_again(bench: Bench) -> None:  # S3
    writer = bench.started(round_every_records=1)
    bench.broker.append(INBOX, [NewRecord(b"poison", [])])
    for _ in range(4):
        bench.run(writer.step(wait_ms=0))
    bench.broker.records(SNAPSHOTS)[:] = [
        replace(each, value=each.value.replace(b'"schema_version":1', b'"schema_version":0'))
        for each in bench.broker.records(SNAPSHOTS)
        if each.value is not None
    ]
    bench.started()
    assert len(bench.broker.records(("accounts.commands.dlq", 0))) == 1


def test_a_key_whose_first_try_expired_may_try_again(bench: Bench) -> None:  # C1, C2
    writer = bench.started()
    now_ms = bench.scheduler.now_ms
    bench.send(DEPOSIT, expires_at_ms=now_ms - 1, retain_until_ms=now_ms + 86_400_000)
    bench.send(DEPOSIT, retain_until_ms=now_ms + 86_400_000)
    for _ in range(4):
        bench.run(writer.step(wait_ms=0))
    assert bench.kinds(JOURNAL)[2:] == [
        "journal.command-refused.v1",
        "accounts.funds-deposited.v1",
    ]


def test_one_poll_is_one_batch(bench: Bench) -> None:  # W4
    bench.scheduler.random.choice = lambda options: options[-1]  # reads give all there is
    sizes: list[int] = []
    append = bench.broker.append

    def counted(place: Place, batch: Any) -> int:
        if place == JOURNAL:
            sizes.append(len(batch))
        return append(place, batch)

    writer = bench.started()
    for n in range(10):
        bench.send(DEPOSIT, f"c{n}")
    bench.broker.append = counted  # type: ignore[method-assign]
    bench.run(writer.step(wait_ms=0))
    assert sizes == [10]


def test_an_unexpected_offset_fences_the_writer(bench: Bench) -> None:  # W5
    writer = bench.started()
    bench.broker.append(JOURNAL, [NewRecord(b"{}", [("ce_type", b"x"), ("writer-epoch", b"0")])])
    bench.send(DEPOSIT)
    with pytest.raises(Fenced, match="expected"):
        bench.run(writer.step(wait_ms=0))
    assert bench.broker.records(REPLIES) == []


def test_nothing_is_published_before_its_append_is_checked(bench: Bench) -> None:  # W6
    writer = bench.started()
    bench.send(DEPOSIT)
    bench.broker.faults = Faults(lose_acknowledgement=1.0)
    with pytest.raises(Unavailable):
        bench.run(writer.step(wait_ms=0))
    assert bench.broker.records(REPLIES) == []


def test_a_reply_repeats_the_outcome_to_the_gateway_that_asked(bench: Bench) -> None:  # W6, W7
    writer = bench.started()
    bench.send(DEPOSIT)
    bench.run(writer.step(wait_ms=0))
    bench.run(writer.step(wait_ms=0))
    (reply,) = bench.broker.records(REPLIES)
    journaled = bench.broker.records(JOURNAL)[2]
    headers = dict(reply.headers)
    assert reply.value == journaled.value
    assert headers["command-id"] == b"c1"
    assert headers["entity-version"] == b"1"
    assert headers["journal"] == b"accounts.journal/0/2"


def test_a_journal_record_carries_what_rebuilds_its_cause(bench: Bench) -> None:  # W7
    bench.send(DEPOSIT, retain_until_ms=99, user_id="u")
    bench.run(bench.started().step(wait_ms=0))
    headers = dict(bench.broker.records(JOURNAL)[2].headers)
    assert headers["writer-epoch"] == b"1"
    assert headers["source-offset"] == b"0"
    assert headers["entity-id"] == b"a" * 32
    assert (headers["command-id"], headers["x-user-id"]) == (b"c1", b"u")
    assert (headers["retain-until"], headers["fingerprint"]) == (b"99", b"same")


def test_time_never_goes_back(bench: Bench) -> None:  # T1
    partition = Partition(AccountsContext(), 0, bench.broker.partitions.__getitem__)
    partition.claim()
    for offset, timestamp_ms in enumerate((1_000, 400)):
        bench.send(DEPOSIT, f"c{offset}")
        partition.decide(replace(bench.broker.records(INBOX)[offset], timestamp_ms=timestamp_ms))
    assert partition.time_ms == 1_000


def test_the_same_command_again_points_at_its_first_outcome(bench: Bench) -> None:  # C1
    writer = bench.started()
    bench.send(DEPOSIT)
    bench.send(DEPOSIT)
    for _ in range(4):
        bench.run(writer.step(wait_ms=0))
    assert bench.kinds(JOURNAL)[2:] == [
        "accounts.funds-deposited.v1",
        "journal.command-duplicate.v1",
    ]
    assert b'"first_offset":2' in (bench.broker.records(JOURNAL)[3].value or b"")


def test_a_command_id_with_another_body_is_refused(bench: Bench) -> None:  # C1
    writer = bench.started()
    bench.send(DEPOSIT)
    bench.send(DEPOSIT, fingerprint="other")
    for _ in range(4):
        bench.run(writer.step(wait_ms=0))
    assert b"idempotency-key-reused" in (bench.broker.records(JOURNAL)[3].value or b"")


def test_a_command_appended_after_its_time_is_refused(bench: Bench) -> None:  # C2
    bench.send(DEPOSIT, expires_at_ms=bench.scheduler.now_ms - 1)
    bench.run(bench.started().step(wait_ms=0))
    assert b"command-expired" in (bench.broker.records(JOURNAL)[2].value or b"")


def test_a_broker_clock_that_goes_back_decides_no_command_again(bench: Bench) -> None:  # C1, C2
    partition = Partition(AccountsContext(), 0, bench.broker.partitions.__getitem__)
    partition.claim()
    written: list[NewRecord] = []
    sent = (("a", 1_000, 1_500), ("b", 2_000, 3_000), ("a", 1_200, 1_500))
    for offset, (command_id, timestamp_ms, expires_at_ms) in enumerate(sent):
        bench.send(DEPOSIT, command_id, expires_at_ms=expires_at_ms)
        record = replace(bench.broker.records(INBOX)[offset], timestamp_ms=timestamp_ms)
        written += partition.decide(record)
        partition.remembered.forget_before(partition.time_ms)
    assert [dict(each.headers)["ce_type"] for each in written] == [
        *(b"accounts.funds-deposited.v1", b"accounts.funds-deposited.v1"),
        b"journal.command-refused.v1",
    ]


def test_ids_derive_from_the_place_in_the_inbox(bench: Bench) -> None:  # C2
    writer = bench.started()
    for n in range(2):
        bench.send(DEPOSIT, f"c{n}")
    for _ in range(4):
        bench.run(writer.step(wait_ms=0))
    bodies = [each.value for each in bench.broker.records(JOURNAL)[2:4]]
    assert bodies[0] != bodies[1]
    again = Partition(AccountsContext(), 0, bench.broker.partitions.__getitem__)
    again.claim()
    entries = [again.decide(each)[0] for each in bench.broker.records(INBOX)]
    assert [each.value for each in entries] == bodies


def test_a_hole_in_the_facts_of_a_source_halts_the_partition(bench: Bench) -> None:  # O1
    fact = [
        ("ce_type", b"accounts.price-collar.v1"),
        ("command-id", b"f"),
        ("source", b"markets/0/1"),
        ("source-sequence", b"2"),
    ]
    body = b'{"symbol":"BTC-USD","last_e8":"1","low_e8":"1","high_e8":"1"}'
    bench.broker.append(INBOX, [NewRecord(body, fact)])
    with pytest.raises(Halted, match="jumps from 0 to 2"):
        bench.run(bench.started().step(wait_ms=0))


def test_a_fact_that_cannot_be_decoded_halts_the_partition(bench: Bench) -> None:  # O3
    fact = [("ce_type", b"no.such.v1"), ("command-id", b"f"), ("source", b"markets/0/1")]
    bench.broker.append(INBOX, [NewRecord(b"{}", [*fact, ("source-sequence", b"1")])])
    with pytest.raises(Halted, match="cannot be read"):
        bench.run(bench.started().step(wait_ms=0))


def test_a_checkpoint_waits_for_its_outbox(bench: Bench) -> None:  # S3
    writer = bench.started(round_every_records=1)
    bench.send(DEPOSIT)
    bench.run(writer.step(wait_ms=0))
    kinds = bench.kinds(JOURNAL)
    assert kinds[-1] == "journal.checkpoint.v1"
    assert len(bench.broker.records(REPLIES)) == 1


def test_a_restart_reads_snapshots_instead_of_history(bench: Bench) -> None:  # S4
    writer = bench.started(round_every_records=1)
    for n in range(5):
        bench.send(DEPOSIT, f"c{n}")
    for _ in range(12):
        bench.run(writer.step(wait_ms=0))
    covered = bench.kinds(JOURNAL).index("accounts.funds-deposited.v1")
    broken = bench.broker.records(JOURNAL)[covered]
    bench.broker.records(JOURNAL)[covered] = replace(broken, value=b"gone")
    again = bench.started()
    account = again.partition.state.accounts["a" * 32]
    assert account.holdings["USD"].free_e8 == 25 * E8


class Overtaken(MemoryLog):
    """While it looks where the snapshots end, a newer epoch's records replace what is there."""

    hook: Any = None

    async def end_offset(self, place: Place) -> int:
        end = await super().end_offset(place)
        if place == SNAPSHOTS and self.hook is not None:
            hook, self.hook = self.hook, None
            hook()
        return end

    async def read(self, place: Place, offset: int, *, wait_ms: int = 0) -> Sequence[Record]:
        return (await super().read(place, offset, wait_ms=wait_ms))[:1]


def test_snapshots_that_are_replaced_while_they_are_read_are_found(bench: Bench) -> None:  # S4
    writer = bench.started(round_every_records=1)
    bench.send(DEPOSIT)
    bench.run(writer.step(wait_ms=0))
    (stored,) = (each for each in bench.broker.records(SNAPSHOTS) if each.key == b"a" * 32 + b"@1")

    def replaced() -> None:
        newer = NewRecord(stored.value, [*stored.headers], b"a" * 32 + b"@2")
        bench.broker.append(SNAPSHOTS, [newer, NewRecord(None, [], stored.key)])
        bench.broker.compact(SNAPSHOTS)

    again = bench.writer()
    again._log = Overtaken(bench.broker, bench.process)
    again._log.hook = replaced
    bench.run(again.start())
    assert again.dropped_snapshots is None
    assert again.partition.state.accounts["a" * 32].holdings["USD"].free_e8 == 5 * E8


def test_writers_that_do_not_live_long_leave_snapshots_too(bench: Bench) -> None:  # S2
    for n in range(4):
        writer = bench.started(round_every_records=6)
        bench.send(DEPOSIT, f"c{n}")
        bench.run(writer.step(wait_ms=0))
    assert bench.kinds(JOURNAL).count("journal.checkpoint.v1") == 1


def test_a_writer_that_decided_nothing_leaves_what_it_replayed_behind(bench: Bench) -> None:
    writer = bench.started()
    bench.send(DEPOSIT)
    bench.run(writer.step(wait_ms=0))
    bench.run(bench.started().finish())
    assert bench.kinds(JOURNAL)[-1] == "journal.checkpoint.v1"


def test_snapshots_that_miss_a_record_are_dropped(bench: Bench) -> None:  # S4
    writer = bench.started(round_every_records=1)
    for n in range(5):
        bench.send(DEPOSIT, f"c{n}")
    for _ in range(12):
        bench.run(writer.step(wait_ms=0))
    snapshots = bench.broker.records(SNAPSHOTS)
    for index, record in enumerate(snapshots):
        if (record.key or b"").startswith(b"a"):
            snapshots[index] = replace(record, key=b"\0compacted")
    again = bench.started()
    assert again.partition.state.accounts["a" * 32].holdings["USD"].free_e8 == 25 * E8


def test_a_zombie_cannot_overwrite_a_newer_writers_snapshots(bench: Bench) -> None:  # S1
    zombie = bench.started(round_every_records=1)
    bench.send(DEPOSIT)
    bench.run(zombie.step(wait_ms=0))
    late = [each for each in bench.broker.records(SNAPSHOTS) if each.key == b"a" * 32 + b"@1"]
    newer = bench.started(round_every_records=1)
    bench.send(DEPOSIT, "c2")
    for _ in range(3):
        bench.run(newer.step(wait_ms=0))
    bench.broker.append(
        SNAPSHOTS, [NewRecord(each.value, [*each.headers], each.key) for each in late]
    )
    bench.broker.compact(SNAPSHOTS)
    again = bench.started()
    assert again.dropped_snapshots is None
    assert again.partition.state.accounts["a" * 32].holdings["USD"].free_e8 == 10 * E8


def test_a_large_entity_is_stored_in_chunks() -> None:  # S2
    loaded = Loaded()
    whole = bytes(range(256)) * (CHUNK_BYTES_MAX // 100)
    count = -(-len(whole) // CHUNK_BYTES_MAX)
    headers = [("snapshot-version", b"7"), ("snapshot-chunks", b"%d" % count)]
    for index in reversed(range(count)):
        part = whole[index * CHUNK_BYTES_MAX : (index + 1) * CHUNK_BYTES_MAX]
        assert list(loaded.entities()) == []
        loaded.add(Record(index, 0, f"BTC-USD@3#40#{index}".encode(), part, headers))
    assert list(loaded.entities()) == [("BTC-USD", (7, whole))]


def test_the_state_hash_is_that_of_the_replayed_journal(bench: Bench) -> None:  # S2
    writer = bench.started(round_every_records=1)
    for n in range(5):
        bench.send(DEPOSIT, f"c{n}")
        bench.send(_order(), f"o{n}")
    for _ in range(20):
        bench.run(writer.step(wait_ms=0))
    last = [r for r in bench.broker.records(JOURNAL) if _kind(r) == "journal.checkpoint.v1"][-1]
    again = Partition(AccountsContext(), 0, bench.broker.partitions.__getitem__)
    for record in bench.broker.records(JOURNAL)[: last.offset]:
        again.replay(record)
    again.begin_round()
    again.snapshots.take(1 << 30)
    checkpoint, _ = again.snapshots.finish()
    assert checkpoint.state_hash.encode() in (last.value or b"")


def test_remembered_ids_leave_in_slices_when_their_time_ran_out() -> None:  # C1
    remembered = Remembered()
    for n in range(SLICE_SIZE + 1):
        remembered.add(f"c{n}", Outcome(b"f", n, 1_000 + n), keyed=True)
    stored = dict(remembered.changed_slices())
    assert sorted(stored) == ["k0", "k1"]
    again = Remembered()
    for name, each in stored.items():
        again.load(name, each)
    assert again.get("c1", 0) == Outcome(b"f", 1, 1_001)
    again.forget_before(1_000 + SLICE_SIZE)
    assert len(again) == 1
    assert again.dropped_slices == ["k0"]
    assert again.get(f"c{SLICE_SIZE}", 1_001 + SLICE_SIZE) is None


def _order() -> PlaceOrder:
    return PlaceOrder(
        account_id="a" * 32, asset="BTC", side="BUY", order_type="MARKET", quantity_e8=E8
    )


def _kind(record: Record) -> str:
    return dict(record.headers)["ce_type"].decode()
