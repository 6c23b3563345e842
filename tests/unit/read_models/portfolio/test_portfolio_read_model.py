from collections.abc import Awaitable, Callable

from journals import History

from read_models.portfolio import queries
from read_models.portfolio.projection import PROJECTION
from runtime.memory_table import MemoryTable
from runtime.projection import Projection
from schemas.accounts import DepositFunds, OrderType, PlaceOrder, SetFees, Side
from schemas.candles import DAY_MS
from schemas.fees import NO_FEES, FeeTier, volume_of
from schemas.money import E8

Folded = Callable[[Projection, History], Awaitable[MemoryTable]]


async def test_holdings_are_what_the_decider_has(folded: Folded) -> None:
    history = History(21, accounts=4, fee_ppm=300).live(300)
    table = await folded(PROJECTION, history)
    for account in history.accounts:
        known = history.state.account(account).holdings
        portfolio = await queries.holdings(table, account)
        assert {each.holding.asset: each.holding for each in portfolio.rows} == known
        for asset, held in known.items():
            row = await queries.holding(table, account, asset)
            assert row is not None
            assert row.holding == held
    assert len(table.rows("portfolio")) > 4


async def test_every_event_of_interest_moves_the_head_even_without_holdings(
    folded: Folded,
) -> None:
    history = History()
    account = history.accounts[0]
    history.say(DepositFunds(account_id=account, amount_e8=100 * E8))
    history.say(
        PlaceOrder(
            account_id=account,
            asset="BTC",
            side=Side.SELL,
            order_type=OrderType.LIMIT,
            quantity_e8=E8,
            price_e8=100 * E8,
        )
    )
    table = await folded(PROJECTION, history)
    portfolio = await queries.holdings(table, account)
    assert [each.holding.asset for each in portfolio.rows] == ["USD"]
    assert portfolio.head is not None
    assert portfolio.head.version == 2
    assert await queries.head(table, account) == portfolio.head


async def test_heads_follow_every_event_of_interest(folded: Folded) -> None:
    history = History(22).live(150)
    table = await folded(PROJECTION, history)
    for account in history.accounts:
        newest = max(
            version
            for event, version in history.events
            if event.TYPE in queries.CONCERNS and event.account_id == account
        )
        head = await queries.head(table, account)
        assert head is not None
        assert head.version == newest


async def test_what_was_never_held_is_not_there(folded: Folded) -> None:
    history = History(23).live(20)
    table = await folded(PROJECTION, history)
    account = history.accounts[0]
    assert await queries.holding(table, account, "ETH") is None
    assert await queries.holding(table, account, "-") is None
    assert await queries.holdings(table, "nobody") == queries.Portfolio((), None)


async def test_volumes_are_those_of_the_decider_whatever_days_pass(folded: Folded) -> None:
    history = History(24, accounts=3)
    for _ in range(40):
        history.time_ms += DAY_MS
        history.list_market("BTC")
        history.live(40)
    table = await folded(PROJECTION, history)
    for account in history.accounts:
        found = await queries.volumes(table, account)
        known = history.state.account(account).volumes
        assert volume_of(found.by_day, history.time_ms) == volume_of(known, history.time_ms) > 0
        assert len(found.by_day) <= 30
        assert found.head == await queries.head(table, account)
    assert await queries.volumes(table, "nobody") == queries.Volumes({}, None)


async def test_the_fees_of_a_partition_are_those_that_were_set_last(folded: Folded) -> None:
    history = History(25)
    assert await queries.tiers(await folded(PROJECTION, history), 0) == NO_FEES
    for ppm in (5, 7):
        tiers = (FeeTier(volume_e8=0, maker_fee_ppm=ppm, taker_fee_ppm=2 * ppm),)
        history.say(SetFees(tiers=tiers))
    table = await folded(PROJECTION, history)
    assert await queries.tiers(table, 0) == tiers
    assert await queries.tiers(table, 1) == NO_FEES
