"""A ratio says nothing when the work behind it is refused: the workload has to be decided."""

from collections import Counter
from collections.abc import Sequence

from benchmarks import filling, matching
from benchmarks.load import order_request
from benchmarks.measure import Ratio, percentile
from benchmarks.workload import account_ids, accounts_inbox
from consumers.accounts.context import AccountsContext
from consumers.markets.context import MarketsContext
from runtime.journal.partition import Partition
from runtime.log import NewRecord, Record
from schemas.codec import Message
from schemas.envelope import CE_TYPE, Cause, header_map
from schemas.markets import OrderEnded, OrderRested, TradeExecuted

_NOW_MS = 1_700_000_000_000
_COUNT = 901


def _decided(count: int) -> tuple[list[NewRecord], int]:
    partition = Partition(AccountsContext(), 0, lambda _topic: 1)
    partition.claim()
    entries: list[NewRecord] = []
    for offset, each in enumerate(accounts_inbox(count, accounts=50, now_ms=_NOW_MS)):
        entries += partition.decide(Record(offset, _NOW_MS, each.key, each.value, each.headers))
    published = sum(
        len(batch) for batches in partition.outbound.take().values() for batch in batches
    )
    return entries, published


def test_each_message_of_the_workload_leads_to_its_event_and_none_is_refused() -> None:
    entries, _ = _decided(_COUNT)
    types = Counter(header_map(each.headers)[CE_TYPE].decode() for each in entries)
    assert types == {
        "accounts.terms-set.v1": 1,
        "accounts.collar-set.v1": 2,
        "accounts.funds-deposited.v1": 100,
        "accounts.order-accepted.v1": 200,
        "accounts.cancel-requested.v1": 100,
        "accounts.house-traded.v1": 100,
        "accounts.order-traded.v1": 100,
        "accounts.order-filled.v1": 100,
        "accounts.order-canceled.v1": 100,
        "accounts.funds-withdrawn.v1": 98,
    }


def test_the_workload_is_answered_and_forwarded() -> None:
    _, published = _decided(_COUNT)
    forwarded = 100 + 100 + 100
    answered = 100 + 100 + 100 + 100 + 98
    assert published == forwarded + answered


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(each) for each in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [50.0, 99.0, 100.0]
    assert percentile([7.0], 0.999) == 7.0


def test_a_ratio_is_judged_by_its_median() -> None:
    assert Ratio.of("worker", [0.2, 0.31, 0.5], least=0.3).is_kept
    assert not Ratio.of("worker", [0.2, 0.29, 0.5], least=0.3).is_kept


def test_a_request_says_how_long_its_body_is() -> None:
    head, _, body = order_request("t", "XRP", "5.000", "buy").partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head.splitlines()


def test_a_ratio_may_be_too_large() -> None:
    assert Ratio.of("latency", [3.0, 4.0, 9.0], most=4.0).is_kept
    assert not Ratio.of("latency", [3.0, 4.1, 9.0], most=4.0).is_kept
    assert Ratio.of("latency", [4.0], least=1.0, most=4.0).asked == "at least 1 and at most 4"


def test_the_flow_of_one_book_is_seven_tenths_new_two_cancels_and_one_match() -> None:
    context = MarketsContext()
    state = context.empty()
    matching.run(context, state, matching.opening())
    decided: Counter[str] = Counter()
    for command in matching.workload()[:20_000]:
        cause = Cause("markets.commands", 0, sum(decided.values()), 1_000, "c")
        events = context.decide(state, command, cause)
        for event in events:
            context.evolve(state, event, cause)
        decided[_outcome(events)] += 1
    assert [round(decided[each] / 20_000, 1) for each in ("rested", "canceled", "traded")] == [
        0.7,
        0.2,
        0.1,
    ]


def _outcome(events: Sequence[Message]) -> str:
    if any(isinstance(each, TradeExecuted) for each in events):
        return "traded"
    return "rested" if isinstance(events[0], OrderRested) else _end(events[0])


def _end(event: Message) -> str:
    return event.end.lower() if isinstance(event, OrderEnded) else event.TYPE


def test_a_partition_is_filled_with_accounts_that_hold_open_orders() -> None:
    partition = Partition(AccountsContext(), 0, lambda _topic: 1)
    filling.fill(partition, filling.trading(account_ids(20), orders=10))
    assert len(partition.state.accounts) == 20
    assert sum(len(each.orders) for each in partition.state.accounts.values()) == 10
    partition.snapshots.check_complete()
