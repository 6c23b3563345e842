import msgspec
import pytest

from read_models.markets import queries
from read_models.markets.projection import PROJECTION
from read_models.markets.table import MARKETS
from runtime.memory_table import MemoryTable
from runtime.table import Checkpoint, Put
from schemas.codec import Message
from schemas.envelope import Cause, Recorded
from schemas.markets import (
    EVENTS,
    ClockTicked,
    CollarMoved,
    MarketHalted,
    MarketListed,
    MarketResumed,
    Quote,
    QuoteUpdated,
    Rules,
)
from schemas.money import E8
from schemas.topics import MARKETS_JOURNAL

RULES = Rules(tick_e8=E8 // 100, lot_e8=1_000, min_notional_e8=E8)


def quoted(last_e8: int = 100 * E8, symbol: str = "BTC-USD", *, time_ms: int = 5) -> QuoteUpdated:
    quote = Quote(
        feed_id="recorded",
        sequence=1,
        bid_e8=last_e8 - 1,
        bid_size_e8=E8,
        ask_e8=last_e8 + 1,
        ask_size_e8=E8,
        last_e8=last_e8,
        time_ms=time_ms,
        simulated=symbol != "BTC-USD",
    )
    return QuoteUpdated(symbol=symbol, quote=quote)


def listed(asset: str = "BTC", *, is_open: bool = True) -> MarketListed:
    return MarketListed(symbol=f"{asset}-USD", asset=asset, rules=RULES, is_open=is_open)


async def projected(*events: Message) -> MemoryTable:
    table = MemoryTable(PROJECTION.tables)
    checkpoint = None
    for n, event in enumerate(events, start=1):
        cause = Cause("markets.commands", 0, n, n, f"c{n}")
        recorded = Recorded(MARKETS_JOURNAL, 0, n, 1, event.TYPE, "BTC-USD", n, cause)
        row = {"kind": "checkpoint", "symbol": "markets.journal/0", "offset": n}
        changes = PROJECTION.project(event, recorded)
        checkpoints = [Checkpoint(MARKETS.name, row, checkpoint)]
        await table.transact(changes, checkpoints=checkpoints)
        checkpoint = row
    return table


async def test_a_market_is_its_terms_and_its_newest_quote() -> None:
    table = await projected(listed(), quoted(), quoted(101 * E8, time_ms=9))
    found = await queries.market(table, "BTC-USD")
    assert found == queries.Market(
        symbol="BTC-USD",
        asset="BTC",
        rules=RULES,
        is_open=True,
        quote=quoted(101 * E8, time_ms=9).quote,
    )


@pytest.mark.parametrize(("event", "is_open"), [(MarketHalted, False), (MarketResumed, True)])
async def test_a_halt_closes_a_market_and_a_resumption_opens_it(
    event: type[MarketHalted | MarketResumed], *, is_open: bool
) -> None:
    opposite = listed(is_open=not is_open)
    table = await projected(opposite, event(symbol="BTC-USD", asset="BTC", rules=RULES))
    found = await queries.market(table, "BTC-USD")
    assert found is not None
    assert found.is_open is is_open


async def test_assets_come_by_rank_whether_they_are_traded_or_not() -> None:
    table = await projected(listed("DOGE"), listed("ABC"), listed("BTC"), quoted())
    assets = await queries.list_assets(table)
    assert [each.asset_id for each in assets] == ["BTC", "ETH", "XRP", "SOL", "DOGE", "ABC"]
    assert [each.market is not None for each in assets] == [True, False, False, False, True, True]
    assert assets[0].description is not None
    assert assets[0].description.name == "Bitcoin"
    assert assets[-1].description is None


async def test_an_asset_is_found_when_it_is_described_or_traded() -> None:
    table = await projected(listed("ABC"))
    described = await queries.asset(table, "ETH")
    assert described is not None
    assert described.market is None
    assert await queries.asset(table, "ABC") is not None
    assert await queries.asset(table, "NOPE") is None


async def test_prices_are_the_last_ones_quoted() -> None:
    table = await projected(listed(), quoted(), quoted(7 * E8, "ETH-USD", time_ms=8))
    assert await queries.prices(table) == {
        "BTC": queries.Price(100 * E8, 5, simulated=False),
        "ETH": queries.Price(7 * E8, 8, simulated=True),
    }
    assert await queries.price_e8(table, "ETH") == 7 * E8
    assert await queries.price_e8(table, "SOL") is None


async def test_a_market_without_a_quote_has_no_price() -> None:
    table = await projected(listed())
    found = await queries.market(table, "BTC-USD")
    assert found is not None
    assert found.quote is None
    assert await queries.price_e8(table, "BTC") is None


def test_events_that_concern_no_row_change_none() -> None:
    cause = Cause("markets.commands", 0, 1, 1, "c1")
    recorded = Recorded(MARKETS_JOURNAL, 0, 1, 1, "", "BTC-USD", 1, cause)
    collar = CollarMoved(symbol="BTC-USD", last_e8=2, low_e8=1, high_e8=3)
    for event in (ClockTicked(), collar):
        assert PROJECTION.project(event, recorded) == ()
        assert event.TYPE not in queries.CONCERNS
    assert set(EVENTS.types) >= queries.CONCERNS


def test_what_is_stored_of_a_quote_reads_back_exactly() -> None:
    cause = Cause("markets.commands", 0, 1, 1, "c1")
    recorded = Recorded(MARKETS_JOURNAL, 0, 1, 1, "", "BTC-USD", 1, cause)
    event = quoted(2**70)
    (change,) = PROJECTION.project(event, recorded)
    assert isinstance(change, Put)
    assert msgspec.convert(change.row["quote"], Quote) == event.quote
