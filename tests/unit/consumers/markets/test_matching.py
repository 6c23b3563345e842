from typing import Any

import msgspec
import pytest

from consumers.markets.matching import EXPIRIES_MAX, FILLS_MAX
from runtime.errors import Halted
from schemas.accounts import EndReason, Reason, Side, TimeInForce
from schemas.codec import Message
from schemas.markets import HaltMarket, OrderEnded, OrderRested, ResumeMarket, TradeExecuted
from schemas.money import E8

Market = Any
BUY, SELL = Side.BUY, Side.SELL


def trades(events: list[Message]) -> list[tuple[str, str, float, float]]:
    """Maker, taker, price, quantity of each trade."""
    return [
        (
            each.maker.order_id or "house",
            each.taker.order_id or "house",
            each.price_e8 / E8,
            each.quantity_e8 / E8,
        )
        for each in events
        if isinstance(each, TradeExecuted)
    ]


def ends(events: list[Message]) -> list[tuple[str, EndReason, Reason | None, float]]:
    return [
        (each.order_id, each.end, each.reason, each.cum_quantity_e8 / E8)
        for each in events
        if isinstance(each, OrderEnded)
    ]


def test_a_market_order_trades_with_the_house_at_its_quote(market: Market) -> None:
    events = market.order("o1", BUY, 2, protection=102)
    assert trades(events) == [("house", "o1", 101, 2)]
    assert ends(events) == [("o1", EndReason.FILLED, None, 2)]


def test_the_house_is_the_last_in_its_price_level(market: Market) -> None:
    market.order("o1", SELL, 1, 101)
    market.order("o2", SELL, 1, 102)
    events = market.order("o3", BUY, 12, 102)
    assert trades(events) == [
        ("o1", "o3", 101, 1),
        ("house", "o3", 101, 10),
        ("o2", "o3", 102, 1),
    ]


def test_the_first_come_at_a_price_trades_first(market: Market) -> None:
    for order_id in ("o1", "o2", "o3"):
        market.order(order_id, SELL, 1, 100.5)
    market.cancel("o1")
    market.order("o1b", SELL, 1, 100.5)
    assert trades(market.order("o4", BUY, 3, 100.5)) == [
        ("o2", "o4", 100.5, 1),
        ("o3", "o4", 100.5, 1),
        ("o1b", "o4", 100.5, 1),
    ]


def test_a_limit_order_rests_with_what_is_left(market: Market) -> None:
    events = market.order("o1", BUY, 12, 101)
    assert trades(events) == [("house", "o1", 101, 10)]
    rested = events[-1]
    assert isinstance(rested, OrderRested)
    assert (rested.leaves_e8, rested.quantity_e8) == (2 * E8, 12 * E8)


def test_the_house_offers_its_size_once_until_the_next_quote(market: Market) -> None:
    market.order("o1", BUY, 10, protection=102)
    assert ends(market.order("o2", BUY, 1, protection=102)) == [
        ("o2", EndReason.EXPIRED, Reason.NO_LIQUIDITY, 0)
    ]
    market.quote(99, 101)
    assert trades(market.order("o3", BUY, 1, protection=102)) == [("house", "o3", 101, 1)]


def test_a_stale_quote_fills_nothing(market: Market) -> None:
    market.now_ms += 5_000
    assert trades(market.order("o1", BUY, 1, protection=102)) == [("house", "o1", 101, 1)]
    market.now_ms += 1
    assert ends(market.order("o2", BUY, 1, protection=102)) == [
        ("o2", EndReason.EXPIRED, Reason.NO_LIQUIDITY, 0)
    ]


def test_what_lies_beyond_the_collar_expires(market: Market) -> None:
    market.order("o1", SELL, 5, 101.5)
    events = market.order("o2", BUY, 12, protection=101.2)
    assert trades(events) == [("house", "o2", 101, 10)]
    assert ends(events) == [("o2", EndReason.EXPIRED, Reason.COLLAR, 10)]


def test_a_market_sale_goes_no_lower_than_its_protection_price(market: Market) -> None:
    events = market.order("o1", SELL, 1, protection=99.5)
    assert ends(events) == [("o1", EndReason.EXPIRED, Reason.COLLAR, 0)]


