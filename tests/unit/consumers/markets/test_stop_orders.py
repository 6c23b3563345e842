"""When a stop is triggered, in which order, and what may happen to it before."""

from typing import Any

import pytest

from consumers.markets.matching import FILLS_MAX
from consumers.markets.triggering import TRIGGERS_MAX
from runtime.errors import Halted
from schemas.accounts import EndReason, Reason, Side, TimeInForce
from schemas.codec import Message
from schemas.markets import (
    ActivateStop,
    CancelRefused,
    HaltMarket,
    OrderEnded,
    OrderReplaced,
    OrderRested,
    ReplaceRefused,
    ReplaceRestingOrder,
    ResumeMarket,
    StopArmed,
    StopsTriggered,
    TradeExecuted,
    TriggerStops,
)
from schemas.money import E8

Market = Any
BUY, SELL = Side.BUY, Side.SELL


def stop(market: Market, order_id: str, side: Side, at: float, **more: Any) -> list[Message]:
    """A stop order of one BTC at the market price, or with a `limit`."""
    limit = more.pop("limit", None)
    if limit is None:
        more.setdefault("protection", at * (1.01 if side is BUY else 0.99))
    quantity = more.pop("quantity", 1)
    return market.order(order_id, side, quantity, limit, stop_price_e8=round(at * E8), **more)


def triggered(events: list[Message]) -> list[str]:
    """The stops that a decision triggered."""
    return [
        each for event in events if isinstance(event, StopsTriggered) for each in event.order_ids
    ]


def ended(events: list[Message]) -> list[tuple[str, EndReason, Reason | None]]:
    return [(e.order_id, e.end, e.reason) for e in events if isinstance(e, OrderEnded)]


def asks(market: Market, *prices: float, size: float = 1) -> None:
    """Orders of other accounts to sell, one at each price."""
    for price in prices:
        market.order(f"ask-{price}", SELL, size, price)


@pytest.fixture
def thin(empty: Market) -> Market:
    """BTC-USD is open and its last price is 100; the house offers nothing."""
    empty.open()
    empty.quote(90, 110, bid_size=0, ask_size=0, last=100)
    return empty


def last(market: Market, price: float) -> list[Message]:
    """A feed says that the last price is this."""
    return market.quote(price / 2, price * 2, bid_size=0, ask_size=0, last=price)


@pytest.mark.parametrize(("side", "at"), [(BUY, 105), (SELL, 95)])
def test_a_stop_waits_unseen_until_its_price(thin: Market, side: Side, at: float) -> None:
    (armed,) = stop(thin, "s", side, at, limit=at)
    assert isinstance(armed, StopArmed)
    assert thin.state.books["BTC-USD"].orders == {}
    other = SELL if side is BUY else BUY
    (rested,) = thin.order("o", other, 1, at)
    assert isinstance(rested, OrderRested)


@pytest.mark.parametrize(("side", "near", "at"), [(BUY, 104.99, 105), (SELL, 95.01, 95)])
def test_the_last_price_of_a_feed_triggers_at_the_stop_price_and_not_before_it(
    thin: Market, side: Side, near: float, at: float
) -> None:
    stop(thin, "s", side, at, limit=at)
    assert triggered(last(thin, near)) == []
    events = last(thin, at)
    assert triggered(events) == ["s"]
    assert thin.to_itself(events) == [ActivateStop(symbol="BTC-USD", order_id="s")]
    (rested,) = thin.go_on(events)
    assert isinstance(rested, OrderRested)
    assert rested.order_id == "s"
    assert thin.state.books["BTC-USD"].stops.orders == {}


def test_a_trade_triggers_at_its_price(thin: Market) -> None:
    stop(thin, "s", BUY, 105)
    asks(thin, 104, 105, 106)
    assert triggered(thin.order("a", BUY, 1, 104)) == []
    events = thin.order("b", BUY, 1, 105)
    assert triggered(events) == ["s"]
    (trade, *ends) = thin.go_on(events)
    assert isinstance(trade, TradeExecuted)
    assert (trade.taker.order_id, trade.price_e8) == ("s", 106 * E8)
    assert ("s", EndReason.FILLED, None) in ended(ends)


