"""A ratio says nothing when the work behind it is refused: the workload has to be decided."""

from collections import Counter

from benchmarks.load import order_request
from benchmarks.measure import Ratio, percentile
from benchmarks.workload import accounts_inbox
from consumers.accounts.context import AccountsContext
from runtime.journal.partition import Partition
from runtime.log import NewRecord, Record
from schemas.envelope import CE_TYPE, header_map

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
