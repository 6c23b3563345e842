from gateway.fees import fees_view
from schemas.candles import DAY_MS
from schemas.fees import NO_FEES, FeeTier
from schemas.money import E8

NOW_MS = 20_000 * DAY_MS + 5
TIERS = (
    FeeTier(volume_e8=0, maker_fee_ppm=1_000, taker_fee_ppm=2_500),
    FeeTier(volume_e8=100 * E8, maker_fee_ppm=0, taker_fee_ppm=10),
)


def test_the_tier_and_the_next_one_with_what_they_take() -> None:
    traded = {20_000: 30 * E8, 19_971: 69 * E8, 19_970: 500 * E8}
    assert fees_view(TIERS, traded, NOW_MS) == {
        "volume_30d": "99",
        "tier": 0,
        "minimum_volume_30d": "0",
        "maker_fee_rate": "0.001",
        "taker_fee_rate": "0.0025",
        "next_tier": {
            "tier": 1,
            "minimum_volume_30d": "100",
            "maker_fee_rate": "0",
            "taker_fee_rate": "0.00001",
        },
    }


def test_nothing_comes_after_the_highest_tier() -> None:
    view = fees_view(TIERS, {20_000: 100 * E8}, NOW_MS)
    assert (view["tier"], view["taker_fee_rate"], view["next_tier"]) == (1, "0.00001", None)


def test_without_a_schedule_there_is_one_tier_without_fees() -> None:
    view = fees_view(NO_FEES, {}, NOW_MS)
    assert (view["tier"], view["maker_fee_rate"], view["next_tier"]) == (0, "0", None)