def test_a_trade_with_the_house_triggers_too(market: Market) -> None:
    stop(market, "s", BUY, 101, limit=100)
    assert triggered(market.order("o", BUY, 1, 101)) == ["s"]


def test_a_crossing_by_a_quote_triggers_at_the_trades_price(thin: Market) -> None:
    stop(thin, "s", SELL, 97, limit=97)
    thin.order("o", BUY, 1, 96)
    assert triggered(thin.quote(94, 95, last=99)) == ["s"]


def test_crossings_on_a_tick_trigger(thin: Market) -> None:
    for n in range(FILLS_MAX):
        thin.order(f"o{n}", BUY, 0.001, 97)
    thin.order("deepest", BUY, 0.001, 96)
    stop(thin, "s", SELL, 96.5, limit=1000)
    assert triggered(thin.quote(94, 95, ask_size=10, last=99)) == []
    assert triggered(thin.tick()) == ["s"]


def test_crossings_of_a_market_that_resumes_trigger(thin: Market) -> None:
    thin.order("o", BUY, 1, 96)
    stop(thin, "s", SELL, 96.5, limit=1000)
    thin.handle(HaltMarket(symbol="BTC-USD"))
    thin.quote(94, 95, last=99)
    assert triggered(thin.handle(ResumeMarket(symbol="BTC-USD"))) == ["s"]


def test_a_replaced_order_that_trades_triggers(thin: Market) -> None:
    asks(thin, 103)
    thin.order("o", BUY, 1, 99)
    stop(thin, "s", BUY, 103, limit=50)
    assert triggered(thin.replace("o", 1, 103)) == ["s"]


def test_every_price_of_a_sweep_counts_not_only_its_last(thin: Market) -> None:
    stop(thin, "low", SELL, 98, limit=90)
    stop(thin, "high", BUY, 103, limit=120)
    asks(thin, 98, 103)
    assert triggered(thin.order("o", BUY, 2, 103)) == ["high", "low"]


@pytest.mark.parametrize(("side", "at"), [(BUY, 100), (BUY, 99), (SELL, 100), (SELL, 101)])
def test_a_stop_that_is_reached_on_arrival_is_triggered_at_once(
    market: Market, side: Side, at: float
) -> None:
    trade, end = stop(market, "s", side, at, protection=at * (1.1 if side is BUY else 0.9))
    assert isinstance(trade, TradeExecuted)
    assert ended([end]) == [("s", EndReason.FILLED, None)]


def test_the_later_of_trade_and_feed_is_the_last_price(thin: Market) -> None:
    asks(thin, 103)
    thin.order("o", BUY, 1, 103)
    (arrived,) = stop(thin, "s1", BUY, 102, limit=50)
    assert isinstance(arrived, OrderRested)
    last(thin, 101)
    (waits,) = stop(thin, "s2", BUY, 102, limit=50)
    assert isinstance(waits, StopArmed)


def test_a_market_without_any_price_lets_stops_wait(empty: Market) -> None:
    empty.open()
    (armed,) = stop(empty, "s", BUY, 1, limit=1)
    assert isinstance(armed, StopArmed)


def test_buys_are_triggered_by_rising_stop_price_then_sells_by_falling(thin: Market) -> None:
    for order_id, side, at in (
        ("s97", SELL, 97),
        ("b104", BUY, 104),
        ("b103", BUY, 103),
        ("s98", SELL, 98),
        ("b103-later", BUY, 103),
        ("s97-later", SELL, 97),
    ):
        stop(thin, order_id, side, at, limit=1 if side is BUY else 1000)
    asks(thin, 97, 104)
    events = thin.order("o", BUY, 2, 104)
    expected = ["b103", "b103-later", "b104", "s98", "s97", "s97-later"]
    assert triggered(events) == expected
    rested = [each.order_id for each in thin.go_on(events) if isinstance(each, OrderRested)]
    assert rested == expected


