"""Fees by tier of 30-day volume: which rates an order gets, and that its lock covers them."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.accounts import (
    COMMANDS,
    CheckOrder,
    EndReason,
    Liquidity,
    OrderChecked,
    OrderType,
    PlaceOrder,
    SetFees,
    Side,
)
from schemas.candles import DAY_MS
from schemas.codec import PoisonMessage, encode
from schemas.fees import FeeTier, rate_ppm, rate_text
from schemas.money import E8, PPM

Desk = Any  # of conftest, which importlib mode does not let us import

TIERS = ("0:0.001:0.002", "500:0.0005:0.001", "1000:0:0.0001")


def rates(desk: Desk, **more: Any) -> tuple[int, int]:
    """What an order that is accepted now pays, in parts per million."""
    order = desk.place(Side.BUY, "0.05", "100", **more).order
    desk.end(order, EndReason.CANCELED)
    return order.maker_fee_ppm, order.taker_fee_ppm


def trade(desk: Desk, quantity: str, **more: Any) -> Any:
    """Buy at $100 and be done with it."""
    desk.quote("100")
    order = desk.place(Side.BUY, quantity, "100").order
    event = desk.execute(order, quantity, "100", **more)
    desk.end(order, EndReason.FILLED)
    return event


def test_without_a_schedule_an_order_pays_what_its_market_asks(desk: Desk) -> None:
    desk.deposit("1000")
    assert rates(desk) == (0, 0)
    desk.open_market(maker_fee_ppm=10, taker_fee_ppm=20)
    assert rates(desk) == (10, 20)


def test_the_tier_follows_the_volume_of_maker_and_taker_trades(desk: Desk) -> None:
    desk.deposit("5000")
    desk.set_fees(*TIERS)
    assert rates(desk) == (1_000, 2_000)
    assert trade(desk, "4", liquidity=Liquidity.MAKER).day_volume_e8 == 400 * E8
    assert rates(desk) == (1_000, 2_000)
    assert trade(desk, "1", liquidity=Liquidity.TAKER).day_volume_e8 == 500 * E8
    assert rates(desk) == (500, 1_000)
    trade(desk, "5")
    assert rates(desk) == (0, 100)


def test_both_sides_of_a_trade_count(desk: Desk) -> None:
    desk.fund("10")
    desk.set_fees(*TIERS)
    sold = desk.place(Side.SELL, "5", "100").order
    assert desk.execute(sold, "5", "100").day_volume_e8 == 510 * E8
    assert rates(desk) == (500, 1_000)


def test_a_markets_own_fees_come_on_top_and_never_exceed_the_notional(desk: Desk) -> None:
    desk.deposit("1000")
    desk.set_fees("0:0.1:0.9")
    desk.open_market(maker_fee_ppm=200_000, taker_fee_ppm=200_000)
    assert rates(desk) == (300_000, PPM)


def test_a_day_counts_for_30_days_and_then_falls_out(desk: Desk) -> None:
    desk.deposit("5000")
    desk.set_fees(*TIERS)
    desk.time_ms = desk.time_ms // DAY_MS * DAY_MS + DAY_MS - 1
    trade(desk, "5")
    desk.time_ms += 1
    trade(desk, "5")
    desk.time_ms += 29 * DAY_MS - 1
    desk.quote("100")
    assert rates(desk) == (0, 100), "the last millisecond of the first trade's 30th day"
    desk.time_ms += 1
    assert rates(desk) == (500, 1_000)
    desk.time_ms += DAY_MS - 1
    desk.quote("100")
    assert rates(desk) == (500, 1_000)
    desk.time_ms += 1
    assert rates(desk) == (1_000, 2_000)
    assert trade(desk, "1").day_volume_e8 == 100 * E8
    assert desk.account().volumes == {desk.time_ms // DAY_MS: 100 * E8}


def test_volumes_of_any_number_of_days_stay_bounded_and_come_back(desk: Desk) -> None:
    desk.deposit("10000")
    for _ in range(70):
        desk.time_ms += DAY_MS
        trade(desk, "0.1")
    assert len(desk.account().volumes) == 30
    assert desk.state == desk.replayed() == desk.restored()
    assert desk.stored() == desk.stored(desk.replayed())


def test_an_open_order_keeps_the_rates_of_its_acceptance(desk: Desk) -> None:
    desk.deposit("1000")
    desk.set_fees("0:0.001:0.002")
    order = desk.place(Side.BUY, "2", "100").order
    assert desk.held() == (79_960_000_000, 20_040_000_000)
    desk.set_fees("0:0.5:1")
    assert desk.execute(order, "1", "100", liquidity=Liquidity.TAKER).execution.fee_e8 == E8 // 5
    desk.replace(order.order_id, quantity="3")
    changed = desk.replaced(order).order
    assert (changed.maker_fee_ppm, changed.taker_fee_ppm) == (1_000, 2_000)
    assert desk.execute(order, "2", "100", liquidity=Liquidity.MAKER).execution.fee_e8 == E8 // 5


def test_a_check_tells_the_fee_of_ones_tier(desk: Desk) -> None:
    desk.deposit("1000")
    desk.set_fees("0:0.001:0.002")
    order = PlaceOrder(
        account_id="a" * 32,
        asset="BTC",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity_e8=E8,
        price_e8=100 * E8,
    )
    checked = desk.tell(CheckOrder(order=order))
    assert isinstance(checked, OrderChecked)
    assert (checked.fee_e8, checked.locked_e8) == (20_000_000, 10_020_000_000)


def test_the_fees_are_an_entity_apart_from_accounts(desk: Desk) -> None:
    assert "fees:schedule" not in desk.stored()
    desk.set_fees(*TIERS)
    desk.set_fees(*TIERS[:2])
    assert list(desk.context.entities(desk.state)) == ["market:BTC-USD", "fees:schedule"]
    assert len(desk.state.tiers) == 2
    assert desk.state == desk.replayed() == desk.restored()


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    fills=st.lists(
        st.tuples(st.integers(1, 30_000), st.sampled_from(Liquidity)), min_size=1, max_size=40
    ),
    maker=st.integers(0, PPM),
    taker=st.integers(0, PPM),
    price_cents=st.integers(100, 30_000),
)
def test_many_small_fills_never_exceed_the_lock_and_round_up_once(
    desk_type: type[Desk],
    fills: list[tuple[int, Liquidity]],
    maker: int,
    taker: int,
    price_cents: int,
) -> None:
    desk = desk_type()  # the fixture is only the class
    desk.open_market(lot_e8=1, min_notional_e8=1)
    desk.deposit("10000")
    desk.set_fees(f"0:{rate_text(maker)}:{rate_text(taker)}")
    quantity_e8 = max(E8 // 10, sum(each for each, _ in fills))
    price = f"{price_cents / 100:.2f}"
    order = desk.place(Side.BUY, f"{quantity_e8 / E8:.8f}", price).order
    paid: dict[Liquidity, int] = dict.fromkeys(Liquidity, 0)
    fees_e8 = 0
    for filled_e8, liquidity in fills:
        event = desk.execute(order, f"{filled_e8 / E8:.8f}", price, liquidity=liquidity)
        paid[liquidity] += event.execution.notional_e8
        fees_e8 += event.execution.fee_e8
    exact = paid[Liquidity.MAKER] * maker + paid[Liquidity.TAKER] * taker
    assert fees_e8 == -(-exact // PPM)
    end = desk.end(order, EndReason.CANCELED)
    assert end.order.locked_e8 == 0
    assert desk.held()[1] == 0


@pytest.mark.parametrize(
    ("tiers", "problem"),
    [
        ([], "1 to 20 tiers"),
        ([(5, 0, 0)], "the first from volume 0"),
        ([(0, 0, 0), (5, 0, 0), (5, 0, 0)], "a higher volume"),
        ([(0, 0, 0), (1 << 63, 0, 0)], "nobody trades that much"),
        ([(0, -1, 0)], "from 0 to 1"),
        ([(0, 0, PPM + 1)], "from 0 to 1"),
        ([(each, 0, 0) for each in range(21)], "1 to 20 tiers"),
    ],
)
def test_what_is_no_schedule_is_never_decided(
    tiers: list[tuple[int, int, int]], problem: str
) -> None:
    parts = tuple(
        FeeTier(volume_e8=volume, maker_fee_ppm=maker, taker_fee_ppm=taker)
        for volume, maker, taker in tiers
    )
    with pytest.raises(ValueError, match=problem):
        SetFees(tiers=parts)
    body = encode(SetFees(tiers=(FeeTier(volume_e8=0, maker_fee_ppm=0, taker_fee_ppm=0),)))
    known = b'{"volume_e8":"0","maker_fee_ppm":0,"taker_fee_ppm":0}'
    assert known in body
    wrong = b",".join(map(encode, parts))
    with pytest.raises(PoisonMessage):
        COMMANDS.decode(SetFees.TYPE, body.replace(known, wrong))


def test_rates_are_read_and_written_exactly() -> None:
    assert rate_ppm("0.000001") == 1
    assert rate_text(1_500) == "0.0015"
    with pytest.raises(ValueError, match="6 decimals"):
        rate_ppm("0.0000001")
