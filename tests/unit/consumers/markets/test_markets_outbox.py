from typing import Any

import pytest

from runtime.journal.context import EVERYWHERE, Outgoing
from schemas.accounts import (
    ApplyExecution,
    EndOrder,
    EndReason,
    Liquidity,
    MarketTerms,
    PriceCollar,
    Reason,
    RefuseCancel,
    Side,
)
from schemas.markets import ActivateStop, HaltMarket, ResumeMarket
from schemas.money import E8
from schemas.topics import ACCOUNTS_COMMANDS, MARKETS_COMMANDS

Market = Any
BUY, SELL = Side.BUY, Side.SELL


def sent(market: Market, count: int) -> list[Outgoing]:
    """What the last `count` events send."""
    return [
        message
        for event, cause in market.history[-count:]
        for message in market.context.outbox(event, cause)
    ]


def test_a_trade_reaches_both_accounts_before_its_orders_end(market: Market) -> None:
    market.order("o1", SELL, 1, 100, account_id="seller")
    messages = sent(market, len(market.order("o2", BUY, 1, 100, account_id="buyer")))
    assert [(type(each.message), each.key) for each in messages] == [
        (ApplyExecution, "seller"),
        (ApplyExecution, "buyer"),
        (EndOrder, "seller"),
        (EndOrder, "buyer"),
    ]
    assert {each.topic for each in messages} == {ACCOUNTS_COMMANDS}


def test_both_legs_of_a_trade_are_equal(market: Market) -> None:
    market.order("o1", SELL, 1, 100.33, account_id="seller")
    legs = [
        each.message
        for each in sent(market, len(market.order("o2", BUY, 0.7, 101, account_id="buyer")))
        if isinstance(each.message, ApplyExecution)
    ]
    assert [(leg.side, leg.liquidity, leg.order_id) for leg in legs] == [
        (SELL, Liquidity.MAKER, "o1"),
        (BUY, Liquidity.TAKER, "o2"),
    ]
    assert (
        len({(leg.trade_id, leg.price_e8, leg.quantity_e8, leg.notional_e8) for leg in legs}) == 1
    )
    assert [leg.cum_quantity_e8 for leg in legs] == [70_000_000, 70_000_000]


def test_the_houses_leg_goes_to_its_own_account_without_an_order(market: Market) -> None:
    leg = sent(market, len(market.order("o1", BUY, 1, protection=102)))[0]
    assert leg.key == "house:BTC-USD"
    assert isinstance(leg.message, ApplyExecution)
    assert (leg.message.side, leg.message.order_id) == (SELL, None)


def test_only_the_end_of_the_order_that_was_submitted_carries_the_reply(market: Market) -> None:
    market.order("o1", SELL, 1, 100)
    ends = [
        (each.message.order_id, each.carries_reply)
        for each in sent(market, len(market.order("o2", BUY, 1, 100)))
        if isinstance(each.message, EndOrder)
    ]
    assert ends == [("o1", False), ("o2", True)]


def test_an_end_by_a_quote_answers_nobody(market: Market) -> None:
    market.order("o1", BUY, 1, 98)
    messages = sent(market, len(market.quote(96, 97)))
    assert [each.carries_reply for each in messages] == [False] * len(messages)
    assert [type(each.message) for each in messages] == [ApplyExecution, ApplyExecution, EndOrder]


def test_an_order_that_rests_sends_nothing(market: Market) -> None:
    assert sent(market, len(market.order("o1", BUY, 1, 98))) == []


def test_a_triggered_stop_comes_by_a_command_of_its_own_and_answers_nobody(market: Market) -> None:
    assert sent(market, len(market.order("s", BUY, 1, 95, stop_price_e8=105 * E8))) == []
    assert sent(market, len(market.quote(104, 106, last=105))) == [
        Outgoing(MARKETS_COMMANDS, "BTC-USD", ActivateStop(symbol="BTC-USD", order_id="s"))
    ]


def test_a_cancel_is_answered_either_way(market: Market) -> None:
    market.order("o1", BUY, 1, 98, account_id="buyer")
    done = sent(market, len(market.cancel("o1", account_id="buyer")))
    again = sent(market, len(market.cancel("o1", account_id="buyer")))
    assert done == [
        Outgoing(
            ACCOUNTS_COMMANDS,
            "buyer",
            EndOrder(
                account_id="buyer",
                order_id="o1",
                symbol="BTC-USD",
                end=EndReason.CANCELED,
                cum_quantity_e8=0,
                reason=Reason.CANCELED_BY_USER,
            ),
            carries_reply=True,
        )
    ]
    assert again == [
        Outgoing(
            ACCOUNTS_COMMANDS,
            "buyer",
            RefuseCancel(account_id="buyer", order_id="o1", reason=Reason.ORDER_FINAL),
            carries_reply=True,
        )
    ]


def test_the_collar_goes_to_each_partition_of_accounts(market: Market) -> None:
    market.now_ms += 5_000
    assert sent(market, len(market.quote(99, 101, last=100))) == [
        Outgoing(
            ACCOUNTS_COMMANDS,
            EVERYWHERE,
            PriceCollar(symbol="BTC-USD", last_e8=100 * E8, low_e8=99 * E8, high_e8=101 * E8),
        )
    ]


@pytest.mark.parametrize("is_open", [False, True])
def test_terms_go_to_each_partition_when_they_change(market: Market, *, is_open: bool) -> None:
    market.handle(HaltMarket(symbol="BTC-USD"))
    if is_open:
        market.handle(ResumeMarket(symbol="BTC-USD"))
    (message,) = sent(market, 1)
    assert message.key is EVERYWHERE
    assert isinstance(message.message, MarketTerms)
    assert message.message.is_open is is_open
    assert message.message.asset == "BTC"


def test_operators_hear_of_listings_halts_and_refusals_alone(market: Market) -> None:
    market.order("o1", BUY, 1, 98)
    market.order("o2", SELL, 1, 98)
    market.cancel("o1")
    market.tick()
    market.handle(HaltMarket(symbol="NO-USD"))
    answers = {
        event.TYPE for event, cause in market.history if market.context.answers(event, cause)
    }
    assert answers == {"markets.market-listed.v1", "markets.command-refused.v1"}
