from typing import Any

import msgspec
import pytest

from schemas.markets import (
    ClockTicked,
    CollarMoved,
    CommandRefused,
    HaltMarket,
    ListMarket,
    MarketHalted,
    MarketListed,
    MarketResumed,
    QuoteUpdated,
    ResumeMarket,
    Rules,
)
from schemas.money import E8

Market = Any
RULES = Rules(tick_e8=E8 // 100, lot_e8=1_000, min_notional_e8=E8)


def listing(**changes: object) -> ListMarket:
    return msgspec.structs.replace(
        ListMarket(symbol="BTC-USD", asset="BTC", rules=RULES), **changes
    )


def collars(events: list[Any]) -> list[float]:
    return [each.last_e8 / E8 for each in events if isinstance(each, CollarMoved)]


def refusals(events: list[Any]) -> list[str]:
    return [each.reason for each in events if isinstance(each, CommandRefused)]


def test_a_market_is_listed_once(empty: Market) -> None:
    assert empty.handle(listing()) == [
        MarketListed(symbol="BTC-USD", asset="BTC", rules=RULES, is_open=True)
    ]
    assert empty.handle(listing()) == []


def test_other_rules_list_it_again_and_leave_a_halt(empty: Market) -> None:
    rules = msgspec.structs.replace(RULES, taker_fee_ppm=10)
    empty.handle(listing())
    empty.handle(HaltMarket(symbol="BTC-USD"))
    assert empty.handle(listing(rules=rules)) == [
        MarketListed(symbol="BTC-USD", asset="BTC", rules=rules, is_open=False)
    ]


def test_a_feed_that_lists_its_markets_leaves_an_operators_rules(empty: Market) -> None:
    empty.handle(listing(rules=msgspec.structs.replace(RULES, taker_fee_ppm=10)))
    assert empty.handle(listing(unless_listed=True)) == []


def test_a_market_keeps_its_asset(empty: Market) -> None:
    empty.handle(listing())
    assert refusals(empty.handle(listing(asset="ETH"))) == ["other-asset"]


@pytest.mark.parametrize(
    "change",
    [
        {"tick_e8": 0},
        {"lot_e8": -1},
        {"min_notional_e8": -1},
        {"collar_ppm": 0},
        {"collar_ppm": 1_000_000},
        {"stale_after_ms": 0},
        {"maker_fee_ppm": -1},
        {"taker_fee_ppm": 1_000_000},
    ],
)
def test_rules_that_cannot_work_are_refused(empty: Market, change: dict[str, int]) -> None:
    events = empty.handle(listing(rules=msgspec.structs.replace(RULES, **change)))
    assert refusals(events) == ["invalid-rules"]


def test_a_market_halts_and_resumes_once(market: Market) -> None:
    assert [type(e) for e in market.handle(HaltMarket(symbol="BTC-USD"))] == [MarketHalted]
    assert market.handle(HaltMarket(symbol="BTC-USD")) == []
    assert [type(e) for e in market.handle(ResumeMarket(symbol="BTC-USD"))] == [MarketResumed]
    assert market.handle(ResumeMarket(symbol="BTC-USD")) == []


def test_what_is_asked_of_an_unknown_market_is_refused(empty: Market) -> None:
    for events in (
        empty.handle(HaltMarket(symbol="NO-USD")),
        empty.handle(ResumeMarket(symbol="NO-USD")),
        empty.quote(99, 101, symbol="NO-USD"),
    ):
        assert refusals(events) == ["unknown-market"]


def test_a_quote_carries_the_log_time(market: Market) -> None:
    market.now_ms = 7_777
    quoted = market.quote(99, 101)[0]
    assert isinstance(quoted, QuoteUpdated)
    assert quoted.quote.time_ms == 7_777


def test_an_older_quote_of_the_same_feed_is_refused(market: Market) -> None:
    market.sequence = 0
    assert refusals(market.quote(90, 91)) == ["stale-sequence"]
    assert refusals(market.quote(90, 91, feed_id="another")) == []


def test_feeds_are_bounded(market: Market) -> None:
    for n in range(15):
        assert refusals(market.quote(99, 101, feed_id=f"feed-{n}")) == []
    assert refusals(market.quote(99, 101, feed_id="one more")) == ["too-many-feeds"]


@pytest.mark.parametrize(
    ("bid", "ask", "sizes"), [(101, 101, 1), (102, 101, 1), (0, 101, 1), (99, 101, -1)]
)
def test_a_quote_that_makes_no_sense_is_refused(
    market: Market, bid: float, ask: float, sizes: float
) -> None:
    events = market.quote(bid, ask, bid_size=sizes, ask_size=sizes, last=100)
    assert refusals(events) == ["invalid-quote"]


def test_the_first_quote_sets_the_collar_rounded_inwards(empty: Market) -> None:
    empty.open()
    collar = empty.quote(99, 101, last=100.00000001)[-1]
    assert collar == CollarMoved(
        symbol="BTC-USD", last_e8=10_000_000_001, low_e8=9_900_000_001, high_e8=10_100_000_001
    )


def test_the_collar_follows_a_move_of_a_tenth_of_a_percent_once_a_second(market: Market) -> None:
    market.now_ms += 999
    assert collars(market.quote(99, 102, last=100.2)) == []
    market.now_ms += 1
    assert collars(market.quote(99, 102, last=100.09)) == []
    assert collars(market.quote(99, 102, last=99.9)) == [99.9]
    assert collars(market.quote(99, 102, last=99)) == []


def test_the_collar_is_told_again_at_half_of_the_stale_age(market: Market) -> None:
    market.now_ms += 2_499
    assert collars(market.quote(99, 101, last=100)) == []
    market.now_ms += 1
    assert collars(market.quote(99, 101, last=100)) == [100]


def test_the_collar_moves_while_the_market_is_halted(market: Market) -> None:
    market.handle(HaltMarket(symbol="BTC-USD"))
    market.now_ms += 2_500
    assert collars(market.quote(99, 101, last=100)) == [100]


def test_a_tick_without_work_says_that_time_passed(empty: Market) -> None:
    assert empty.tick() == [ClockTicked()]
    assert empty.context.entity_of(ClockTicked()) == "clock"
    assert list(empty.context.entities(empty.state)) == ["clock"]


def test_every_symbol_that_was_named_is_an_entity(empty: Market) -> None:
    empty.handle(HaltMarket(symbol="NO-USD"))
    assert list(empty.context.entities(empty.state)) == ["NO-USD"]
    assert empty.restored().dumped() == empty.dumped() == empty.replayed()
