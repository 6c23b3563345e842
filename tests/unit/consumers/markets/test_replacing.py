"""What a market makes of a replace, and whom it tells."""

from typing import Any

import pytest

from runtime.journal.context import Outgoing
from schemas.accounts import ApplyReplace, EndReason, Reason, RefuseReplace, Side
from schemas.codec import Message
from schemas.markets import (
    HaltMarket,
    OrderEnded,
    OrderReplaced,
    OrderRested,
    ReplaceRefused,
    TradeExecuted,
)
from schemas.money import E8
from schemas.topics import ACCOUNTS_COMMANDS

Market = Any
BUY, SELL = Side.BUY, Side.SELL


def refusal(events: list[Message]) -> Reason:
    """The reason of the one event, a refusal."""
    (event,) = events
    assert isinstance(event, ReplaceRefused)
    return event.reason


def makers(events: list[Message]) -> list[str | None]:
    return [each.maker.order_id for each in events if isinstance(each, TradeExecuted)]


def sent(market: Market, events: list[Message]) -> list[Outgoing]:
    return [
        message
        for event, cause in market.history[-len(events) :]
        for message in market.context.outbox(event, cause)
    ]


def test_an_order_whose_quantity_falls_keeps_its_priority(market: Market) -> None:
    market.order("o1", BUY, 3, 98)
    market.order("o2", BUY, 3, 98)
    (event,) = market.replace("o1", 2, 98)
    assert isinstance(event, OrderReplaced)
    assert (event.keeps_priority, event.quantity_e8, event.leaves_e8) == (True, 2 * E8, 2 * E8)
    market.quote(96, 97, bid_size=0, ask_size=0)
    assert makers(market.order("s", SELL, 3, 98)) == ["o1", "o2"]


@pytest.mark.parametrize(("quantity", "price"), [(3.5, 98), (3, 98.5), (1, 97.5)])
def test_an_order_that_grows_or_moves_comes_last(
    market: Market, quantity: float, price: float
) -> None:
    market.order("o1", BUY, 3, 98)
    market.order("o2", BUY, 3, price)
    replaced, rested = market.replace("o1", quantity, price)
    assert isinstance(replaced, OrderReplaced)
    assert isinstance(rested, OrderRested)
    assert not replaced.keeps_priority
    assert (rested.price_e8, rested.leaves_e8) == (round(price * E8), round(quantity * E8))
    market.quote(90, 110, bid_size=0, ask_size=0)
    assert makers(market.order("s", SELL, 4, price)) == ["o2", "o1"]


def test_an_order_that_moves_through_the_market_trades_and_its_totals_go_on(
    market: Market,
) -> None:
    market.order("o1", BUY, 12, 101)
    market.order("s", SELL, 4, 103)
    replaced, trade, ended = market.replace("o1", 13, 103)
    assert isinstance(replaced, OrderReplaced)
    assert isinstance(trade, TradeExecuted)
    assert (trade.maker.order_id, trade.quantity_e8) == ("s", 3 * E8)
    assert (trade.taker.cum_quantity_e8, trade.taker.leaves_e8) == (13 * E8, 0)
    assert isinstance(ended, OrderEnded)


def test_a_replace_answers_once_and_before_what_follows_from_it(market: Market) -> None:
    market.order("s", SELL, 1, 100.5)
    market.order("o1", BUY, 1, 98)
    messages = sent(market, market.replace("o1", 1, 100.5))
    assert [each.carries_reply for each in messages] == [True] + [False] * (len(messages) - 1)
    assert messages[0] == Outgoing(
        ACCOUNTS_COMMANDS,
        "account-of-o1",
        ApplyReplace(
            account_id="account-of-o1",
            order_id="o1",
            symbol="BTC-USD",
            quantity_e8=E8,
            price_e8=round(100.5 * E8),
            cum_quantity_e8=0,
        ),
        carries_reply=True,
    )


def test_a_refused_replace_is_answered_and_changes_nothing(market: Market) -> None:
    market.order("o1", BUY, 1, 98)
    before = market.dumped()
    market.handle(HaltMarket(symbol="BTC-USD"))
    events = market.replace("o1", 1, 99)
    assert refusal(events) is Reason.MARKET_HALTED
    assert sent(market, events) == [
        Outgoing(
            ACCOUNTS_COMMANDS,
            "account-of-o1",
            RefuseReplace(account_id="account-of-o1", order_id="o1", reason=Reason.MARKET_HALTED),
            carries_reply=True,
        )
    ]
    assert market.dumped() == {
        each: stored.replace(b'"is_open":true', b'"is_open":false')
        for each, stored in before.items()
    }


def test_what_is_not_in_the_book_is_not_replaced(market: Market) -> None:
    market.order("o1", BUY, 1, 98)
    assert refusal(market.replace("o2", 1, 98)) is Reason.ORDER_FINAL
    assert refusal(market.replace("o1", 1, 99, account_id="other")) is Reason.ORDER_FINAL


def test_an_order_cannot_become_smaller_than_what_it_traded(market: Market) -> None:
    market.order("o1", BUY, 12, 101)
    assert refusal(market.replace("o1", 10, 101)) is Reason.QUANTITY_FILLED
    (event,) = market.replace("o1", 10.5, 101)
    assert event.leaves_e8 == E8 // 2


def test_an_order_whose_time_has_come_ends_instead(market: Market) -> None:
    market.order("o1", BUY, 1, 98, expires_at_ms=market.now_ms + 1)
    market.now_ms += 1
    ended, refused = market.replace("o1", 1, 99)
    assert isinstance(ended, OrderEnded)
    assert (ended.end, ended.answers_cause) == (EndReason.EXPIRED, False)
    assert refusal([refused]) is Reason.ORDER_FINAL


def test_a_post_only_order_is_not_replaced_into_a_trade(market: Market) -> None:
    market.order("o1", BUY, 1, 98, post_only=True)
    assert refusal(market.replace("o1", 1, 101)) is Reason.POST_ONLY
    assert isinstance(market.replace("o1", 1, 100)[-1], OrderRested)
    assert market.state.books["BTC-USD"].orders["o1"].post_only


def test_a_replaced_order_that_meets_its_own_accounts_order_goes_no_further(
    market: Market,
) -> None:
    market.order("mine", SELL, 1, 100, account_id="me")
    market.order("o1", BUY, 1, 98, account_id="me")
    replaced, ended = market.replace("o1", 1, 100, account_id="me")
    assert isinstance(replaced, OrderReplaced)
    assert (ended.end, ended.reason) == (EndReason.CANCELED, Reason.SELF_TRADE)
    assert not ended.answers_cause


def test_a_replaced_order_still_ends_on_time(market: Market) -> None:
    market.order("o1", BUY, 1, 98, expires_at_ms=market.now_ms + 10)
    market.replace("o1", 2, 98)
    market.now_ms += 10
    (event,) = market.tick()
    assert (event.order_id, event.end) == ("o1", EndReason.EXPIRED)