def test_an_ioc_order_never_rests(market: Market) -> None:
    events = market.order("o1", BUY, 12, 101, tif=TimeInForce.IOC)
    assert ends(events) == [("o1", EndReason.EXPIRED, Reason.NO_LIQUIDITY, 10)]


@pytest.mark.parametrize("tif", [TimeInForce.DAY, TimeInForce.GTD])
def test_day_and_gtd_orders_rest(market: Market, tif: TimeInForce) -> None:
    assert isinstance(market.order("o1", BUY, 1, 98, tif=tif)[-1], OrderRested)


def test_a_fok_order_fills_whole_or_not_at_all(market: Market) -> None:
    fok = TimeInForce.FOK
    events = market.order("o1", BUY, 11, 101, tif=fok)
    assert events == [e for e in events if isinstance(e, OrderEnded)]
    assert ends(events) == [("o1", EndReason.EXPIRED, Reason.NO_LIQUIDITY, 0)]
    assert ends(market.order("o2", BUY, 10, 101, tif=fok)) == [("o2", EndReason.FILLED, None, 10)]


def test_a_fok_market_order_fills_whole_or_not_at_all(market: Market) -> None:
    events = market.order("o1", BUY, 11, protection=102, tif=TimeInForce.FOK)
    assert ends(events) == [("o1", EndReason.EXPIRED, Reason.NO_LIQUIDITY, 0)]
    assert not trades(events)


def test_an_order_whose_time_has_come_before_it_arrives_ends_unfilled(market: Market) -> None:
    last_moment = market.order("o1", BUY, 1, 101, expires_at_ms=market.now_ms + 1)
    assert ends(last_moment) == [("o1", EndReason.FILLED, None, 1)]
    events = market.order("o2", BUY, 1, 101, expires_at_ms=market.now_ms)
    assert ends(events) == [("o2", EndReason.EXPIRED, Reason.EXPIRED, 0)]
    assert not trades(events)


def test_a_tick_ends_the_orders_whose_time_has_come_first_ended_first(market: Market) -> None:
    gtd, now_ms = TimeInForce.GTD, market.now_ms
    market.order("late", BUY, 1, 98, tif=gtd, expires_at_ms=now_ms + 20)
    market.order("soon", BUY, 12, 101, tif=gtd, expires_at_ms=now_ms + 10)
    market.order("never", BUY, 1, 98)
    market.now_ms = now_ms + 9
    assert ends(market.tick()) == []
    market.now_ms = now_ms + 20
    assert ends(market.tick()) == [
        ("soon", EndReason.EXPIRED, Reason.EXPIRED, 10),
        ("late", EndReason.EXPIRED, Reason.EXPIRED, 0),
    ]
    assert list(market.state.books["BTC-USD"].orders) == ["never"]


def test_time_passes_while_a_market_is_halted(market: Market) -> None:
    market.order("o1", BUY, 1, 98, tif=TimeInForce.DAY, expires_at_ms=market.now_ms + 1)
    market.handle(HaltMarket(symbol="BTC-USD"))
    market.now_ms += 1
    assert ends(market.tick()) == [("o1", EndReason.EXPIRED, Reason.EXPIRED, 0)]


def test_an_end_by_the_clock_answers_nobody(market: Market) -> None:
    market.order("o1", BUY, 1, 98, tif=TimeInForce.DAY, expires_at_ms=market.now_ms + 1)
    market.now_ms += 1
    assert [each.answers_cause for each in market.tick()] == [False]


def test_a_tick_ends_500_orders_at_most_and_the_next_goes_on(market: Market) -> None:
    for n in range(EXPIRIES_MAX + 3):
        market.order(f"o{n}", BUY, 1, 98, expires_at_ms=market.now_ms + 1)
    market.now_ms += 1
    assert len(ends(market.tick())) == EXPIRIES_MAX
    assert len(ends(market.tick())) == 3
    assert [each.TYPE for each in market.tick()] == ["markets.clock-ticked.v1"]


