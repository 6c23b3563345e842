"""Nobody trades with themselves: which order ends is the newer one's word."""

from typing import Any

import pytest

from consumers.markets import matching
from schemas.accounts import EndReason, Reason, SelfTradePrevention, Side, TimeInForce
from schemas.codec import Message
from schemas.markets import OrderEnded, OrderReplaced, TradeExecuted
from schemas.money import E8

Market = Any
BUY, SELL = Side.BUY, Side.SELL
OLDEST, BOTH = SelfTradePrevention.CANCEL_OLDEST, SelfTradePrevention.CANCEL_BOTH


def trades(events: list[Message]) -> list[tuple[str | None, str | None, float, float]]:
    """Maker, taker, price, quantity of each trade."""
    return [
        (each.maker.order_id, each.taker.order_id, each.price_e8 / E8, each.quantity_e8 / E8)
        for each in events
        if isinstance(each, TradeExecuted)
    ]


def ends(events: list[Message]) -> list[tuple[str, EndReason, Reason | None, float]]:
    return [
        (each.order_id, each.end, each.reason, each.cum_quantity_e8 / E8)
        for each in events
        if isinstance(each, OrderEnded)
    ]


@pytest.mark.parametrize("tif", [TimeInForce.GTC, TimeInForce.IOC])
def test_an_order_that_meets_its_own_accounts_order_goes_no_further(
    market: Market, tif: TimeInForce
) -> None:
    market.order("other", SELL, 1, 100)
    market.order("mine", SELL, 1, 100.5, account_id="me")
    events = market.order("new", BUY, 3, 102, account_id="me", tif=tif)
    assert trades(events) == [("other", "new", 100, 1)]
    assert ends(events)[-1] == ("new", EndReason.CANCELED, Reason.SELF_TRADE, 1)
    assert events[-1].answers_cause
    assert list(market.state.books["BTC-USD"].orders) == ["mine"]


def test_an_order_that_is_filled_before_its_own_accounts_order_is_filled(market: Market) -> None:
    market.order("other", SELL, 1, 100)
    market.order("mine", SELL, 1, 100, account_id="me")
    assert ends(market.order("new", BUY, 1, 100, account_id="me"))[-1][1] is EndReason.FILLED


def test_a_fok_order_that_meets_its_own_accounts_order_trades_nothing(market: Market) -> None:
    market.order("other", SELL, 1, 100)
    market.order("mine", SELL, 1, 100, account_id="me")
    events = market.order("new", BUY, 2, 102, account_id="me", tif=TimeInForce.FOK)
    assert not trades(events)
    assert ends(events) == [("new", EndReason.CANCELED, Reason.SELF_TRADE, 0)]


def test_a_post_only_order_that_would_meet_its_own_accounts_order_ends(market: Market) -> None:
    market.order("mine", SELL, 1, 100, account_id="me")
    events = market.order("new", BUY, 2, 100, account_id="me", post_only=True)
    assert ends(events) == [("new", EndReason.EXPIRED, Reason.POST_ONLY, 0)]


def test_the_oldest_makes_way_and_the_newest_goes_on(market: Market) -> None:
    market.order("other", SELL, 1, 100)
    market.order("mine", SELL, 3, 100.25, account_id="me")
    market.order("taker", BUY, 1, 100.25)
    market.order("behind", SELL, 1, 100.5)
    market.order("partly", BUY, 1, 100.25)
    events = market.order("new", BUY, 3, 100.5, account_id="me", self_trade_prevention=OLDEST)
    assert trades(events) == [("behind", "new", 100.5, 1)]
    assert ends(events) == [
        ("mine", EndReason.CANCELED, Reason.SELF_TRADE, 1),
        ("behind", EndReason.FILLED, None, 1),
    ]
    assert not events[0].answers_cause
    assert list(market.state.books["BTC-USD"].orders) == ["new"]


def test_both_end_where_both_should(market: Market) -> None:
    market.order("other", SELL, 1, 100)
    market.order("mine", SELL, 1, 100.5, account_id="me")
    market.order("also mine", SELL, 1, 100.5, account_id="me")
    events = market.order("new", BUY, 3, 102, account_id="me", self_trade_prevention=BOTH)
    assert trades(events) == [("other", "new", 100, 1)]
    assert [each for each in ends(events) if each[2] is Reason.SELF_TRADE] == [
        ("mine", EndReason.CANCELED, Reason.SELF_TRADE, 0),
        ("new", EndReason.CANCELED, Reason.SELF_TRADE, 1),
    ]
    assert list(market.state.books["BTC-USD"].orders) == ["also mine"]


@pytest.mark.parametrize("prevention", [OLDEST, BOTH])
@pytest.mark.parametrize(
    ("more", "end"),
    [
        ({"tif": TimeInForce.FOK}, None),
        ({"post_only": True}, (EndReason.EXPIRED, Reason.POST_ONLY)),
    ],
)
def test_what_trades_nothing_cancels_nothing_else(
    market: Market, prevention: SelfTradePrevention, more: Any, end: Any
) -> None:
    market.order("mine", SELL, 1, 100, account_id="me")
    more = more | {"account_id": "me", "self_trade_prevention": prevention}
    (event,) = market.order("new", BUY, 2, 100.5, **more)
    assert (event.order_id, event.cum_quantity_e8) == ("new", 0)
    assert end is None or (event.end, event.reason) == end
    assert list(market.state.books["BTC-USD"].orders) == ["mine"]


def test_a_replace_that_meets_ones_own_order_does_as_the_order_said(market: Market) -> None:
    market.order("mine", SELL, 1, 100, account_id="me")
    market.order("mover", BUY, 1, 99.5, account_id="me", self_trade_prevention=OLDEST)
    market.state = market.restored().state
    replaced, end, rested = market.replace("mover", 1, 100, account_id="me")
    assert isinstance(replaced, OrderReplaced)
    assert ends([end]) == [("mine", EndReason.CANCELED, Reason.SELF_TRADE, 0)]
    assert (rested.order_id, rested.self_trade_prevention) == ("mover", OLDEST)


def test_how_many_of_ones_own_make_way_is_bounded(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matching, "EXPIRIES_MAX", 3)
    for n in range(5):
        market.order(f"mine{n}", SELL, 1, 100, account_id="me")
    events = market.order("new", BUY, 1, 100, account_id="me", self_trade_prevention=OLDEST)
    assert [each[0] for each in ends(events)] == ["mine0", "mine1", "mine2", "new"]
    assert ends(events)[-1][1:3] == (EndReason.EXPIRED, Reason.FILL_LIMIT)
