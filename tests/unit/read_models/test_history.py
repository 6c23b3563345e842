"""What is told of the past is what was told then: every version of a random session."""

from collections.abc import Mapping
from itertools import product
from typing import Any, Final, NamedTuple

import pytest
from journals import MARKETS, START_MS, History

from read_models import history as past
from read_models.activity import queries as activity
from read_models.activity.projection import PROJECTION as ACTIVITY
from read_models.orders import queries as orders
from read_models.orders.projection import PROJECTION as ORDERS
from read_models.past import Until
from read_models.portfolio import queries as portfolio
from read_models.portfolio.projection import PROJECTION as PORTFOLIO
from runtime.errors import Unavailable
from runtime.memory_table import MemoryTable
from runtime.projector import Projector
from schemas.accounts import (
    ApplyReplace,
    Holding,
    OrderStatus,
    OrderType,
    PlaceOrder,
    Reason,
    RefuseReplace,
    ReplaceOrder,
    ReplaceRequested,
    Side,
)
from schemas.codec import Message
from schemas.money import E8
from schemas.topics import ACCOUNTS_JOURNAL

PROJECTIONS: Final = (ORDERS, PORTFOLIO, ACTIVITY)
QUESTIONS: Final = [
    {"asset": asset, "side": side, "status": status, "offset": offset}
    for asset, side, status, offset in product(
        (None, "ETH"), (None, Side.SELL), (None, *OrderStatus), (0, 2)
    )
]


def questions(version: int) -> list[dict[str, Any]]:
    """Some others at every version."""
    return [QUESTIONS[0], QUESTIONS[1], *QUESTIONS[version % 8 :: 8]]