def test_nobody_trades_with_an_order_whose_time_has_come(market: Market) -> None:
    market.order("over", SELL, 1, 100, expires_at_ms=market.now_ms + 1)
    market.order("open", SELL, 1, 100)
    market.now_ms += 1
    events = market.order("o3", BUY, 1, 100)
    assert trades(events) == [("open", "o3", 100, 1)]
    assert ends(events)[0] == ("over", EndReason.EXPIRED, Reason.EXPIRED, 0)


def test_the_house_takes_no_order_whose_time_has_come(market: Market) -> None:
    market.order("over", BUY, 1, 98, expires_at_ms=market.now_ms + 1)
    market.now_ms += 1
    assert trades(market.quote(96, 97)) == []


def test_a_sweep_ends_500_orders_whose_time_has_come_at_most(market: Market) -> None:
    for n in range(EXPIRIES_MAX + 1):
        market.order(f"m{n}", SELL, 1, 100, expires_at_ms=market.now_ms + 1)
    market.now_ms += 1
    events = market.order("o1", BUY, 1, 100)
    assert len(events) == EXPIRIES_MAX + 1
    assert ends(events)[-1] == ("o1", EndReason.EXPIRED, Reason.FILL_LIMIT, 0)


def test_a_post_only_order_that_would_trade_ends_and_nothing_is_traded(market: Market) -> None:
    events = market.order("o1", BUY, 1, 101, post_only=True)
    assert ends(events) == [("o1", EndReason.EXPIRED, Reason.POST_ONLY, 0)]
    assert not trades(events)
    assert events[0].answers_cause


def test_a_post_only_order_that_would_not_trade_rests_and_makes(market: Market) -> None:
    assert isinstance(market.order("o1", BUY, 1, 100, post_only=True)[-1], OrderRested)
    assert trades(market.order("o2", SELL, 1, 100)) == [("o1", "o2", 100, 1)]


def test_an_order_that_comes_after_its_deadline_ends_unfilled(market: Market) -> None:
    on_time = market.order("o1", BUY, 1, protection=102, deadline_ms=market.now_ms)
    assert ends(on_time) == [("o1", EndReason.FILLED, None, 1)]
    late = market.order("o2", BUY, 1, protection=102, deadline_ms=market.now_ms - 1)
    assert trades(late) == []
    assert ends(late) == [("o2", EndReason.EXPIRED, Reason.DEADLINE, 0)]


def test_an_order_on_a_halted_or_unknown_market_is_rejected(market: Market) -> None:
    market.handle(HaltMarket(symbol="BTC-USD"))
    assert ends(market.order("o1", BUY, 1, 101)) == [
        ("o1", EndReason.REJECTED, Reason.MARKET_HALTED, 0)
    ]
    assert ends(market.order("o2", BUY, 1, 101, symbol="NO-USD")) == [
        ("o2", EndReason.REJECTED, Reason.UNKNOWN_ASSET, 0)
    ]


def test_a_cancel_works_while_halted(market: Market) -> None:
    market.order("o1", BUY, 1, 98)
    market.handle(HaltMarket(symbol="BTC-USD"))
    assert ends(market.cancel("o1")) == [("o1", EndReason.CANCELED, Reason.CANCELED_BY_USER, 0)]
    assert not market.state.books["BTC-USD"].orders


def test_a_cancel_of_a_partly_filled_order_says_what_was_filled(market: Market) -> None:
    market.order("o1", BUY, 12, 101)
    assert ends(market.cancel("o1"))[0][3] == 10


def test_a_cancel_of_what_is_not_in_the_book_is_refused(market: Market) -> None:
    market.order("o1", BUY, 1, 98)
    for events in (
        market.cancel("o2"),
        market.cancel("o1", account_id="somebody else"),
    ):
        assert [each.TYPE for each in events] == ["markets.cancel-refused.v1"]
        assert events[0].reason is Reason.ORDER_FINAL