def test_one_decision_triggers_so_many_and_tells_itself_to_go_on(thin: Market) -> None:
    ids = [f"s{n:03}" for n in range(2 * TRIGGERS_MAX + 5)]
    for order_id in ids:
        stop(thin, order_id, BUY, 105, limit=50)
    events = last(thin, 105)
    assert triggered(events) == ids[:TRIGGERS_MAX]
    told = thin.to_itself(events)
    assert len(told) == TRIGGERS_MAX + 1
    assert isinstance(told[-1], TriggerStops)
    last(thin, 100)
    stop(thin, "late", BUY, 105, limit=50)
    for each in told:
        events = thin.handle(each)
    rest = thin.go_on(events)
    assert triggered(events) == ids[TRIGGERS_MAX : 2 * TRIGGERS_MAX]
    assert triggered(rest) == ids[2 * TRIGGERS_MAX :]
    assert list(thin.state.books["BTC-USD"].stops.orders) == ["late"]


def test_exactly_as_many_as_fit_leave_nothing_to_go_on_with(thin: Market) -> None:
    for n in range(TRIGGERS_MAX):
        stop(thin, f"s{n}", BUY, 105, limit=50)
    events = last(thin, 105)
    assert events[-1].next is None


def test_a_triggered_stop_may_trigger_others(thin: Market) -> None:
    asks(thin, 104, 106, 108)
    stop(thin, "first", BUY, 104, protection=107)
    stop(thin, "second", BUY, 106, protection=109)
    after = thin.go_on(thin.order("o", BUY, 1, 104))
    trades = [each.taker.order_id for each in after if isinstance(each, TradeExecuted)]
    assert trades == ["first", "second"]
    assert thin.state.books["BTC-USD"].last_e8 == 108 * E8


def test_a_stop_buy_at_market_never_trades_beyond_what_its_lock_covers(thin: Market) -> None:
    stop(thin, "s", BUY, 105, protection=106)
    asks(thin, 106, 106.01)
    after = thin.go_on(last(thin, 120))
    assert [each.price_e8 for each in after if isinstance(each, TradeExecuted)] == [106 * E8]
    stop(thin, "t", BUY, 121, protection=106)
    after = thin.go_on(last(thin, 121))
    assert ended(after) == [("t", EndReason.EXPIRED, Reason.COLLAR)]