class Session(History):
    """A history with two markets, in which orders are changed, too."""

    def __init__(self, seed: int, **rest: Any) -> None:
        self.times: list[int] = []
        super().__init__(seed, **rest)

    def say(self, message: Message, **rest: Any) -> Any:
        event = super().say(message, **rest)
        self.times.append(self.time_ms)
        return event

    def live(self, steps: int) -> "Session":
        for _ in range(steps // 10):
            super().live(10)
            self._place_in_the_other_market()
            for account, order_id in self._open_orders()[::3]:
                self._change(account, order_id)
        return self

    def _place_in_the_other_market(self) -> None:
        account = self.random.choice(self.accounts)
        held = self.state.account(account).holdings.get("ETH")
        self.say(
            PlaceOrder(
                account_id=account,
                asset="ETH",
                side=Side.SELL if held and held.free_e8 > E8 else Side.BUY,
                order_type=OrderType.LIMIT,
                quantity_e8=E8,
                price_e8=self.random.randrange(95, 106) * E8,
            )
        )

    def _change(self, account: str, order_id: str) -> None:
        order = self.state.account(account).orders[order_id]
        more_e8 = self.random.choice((-1, 1)) * E8 // 100
        command = ReplaceOrder(
            account_id=account,
            order_id=order_id,
            quantity_e8=order.quantity_e8 + more_e8,
            price_e8=(order.price_e8 or 0) + E8 if self.random.random() < 0.5 else None,
        )
        asked = self.say(command)
        if not isinstance(asked, ReplaceRequested) or self.random.random() < 0.2:
            return
        wanted = asked.order.replacing
        assert wanted is not None
        fact: Any = RefuseReplace(account_id=account, order_id=order_id, reason=Reason.POST_ONLY)
        if self.random.random() < 0.7:
            fact = ApplyReplace(
                account_id=account,
                order_id=order_id,
                symbol=order.symbol,
                quantity_e8=wanted.quantity_e8,
                price_e8=wanted.price_e8,
                cum_quantity_e8=asked.order.cum_quantity_e8,
            )
        self.say(fact, source=MARKETS)


class Told(NamedTuple):
    """What the read models answered of an account at a version."""

    version: int
    time_ms: int
    holdings: Mapping[str, tuple[Holding, int]]
    orders: tuple[orders.OrdersPage, ...]


@pytest.fixture(scope="module")
def session() -> Session:
    session = Session(5, accounts=3, fee_ppm=700)
    session.list_market("ETH", 700)
    return session.live(250)


async def projected(session: Session) -> MemoryTable:
    table = MemoryTable([spec for each in PROJECTIONS for spec in each.tables])
    await Projector(PROJECTIONS, ACCOUNTS_JOURNAL, 0, table).step(session.records, now_s=0)
    return table


async def tell(session: Session) -> tuple[MemoryTable, dict[str, list[Told]]]:
    """The tables after the session, and what they answered after each of its records."""
    table = MemoryTable([spec for each in PROJECTIONS for spec in each.tables])
    projector = Projector(PROJECTIONS, ACCOUNTS_JOURNAL, 0, table)
    told: dict[str, list[Told]] = {each: [] for each in session.accounts}
    for record in session.records:
        await projector.step([record], now_s=0)
        for account in session.accounts:
            now = await portfolio.head(table, account)
            if now is not None and (not told[account] or told[account][-1].version < now.version):
                told[account].append(await live(table, account, now.version, now.time_ms))
    return table, told


async def live(table: MemoryTable, account: str, version: int, time_ms: int) -> Told:
    held = await portfolio.holdings(table, account)
    pages = [await orders.orders(table, account, **each, limit=3) for each in questions(version)]
    return Told(
        version,
        time_ms,
        {each.holding.asset: (each.holding, each.time_ms) for each in held.rows},
        tuple(pages),
    )


async def asked(table: MemoryTable, account: str, told: Told) -> Told:
    """The same answers, asked for later."""
    pages = [
        await past.orders(table, account, version=told.version, **each, limit=3)
        for each in questions(told.version)
    ]
    cash = await past.cash(table, account, told.version)
    mark = await activity.mark(table, account, Until(told.version))
    head = await past.head(table, account, Until(told.version))
    assert head is not None
    holdings = {asset: (held, told.holdings[asset][1]) for asset, held in mark.holdings.items()}
    holdings.pop("USD", None)
    if cash is not None:
        holdings["USD"] = (cash.holding, cash.time_ms)
    return Told(head.version, head.time_ms, holdings, tuple(pages))


def without_locks(holding: Holding) -> tuple[Any, ...]:
    """What a portfolio shows of a holding."""
    total_e8 = holding.free_e8 + holding.locked_e8
    return total_e8, holding.cost_e8, holding.realized_e8, holding.created_at_ms


async def test_every_version_is_told_as_it_was_told_then(session: Session) -> None:
    table, told = await tell(session)
    replaced = [event for event, _ in session.events if isinstance(event, ReplaceRequested)]
    assert len(replaced) > 20
    for account in session.accounts:
        assert len(told[account]) > 100
        for then in told[account]:
            now = await asked(table, account, then)
            assert (now.version, now.time_ms) == (then.version, then.time_ms)
            assert now.holdings.get("USD") == then.holdings.get("USD")
            shown = {asset: without_locks(each) for asset, (each, _) in now.holdings.items()}
            expected = {asset: without_locks(each) for asset, (each, _) in then.holdings.items()}
            assert shown == {asset: each for asset, each in expected.items() if asset in shown}
            # an asset that is only locked, or not yet bought, has no movement: it had nothing
            assert not any(each[0] for asset, each in expected.items() if asset not in shown)
            assert now.orders == then.orders


def changes(session: Session, account: str) -> list[tuple[int, int]]:
    """Versions and times of what changed the account."""
    return [
        (version, time_ms)
        for (event, version), time_ms in zip(session.events, session.times, strict=True)
        if event.TYPE in portfolio.CONCERNS and event.account_id == account
    ]


async def test_a_time_is_the_last_version_until_then(session: Session) -> None:
    table = await projected(session)
    for account in session.accounts:
        known = changes(session, account)
        for time_ms in range(START_MS, session.time_ms + 2, 7):
            head = await past.head(table, account, Until(before_ms=time_ms + 1))
            earlier = [version for version, at_ms in known if at_ms <= time_ms]
            assert (head.version if head else 0) == max(earlier, default=0)


async def test_before_the_first_event_there_is_nothing(session: Session) -> None:
    table = await projected(session)
    for account in (session.accounts[0], "nobody"):
        assert await past.head(table, account, Until(0)) is None
        assert await past.cash(table, account, 0) is None
        for status in (None, OrderStatus.REJECTED):
            page = await past.orders(table, account, version=0, status=status)
            assert page == orders.OrdersPage((), has_more=False)


async def test_rows_of_an_earlier_build_are_not_mistaken(session: Session) -> None:
    table = await projected(session)
    for row in table.rows("orders").values():
        row.pop("accepted", None)  # type: ignore[attr-defined]
    with pytest.raises(Unavailable, match="project it anew"):
        await past.head(table, session.accounts[0], Until(100))