def test_a_new_quote_that_crosses_resting_orders_trades_at_their_prices(market: Market) -> None:
    for order_id, price in (("o1", 98), ("o2", 98.5), ("o3", 98.5), ("o4", 97)):
        market.order(order_id, BUY, 1, price)
    events = market.quote(97.5, 98, ask_size=2.5)
    assert trades(events) == [
        ("o2", "house", 98.5, 1),
        ("o3", "house", 98.5, 1),
        ("o1", "house", 98, 0.5),
    ]
    assert [each[:2] for each in ends(events)] == [
        ("o2", EndReason.FILLED),
        ("o3", EndReason.FILLED),
    ]
    assert market.state.books["BTC-USD"].house_e8 == {BUY: E8, SELL: 0}


def test_a_quote_that_crosses_sales_buys_them(market: Market) -> None:
    market.order("o1", SELL, 1, 102)
    assert trades(market.quote(103, 104)) == [("o1", "house", 102, 1)]


def test_resting_orders_wait_for_a_resumed_market(market: Market) -> None:
    market.order("o1", BUY, 1, 98)
    market.handle(HaltMarket(symbol="BTC-USD"))
    assert trades(market.quote(96, 97)) == []
    assert trades(market.handle(ResumeMarket(symbol="BTC-USD"))) == [("o1", "house", 98, 1)]


def test_a_sweep_ends_after_500_fills_and_the_rest_expires(market: Market) -> None:
    for n in range(FILLS_MAX + 1):
        market.order(f"m{n}", SELL, 0.001, 100)
    refused = market.order("fok", BUY, 0.501, 100, tif=TimeInForce.FOK)
    assert ends(refused) == [("fok", EndReason.REJECTED, Reason.FILL_LIMIT, 0)]
    events = market.order("o1", BUY, 0.501, 100)
    assert len(trades(events)) == FILLS_MAX
    assert ends(events)[-1] == ("o1", EndReason.EXPIRED, Reason.FILL_LIMIT, 0.5)


def test_500_fills_that_are_enough_fill_the_order(market: Market) -> None:
    for n in range(FILLS_MAX):
        market.order(f"m{n}", SELL, 0.001, 100)
    events = market.order("o1", BUY, 0.6, 100)
    assert len(trades(events)) == FILLS_MAX
    assert isinstance(events[-1], OrderRested)


def test_a_quote_that_crosses_many_orders_goes_on_with_the_clock(market: Market) -> None:
    for n in range(FILLS_MAX + 3):
        market.order(f"m{n}", BUY, 0.001, 98)
    assert len(trades(market.quote(96, 97))) == FILLS_MAX
    assert len(trades(market.tick())) == 3
    assert [each.TYPE for each in market.tick()] == ["markets.clock-ticked.v1"]


def test_a_trade_names_its_parties_and_their_totals(market: Market) -> None:
    market.order("o1", SELL, 3, 100, account_id="seller")
    market.order("o2", BUY, 1, 100, account_id="buyer")
    trade = market.order("o3", BUY, 1, 100, account_id="buyer")[0]
    assert isinstance(trade, TradeExecuted)
    assert msgspec.to_builtins(trade.maker) == {
        "account_id": "seller",
        "side": "SELL",
        "order_id": "o1",
        "cum_quantity_e8": 2 * E8,
        "leaves_e8": E8,
    }
    assert (trade.taker.account_id, trade.taker.cum_quantity_e8, trade.taker.leaves_e8) == (
        "buyer",
        E8,
        0,
    )
    assert len(trade.trade_id) == 32


def test_the_notional_is_rounded_down_once(market: Market) -> None:
    market.order("o1", SELL, 0.00000003, 100.33)
    trade = market.order("o2", BUY, 0.00000003, 100.33)[0]
    assert trade.notional_e8 == 300


def test_the_house_trades_under_its_own_account(market: Market) -> None:
    trade = market.order("o1", SELL, 1, protection=98)[0]
    assert (trade.maker.account_id, trade.maker.side, trade.maker.order_id) == (
        "house:BTC-USD",
        BUY,
        None,
    )


def test_an_order_submitted_twice_halts_the_partition(market: Market) -> None:
    market.order("o1", BUY, 1, 98)
    with pytest.raises(Halted):
        market.order("o1", BUY, 1, 98)
