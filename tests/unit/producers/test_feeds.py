from collections.abc import Iterator
from itertools import islice, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.feed import MARKETS, Market, looped
from producers.quotes import GAP_MS_MAX, HOUSE_NOTIONAL_E8, Tick, dense, house_size, quote
from producers.recorded import btc_ticks, xrp_ticks
from producers.simulated import walk
from schemas.money import E8, notional_floor, parse_e8

every_market = pytest.mark.parametrize("market", MARKETS, ids=lambda each: each.symbol)


def ticks_at(*times_ms: int) -> Iterator[Tick]:
    return (Tick(each, 1, 1, 2, 1, 1) for each in times_ms)


def test_the_btc_recording_starts_with_its_first_quote_and_the_trade_before_it() -> None:
    first = btc_ticks()[0]
    assert first.bid_e8 == parse_e8("39432.99")
    assert first.ask_size_e8 == parse_e8("0.066851")
    assert first.at_ms == 1_610_064_001_076
    assert len(btc_ticks()) == 451


def test_the_xrp_book_gives_its_top_after_each_message() -> None:
    ticks = xrp_ticks()
    assert len(ticks) == 50
    assert (ticks[0].bid_e8, ticks[0].bid_size_e8) == (parse_e8("1.9531"), parse_e8("6203"))
    assert (ticks[-1].bid_e8, ticks[-1].ask_e8) == (parse_e8("1.9537"), parse_e8("1.9538"))


@every_market
def test_a_feed_says_something_every_second_and_its_time_never_goes_back(market: Market) -> None:
    ticks = list(islice(market.ticks(1), 2_000))
    gaps = [after.at_ms - before.at_ms for before, after in pairwise(ticks)]
    assert min(gaps) > 0
    assert max(gaps) <= GAP_MS_MAX


@every_market
def test_the_house_offers_fifty_thousand_dollars_a_side_in_whole_lots(market: Market) -> None:
    for tick in islice(market.ticks(1), 1_000):
        offer = quote(tick, market.rules, feed_id="f", sequence=1, simulated=market.simulated)
        for price_e8, size_e8 in (
            (offer.bid_e8, offer.bid_size_e8),
            (offer.ask_e8, offer.ask_size_e8),
        ):
            assert notional_floor(price_e8, size_e8) >= HOUSE_NOTIONAL_E8
            assert size_e8 % market.rules.lot_e8 == 0


@every_market
def test_every_quote_makes_sense_and_lies_on_the_tick(market: Market) -> None:
    for tick in islice(market.ticks(7), 5_000):
        assert 0 < tick.bid_e8 < tick.ask_e8
        assert tick.last_e8 > 0
        assert tick.bid_e8 % market.rules.tick_e8 == tick.ask_e8 % market.rules.tick_e8 == 0


@given(recorded=st.integers(0, 10**18), price=st.integers(1, 10**14), lot=st.integers(1, 10**9))
def test_a_house_size_is_never_less_than_recorded(recorded: int, price: int, lot: int) -> None:
    size = house_size(recorded, price, lot)
    assert size >= recorded
    assert size % lot == 0
    assert notional_floor(price, size) >= HOUSE_NOTIONAL_E8


def test_a_large_recorded_size_stays_as_it_is() -> None:
    assert house_size(100 * E8, 40_000 * E8, 1_000) == 100 * E8


def test_a_gap_in_a_recording_is_filled_with_what_was_said_last() -> None:
    assert [each.at_ms for each in dense(ticks_at(0, 100, 2_600))] == [0, 100, 1_100, 2_100, 2_600]


def test_a_recording_starts_again_when_it_ends() -> None:
    times = [each.at_ms for each in islice(looped(ticks_at(5_000, 5_500)), 5)]
    assert times == [5_000, 5_500, 5_600, 6_100, 6_200]


def test_a_seed_gives_the_same_walk_again_and_another_seed_another() -> None:
    def prices(seed: int) -> list[Tick]:
        return list(islice(walk(seed=seed, start_e8=1_220 * E8, tick_e8=E8 // 100), 500))

    assert prices(1) == prices(1)
    assert prices(1) != prices(2)


def test_a_days_walk_stays_within_a_fifth_of_its_start() -> None:
    for tick in islice(walk(seed=3, start_e8=230 * E8, tick_e8=E8 // 10_000), 172_800):
        assert 0.8 < tick.last_e8 / (230 * E8) < 1.2


def test_only_random_walks_say_that_they_are_simulated() -> None:
    assert {each.asset for each in MARKETS if each.simulated} == {"ETH", "SOL", "DOGE"}
    assert {each.asset for each in MARKETS if not each.simulated} == {"BTC", "XRP"}