def test_a_stop_sell_at_market_goes_down_to_the_collar_of_the_price_that_triggered_it(
    thin: Market,
) -> None:
    stop(thin, "s", SELL, 95, protection=94.05, quantity=2)
    thin.order("bid-80", BUY, 1, 79.2)
    thin.order("bid-79", BUY, 1, 79.19)
    after = thin.go_on(last(thin, 80))
    assert [each.price_e8 for each in after if isinstance(each, TradeExecuted)] == [792 * E8 // 10]
    assert ("s", EndReason.EXPIRED, Reason.COLLAR) in ended(after)


def test_a_triggered_limit_order_keeps_its_time_in_force(thin: Market) -> None:
    stop(thin, "rests", BUY, 105, limit=104)
    stop(thin, "ends", BUY, 105, limit=104, tif=TimeInForce.IOC)
    rested, end = thin.go_on(last(thin, 105))
    assert isinstance(rested, OrderRested)
    assert ended([end]) == [("ends", EndReason.EXPIRED, Reason.NO_LIQUIDITY)]


def test_a_market_stop_never_rests_however_long_it_waited(thin: Market) -> None:
    stop(thin, "s", BUY, 105, tif=TimeInForce.GTC)
    assert ended(thin.go_on(last(thin, 105))) == [("s", EndReason.EXPIRED, Reason.NO_LIQUIDITY)]


def test_nobody_trades_with_a_stop_of_their_own(thin: Market) -> None:
    asks(thin, 105)
    thin.order("mine", SELL, 1, 104, account_id="me")
    stop(thin, "s", BUY, 103, account_id="me", protection=110)
    after = thin.go_on(last(thin, 103))
    assert ended(after) == [("s", EndReason.CANCELED, Reason.SELF_TRADE)]
    assert "mine" in thin.state.books["BTC-USD"].orders


# --- before it is triggered ----------------------------------------------------------------------


def test_a_waiting_stop_is_canceled_by_its_account_alone(thin: Market) -> None:
    stop(thin, "s", BUY, 105)
    (refused,) = thin.cancel("s", account_id="other")
    assert isinstance(refused, CancelRefused)
    (end,) = thin.cancel("s")
    assert ended([end]) == [("s", EndReason.CANCELED, Reason.CANCELED_BY_USER)]
    assert end.answers_cause
    assert triggered(last(thin, 105)) == []


def test_a_stop_canceled_before_its_activation_stays_canceled(thin: Market) -> None:
    stop(thin, "s", BUY, 105)
    (activation,) = thin.to_itself(last(thin, 105))
    assert isinstance(thin.cancel("s")[0], OrderEnded)
    assert thin.handle(activation) == []


def test_a_stop_is_triggered_once(thin: Market) -> None:
    stop(thin, "s", BUY, 105, limit=50)
    (activation,) = thin.to_itself(last(thin, 105))
    assert triggered(last(thin, 106)) == []
    assert len(thin.handle(activation)) == 1
    assert thin.handle(activation) == []


def test_nothing_is_activated_that_was_not_triggered(thin: Market) -> None:
    stop(thin, "s", BUY, 105)
    assert thin.handle(ActivateStop(symbol="BTC-USD", order_id="s")) == []
    assert thin.handle(ActivateStop(symbol="NO-USD", order_id="s")) == []


def test_a_waiting_stop_ends_when_its_time_has_come(thin: Market) -> None:
    stop(thin, "s", BUY, 105, tif=TimeInForce.GTD, expires_at_ms=thin.now_ms + 10)
    thin.now_ms += 10
    assert ended(thin.tick()) == [("s", EndReason.EXPIRED, Reason.EXPIRED)]
    assert triggered(last(thin, 105)) == []


def test_a_stop_whose_time_has_come_is_not_triggered(thin: Market) -> None:
    stop(thin, "s", BUY, 105, tif=TimeInForce.GTD, expires_at_ms=thin.now_ms + 10)
    thin.now_ms += 10
    assert triggered(last(thin, 105)) == []
    assert ended(thin.tick()) == [("s", EndReason.EXPIRED, Reason.EXPIRED)]


def test_a_stop_whose_time_comes_before_its_activation_expires(thin: Market) -> None:
    stop(thin, "s", BUY, 105, tif=TimeInForce.GTD, expires_at_ms=thin.now_ms + 10)
    (activation,) = thin.to_itself(last(thin, 105))
    thin.now_ms += 10
    assert ended(thin.handle(activation)) == [("s", EndReason.EXPIRED, Reason.EXPIRED)]


def test_the_deadline_of_an_arrival_does_not_end_a_stop_that_waits(thin: Market) -> None:
    (end,) = stop(thin, "late", BUY, 105, deadline_ms=thin.now_ms - 1)
    assert ended([end]) == [("late", EndReason.EXPIRED, Reason.DEADLINE)]
    stop(thin, "s", BUY, 105, limit=50, deadline_ms=thin.now_ms + 1)
    thin.now_ms += 10
    (rested,) = thin.go_on(last(thin, 105))
    assert isinstance(rested, OrderRested)


def test_a_stop_that_waits_is_not_submitted_again(thin: Market) -> None:
    stop(thin, "s", BUY, 105)
    with pytest.raises(Halted):
        stop(thin, "s", BUY, 105)


def test_a_halted_market_triggers_when_it_resumes(thin: Market) -> None:
    stop(thin, "s", BUY, 105, limit=50)
    thin.handle(HaltMarket(symbol="BTC-USD"))
    assert triggered(last(thin, 105)) == []
    resumed = thin.handle(ResumeMarket(symbol="BTC-USD"))
    assert triggered(resumed) == ["s"]
    assert isinstance(thin.go_on(resumed)[0], OrderRested)


def test_a_stop_that_a_halt_overtakes_waits_again_at_its_place(thin: Market) -> None:
    for order_id in ("s", "later"):
        stop(thin, order_id, BUY, 105, limit=50)
    told = thin.to_itself(last(thin, 105))
    thin.handle(HaltMarket(symbol="BTC-USD"))
    for each in told:
        (armed,) = thin.handle(each)
        assert isinstance(armed, StopArmed)
    assert (
        thin.handle(TriggerStops(symbol="BTC-USD", low_e8=1, high_e8=E8**2, until_number=9)) == []
    )
    resumed = thin.handle(ResumeMarket(symbol="BTC-USD"))
    assert triggered(resumed) == ["s", "later"]


def test_a_stop_that_waits_again_is_still_before_those_that_came_after_it(thin: Market) -> None:
    stop(thin, "s", BUY, 105, limit=50)
    (activation,) = thin.to_itself(last(thin, 105))
    last(thin, 100)
    stop(thin, "later", BUY, 105, limit=50)
    thin.handle(HaltMarket(symbol="BTC-USD"))
    thin.handle(activation)
    last(thin, 105)
    assert triggered(thin.handle(ResumeMarket(symbol="BTC-USD"))) == ["s", "later"]


@pytest.mark.parametrize("is_triggered", [False, True])
def test_a_stop_changes_where_it_waits(thin: Market, *, is_triggered: bool) -> None:
    stop(thin, "s", BUY, 105, limit=104)
    events = last(thin, 105) if is_triggered else []
    (changed,) = thin.replace("s", 2, 103)
    assert isinstance(changed, OrderReplaced)
    assert (changed.keeps_priority, changed.leaves_e8) == (True, 2 * E8)
    (rested,) = thin.go_on(events or last(thin, 105))
    assert (rested.price_e8, rested.leaves_e8) == (103 * E8, 2 * E8)


def test_a_market_stop_gets_no_limit_and_a_stop_limit_keeps_one(thin: Market) -> None:
    stop(thin, "s", BUY, 105)
    stop(thin, "t", BUY, 105, limit=104)
    (refused,) = thin.replace("s", 2, 103)
    assert refused.reason is Reason.INVALID_PRICE
    command = ReplaceRestingOrder(
        symbol="BTC-USD",
        account_id="account-of-s",
        order_id="s",
        quantity_e8=2 * E8,
        price_e8=None,
    )
    assert isinstance(thin.handle(command)[0], OrderReplaced)
    thin.handle(HaltMarket(symbol="BTC-USD"))
    (refused,) = thin.replace("t", 2, 103)
    assert isinstance(refused, ReplaceRefused)
    assert refused.reason is Reason.MARKET_HALTED


# --- state ---------------------------------------------------------------------------------------


def test_stops_survive_snapshot_and_replay(thin: Market) -> None:
    stop(thin, "waits", BUY, 107, limit=50)
    stop(thin, "triggered", BUY, 105, limit=50, tif=TimeInForce.GTD, expires_at_ms=10_000)
    stop(thin, "gone", SELL, 95, limit=50)
    thin.cancel("gone")
    events = last(thin, 105)
    thin.replace("waits", 2, 49)
    assert thin.replayed() == thin.dumped()
    restored = thin.restored()
    restored.sequence = thin.sequence
    assert restored.dumped() == thin.dumped()
    assert triggered(last(restored, 107)) == ["waits"]
    (rested,) = restored.handle(thin.to_itself(events)[0])
    assert isinstance(rested, OrderRested)
    assert rested.order_id == "triggered"
    (armed,) = stop(restored, "new", BUY, 120, limit=50)
    assert armed.number == 4
