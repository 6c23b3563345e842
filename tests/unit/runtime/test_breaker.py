"""A breaker opens when calls mostly fail, tells callers at once, and lets one probe decide."""

import asyncio

import pytest

from runtime import metrics
from runtime.breaker import Breaker, BreakerOpen
from runtime.errors import Unavailable


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("something", calls_min=4, window_s=10, open_s=2, clock_s=clock)


def call(breaker: Breaker, error: BaseException | None = None) -> None:
    try:
        with breaker.call():
            if error is not None:
                raise error
    except BreakerOpen:
        raise
    except (Unavailable, ValueError, asyncio.CancelledError):
        pass


def fail(breaker: Breaker, times: int = 4) -> None:
    for _ in range(times):
        call(breaker, Unavailable("down"))


def exported() -> float:
    return metrics.BREAKER_STATE.labels("something")._value.get()


def test_it_opens_when_half_of_enough_calls_failed(breaker: Breaker) -> None:
    fail(breaker, 3)
    assert breaker.state == "closed"
    fail(breaker, 1)
    assert (breaker.state, exported()) == ("open", 2)


def test_it_stays_closed_while_most_calls_are_answered(breaker: Breaker) -> None:
    for _ in range(20):
        call(breaker)
        call(breaker)
        call(breaker, Unavailable("down"))
    assert (breaker.state, exported()) == ("closed", 0)


def test_old_failures_are_forgotten(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now_s += 11
    fail(breaker, 3)
    assert breaker.state == "closed"


def test_errors_that_are_answers_and_canceled_calls_do_not_open_it(breaker: Breaker) -> None:
    for _ in range(10):
        call(breaker, ValueError("refused"))
        call(breaker, asyncio.CancelledError())
    assert breaker.state == "closed"


def test_open_it_refuses_at_once_and_says_when_to_come_back(breaker: Breaker, clock: Clock) -> None:
    fail(breaker)
    clock.now_s += 0.5
    with pytest.raises(BreakerOpen) as refused:
        call(breaker)
    assert refused.value.retry_after_s == pytest.approx(1.5)


def test_one_probe_goes_through_and_closes_it(breaker: Breaker, clock: Clock) -> None:
    fail(breaker)
    clock.now_s += 2
    with breaker.call():
        assert (breaker.state, exported()) == ("half-open", 1)
        with pytest.raises(BreakerOpen):
            call(breaker)
    assert breaker.state == "closed"
    fail(breaker, 3)
    assert breaker.state == "closed"


@pytest.mark.parametrize("error", [Unavailable("still down"), asyncio.CancelledError()])
def test_a_probe_that_is_not_answered_opens_it_again(
    breaker: Breaker, clock: Clock, error: BaseException
) -> None:
    fail(breaker)
    clock.now_s += 2
    call(breaker, error)
    assert breaker.state == "open"
    with pytest.raises(BreakerOpen):
        call(breaker)
    clock.now_s += 2
    call(breaker)
    assert breaker.state == "closed"


def test_a_call_from_before_does_not_judge_the_probe(breaker: Breaker, clock: Clock) -> None:
    late = breaker.call()
    fail(breaker)
    clock.now_s += 2
    with breaker.call():
        late.__exit__(Unavailable, Unavailable("down"), None)
        assert breaker.state == "half-open"
    assert breaker.state == "closed"
