"""The book as everybody sees it: orders by price, and the house behind them."""

from msgspec.structs import replace as with_changes

from gateway.answers import change_percentage
from gateway.markets import house_level, level_views
from read_models.markets.queries import Level, Market
from schemas.accounts import Side
from schemas.markets import Quote, Rules
from schemas.money import E8

NOW_MS = 1_700_000_000_000
RULES = Rules(tick_e8=E8, lot_e8=E8, min_notional_e8=E8, stale_after_ms=5_000)
QUOTE = Quote(
    feed_id="a",
    sequence=1,
    bid_e8=99 * E8,
    bid_size_e8=5 * E8 // 2,
    ask_e8=101 * E8,
    ask_size_e8=E8 // 2,
    last_e8=100 * E8,
    time_ms=NOW_MS,
)


def market(*, is_open: bool = True, quote: Quote | None = QUOTE) -> Market:
    return Market(symbol="BTC-USD", asset="BTC", rules=RULES, is_open=is_open, quote=quote)


def test_the_house_offers_whole_lots_of_what_it_quotes() -> None:
    assert house_level(market(), Side.BUY, now_ms=NOW_MS) == Level(99 * E8, 2 * E8, 1)
    assert house_level(market(), Side.SELL, now_ms=NOW_MS) is None


def test_the_house_offers_nothing_when_its_quote_is_stale_or_the_market_halted() -> None:
    assert house_level(market(), Side.BUY, now_ms=NOW_MS + 5_000) is not None
    assert house_level(market(), Side.BUY, now_ms=NOW_MS + 5_001) is None
    assert house_level(market(is_open=False), Side.BUY, now_ms=NOW_MS) is None
    assert house_level(market(quote=None), Side.BUY, now_ms=NOW_MS) is None
    asks = with_changes(QUOTE, ask_size_e8=E8)
    assert house_level(market(quote=asks), Side.SELL, now_ms=NOW_MS) == Level(101 * E8, E8, 1)


def merged(side: Side, house: int, *prices: int) -> list[tuple[str, bool]]:
    """Prices as they are listed, and which of them is the house's."""
    levels = [Level(each * E8, E8, 1) for each in prices]
    views = level_views(levels, Level(house * E8, E8, 1), side)
    return [(each["price"], each["house"]) for each in views]


def test_the_house_stands_behind_the_orders_at_its_price() -> None:
    assert merged(Side.BUY, 99, 99, 98) == [("99", False), ("99", True), ("98", False)]
    assert merged(Side.BUY, 100, 99, 98) == [("100", True), ("99", False), ("98", False)]
    assert merged(Side.SELL, 101, 101, 102) == [("101", False), ("101", True), ("102", False)]
    assert merged(Side.SELL, 103, 101, 102) == [("101", False), ("102", False), ("103", True)]
    assert merged(Side.SELL, 103) == [("103", True)]


def test_a_change_is_in_percent_with_two_decimals() -> None:
    assert change_percentage(3 * E8, 4 * E8) == 33.33
    assert change_percentage(4 * E8, 3 * E8) == -25.0
    assert change_percentage(E8, E8) == 0.0
