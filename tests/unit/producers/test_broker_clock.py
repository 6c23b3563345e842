"""The broker's clock is learnt from quick acknowledgements alone."""

import time

from producers.commands import BrokerClock


def ahead_ms(clock: BrokerClock) -> float:
    return clock.now_ms() - time.time() * 1_000


def test_an_acknowledgement_tells_how_far_the_broker_is_ahead() -> None:
    clock = BrokerClock()
    clock.observe(60_005, sent_ms=0, acknowledged_ms=10)
    assert abs(ahead_ms(clock) - 60_000) < 1_000


def test_an_acknowledgement_that_waited_long_tells_nothing() -> None:
    clock = BrokerClock()
    clock.observe(20_000, sent_ms=0, acknowledged_ms=20_000)
    assert abs(ahead_ms(clock)) < 1_000
    clock.observe(60_005, sent_ms=0, acknowledged_ms=10)
    clock.observe(180_000, sent_ms=100_000, acknowledged_ms=180_000)
    assert abs(ahead_ms(clock) - 60_000) < 1_000
