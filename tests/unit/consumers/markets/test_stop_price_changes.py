"""A stop that waits gets another stop price: where it comes, and when it is too late."""

from typing import Any

import pytest

from schemas.accounts import EndReason, Reason, Side, TimeInForce
from schemas.codec import Message
from schemas.markets import (
    HaltMarket,
    OrderEnded,
    OrderReplaced,
    OrderRested,
    ResumeMarket,
    StopArmed,
    StopsTriggered,
)
from schemas.money import E8

Market = Any
BUY, SELL = Side.BUY, Side.SELL


@pytest.fixture
def quiet(market: Market) -> Market:
    """The market at 100, where the house offers nothing."""
    last(market, 100)
    return market


def last(market: Market, price: float) -> list[Message]:
    return market.quote(50, 200, bid_size=0, ask_size=0, last=price)


def stop(market: Market, order_id: str, side: Side, at: float, **more: Any) -> list[Message]:
    """A stop-limit order of one BTC, its limit far away unless told otherwise."""
    limit = more.pop("limit", 60 if side is BUY else 190)
    return market.order(order_id, side, 1, limit, stop_price_e8=round(at * E8), **more)


def move(market: Market, order_id: str, at: float, **more: Any) -> list[Message]:
    limit = more.pop("limit", 60)
    more |= {"stop_price_e8": round(at * E8), "protection_price_e8": round((limit or 1) * E8)}
    return market.replace(order_id, more.pop("quantity", 1), limit, **more)


def triggered(events: list[Message]) -> list[str]:
    return [
        each for event in events if isinstance(event, StopsTriggered) for each in event.order_ids
    ]


def test_it_waits_at_its_new_price_behind_those_that_were_there(quiet: Market) -> None:
    stop(quiet, "a", BUY, 105)
    stop(quiet, "b", BUY, 110)
    replaced, armed = move(quiet, "a", 110, quantity=2, limit=61)
    assert isinstance(replaced, OrderReplaced)
    assert (replaced.keeps_priority, replaced.stop_price_e8) == (False, 110 * E8)
    assert isinstance(armed, StopArmed)
    assert armed.number == 3
    assert triggered(last(quiet, 105)) == []
    events = last(quiet, 110)
    assert triggered(events) == ["b", "a"]
    rested = quiet.go_on(events)[-1]
    assert isinstance(rested, OrderRested)
    assert (rested.order_id, rested.price_e8, rested.leaves_e8) == ("a", 61 * E8, 2 * E8)


@pytest.mark.parametrize(("side", "at", "to"), [(BUY, 105, 100), (SELL, 95, 100)])
def test_a_price_that_is_reached_already_triggers_it_now(
    quiet: Market, side: Side, at: float, to: float
) -> None:
    limit = 60 if side is BUY else 190
    stop(quiet, "s", side, at)
    events = move(quiet, "s", to, limit=limit)
    assert triggered(events) == ["s"]
    (rested,) = quiet.go_on(events)
    assert (rested.order_id, rested.price_e8) == ("s", limit * E8)
    assert not quiet.state.books["BTC-USD"].stops.orders


def test_a_stop_at_market_takes_the_protection_price_of_its_new_stop_price(quiet: Market) -> None:
    quiet.order("s", BUY, 1, protection=106, stop_price_e8=105 * E8)
    quiet.order("maker", SELL, 1, 108)
    change = {"stop_price_e8": 107 * E8, "protection_price_e8": 108 * E8}
    quiet.replace("s", 1, None, **change)
    ends = [each for each in quiet.go_on(last(quiet, 107)) if isinstance(each, OrderEnded)]
    assert [(each.order_id, each.end) for each in ends] == [
        ("maker", EndReason.FILLED),
        ("s", EndReason.FILLED),
    ]


def test_one_that_was_triggered_keeps_its_terms(quiet: Market) -> None:
    stop(quiet, "s", BUY, 105)
    events = last(quiet, 105)
    (refused,) = move(quiet, "s", 120)
    assert refused.reason is Reason.STOP_TRIGGERED
    quiet.go_on(events)
    (refused,) = move(quiet, "s", 120)
    assert refused.reason is Reason.STOP_TRIGGERED
    assert isinstance(quiet.replace("s", 1, 61)[0], OrderReplaced)


def test_one_that_waits_again_after_a_halt_can_change(quiet: Market) -> None:
    stop(quiet, "s", BUY, 105)
    events = last(quiet, 105)
    quiet.handle(HaltMarket(symbol="BTC-USD"))
    quiet.go_on(events)
    assert move(quiet, "s", 120)[0].reason is Reason.MARKET_HALTED
    last(quiet, 100)
    quiet.handle(ResumeMarket(symbol="BTC-USD"))
    assert isinstance(move(quiet, "s", 120)[0], OrderReplaced)
    assert triggered(last(quiet, 119)) == []


def test_it_still_ends_on_time_and_survives_snapshot_and_replay(quiet: Market) -> None:
    over_ms = quiet.now_ms + 1_000
    stop(quiet, "s", BUY, 105, tif=TimeInForce.GTD, expires_at_ms=over_ms)
    move(quiet, "s", 110)
    assert quiet.replayed() == quiet.dumped() == quiet.restored().dumped()
    quiet.now_ms = over_ms
    (end,) = quiet.tick()
    assert (end.order_id, end.end) == ("s", EndReason.EXPIRED)
