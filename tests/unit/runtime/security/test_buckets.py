"""Token buckets: so many at once, so many a second, the same for all processes of a machine."""

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.security import buckets
from runtime.security.buckets import Buckets, Rate

SALT = b"s" * 32
RATE = Rate(per_s=50, burst=300)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_burst_goes_through_and_then_as_much_as_the_rate() -> None:
    clock = Clock()
    some = Buckets.private(SALT, clock)
    assert [some.take("a", RATE).left for _ in range(300)] == list(range(299, -1, -1))
    refused = some.take("a", RATE)
    assert (refused.is_allowed, refused.left) == (False, 0)
    assert refused.wait_s == pytest.approx(0.02)
    assert refused.full_s == pytest.approx(6)
    clock.now_s += 1
    assert sum(some.take("a", RATE).is_allowed for _ in range(100)) == 50


def test_a_bucket_is_full_again_after_a_while() -> None:
    clock = Clock()
    some = Buckets.private(SALT, clock)
    for _ in range(310):
        some.take("a", RATE)
    clock.now_s += 6
    assert some.take("a", RATE).left == 299


def test_names_have_buckets_of_their_own() -> None:
    some = Buckets.private(SALT, Clock())
    for _ in range(301):
        some.take("a", RATE)
    assert not some.take("a", RATE).is_allowed
    assert some.take("b", RATE).left == 299


@given(st.lists(st.floats(0, 1), max_size=400))
def test_no_second_ever_has_more_than_the_burst_and_the_rate(pauses_s: list[float]) -> None:
    clock = Clock()
    some = Buckets.private(SALT, clock)
    rate = Rate(per_s=10, burst=5)
    allowed: list[float] = []
    for pause_s in pauses_s:
        clock.now_s += pause_s / 10
        if some.take("a", rate).is_allowed:
            allowed.append(clock.now_s)
    for n, start_s in enumerate(allowed):
        within = [each for each in allowed[n:] if each < start_s + 1]
        assert len(within) <= rate.burst + rate.per_s + 1


def test_what_a_reboot_left_counts_for_nothing(tmp_path: Path) -> None:
    late = Buckets.shared(tmp_path / "rates", SALT)
    for _ in range(301):
        late.take("a", RATE)
    clock = Clock()
    clock.now_s = 1.0
    early = Buckets.shared(tmp_path / "rates", SALT)
    early._clock_s = clock  # type: ignore[misc]
    assert early.take("a", RATE).left == 299


def test_more_names_than_places_cost_only_the_fullest_buckets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buckets, "_SETS", 1)
    clock = Clock()
    some = Buckets.private(SALT, clock)
    for _ in range(301):
        some.take("victim", RATE)
    for each in range(1_000):
        clock.now_s += 1e-6
        some.take(f"passer-by {each}", RATE)
    assert not some.take("victim", RATE).is_allowed


def _spend(path: Path, hits: int) -> None:
    some = Buckets.shared(path, SALT)
    for _ in range(hits):
        some.take("a", Rate(per_s=0.001, burst=300))


def test_processes_count_together(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rates"
    spender = multiprocessing.get_context("fork").Process(target=_spend, args=(path, 100))
    spender.start()
    spender.join(20)
    assert Buckets.shared(path, SALT).take("a", Rate(per_s=0.001, burst=300)).left == 199
