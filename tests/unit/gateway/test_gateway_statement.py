"""A statement adds up for every cut of an account's history."""

import csv
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from journals import START_MS, History

from gateway import statement
from gateway.problems import Problem
from gateway.statement import Period, csv_text, json_view, read
from read_models.activity.projection import PROJECTION
from runtime.memory_table import MemoryTable
from runtime.projector import Projector
from schemas.accounts import DepositFunds, OrderType, PlaceOrder, Side
from schemas.money import E8, parse_e8
from schemas.topics import ACCOUNTS_JOURNAL

Json = dict[str, Any]
State = Mapping[str, int]


class Told(History):
    """A history that keeps what every account had after each event, with the event's time."""

    def __init__(self, seed: int, **rest: Any) -> None:
        self.told: list[tuple[int, dict[str, State]]] = []
        super().__init__(seed, **rest)

    def say(self, message: Any, **rest: Any) -> Any:
        event = super().say(message, **rest)
        self.told.append((self.time_ms, {each: self._held(each) for each in self.accounts}))
        return event

    def _held(self, account: str) -> State:
        holdings = self.state.account(account).holdings.values()
        return {each.asset: each.free_e8 + each.locked_e8 for each in holdings}

    def before(self, account: str, time_ms: int | None) -> State:
        """What the decider had of the account before this time."""
        earlier = [held for at, held in self.told if time_ms is None or at < time_ms]
        return earlier[-1][account] if earlier else {}


@pytest.fixture(scope="module", params=[0, 700], ids=["without fees", "with fees"])
def history(request: pytest.FixtureRequest) -> Told:
    history = Told(57, accounts=3, fee_ppm=request.param)
    history.live(400)
    return history


@pytest.fixture
async def table(history: Told) -> MemoryTable:
    return await projected(history)


async def projected(history: History) -> MemoryTable:
    table = MemoryTable(PROJECTION.tables)
    projector = Projector((PROJECTION,), ACCOUNTS_JOURNAL, 0, table)
    for start in range(0, len(history.records), 25):
        await projector.step(history.records[start : start + 25], now_s=0)
    return table


def balances(view: Json, side: str) -> Counter[str]:
    return Counter({each["asset_id"]: parse_e8(each["balance"]) for each in view[side]})


def check(view: Json, opening: State, closing: State) -> None:
    """Both ends are the decider's, and what moved lies between them."""
    held = balances(view, "opening")
    assert held == Counter(opening)
    for each in view["movements"]:
        held[each["asset_id"]] += parse_e8(each["amount"])
        assert held[each["asset_id"]] == parse_e8(each["balance"])
    assert held == balances(view, "closing") == Counter(closing)


async def test_any_period_adds_up(table: MemoryTable, history: Told) -> None:
    dice, end_ms = Random(3), history.time_ms + 2
    moved = 0
    for _ in range(60):
        account = dice.choice(history.accounts)
        cuts = sorted(dice.randrange(START_MS - 1, end_ms) for _ in range(2))
        period = Period(dice.choice((None, cuts[0])), dice.choice((None, cuts[1])))
        view = json_view(await read(table, account, period), period)
        opening = {} if period.begin_ms is None else history.before(account, period.begin_ms)
        check(view, opening, history.before(account, period.end_ms))
        moved += len(view["movements"])
    assert moved > 500


async def test_periods_that_meet_have_every_movement_once(
    table: MemoryTable, history: Told
) -> None:
    account = history.accounts[0]
    whole = Period(None, None)
    expected = json_view(await read(table, account, whole), whole)["movements"]
    assert {each["type"] for each in expected} >= {"deposit", "withdraw", "bought", "sold"}
    edges = [None, *range(START_MS, history.time_ms, 97), None]
    listed: list[Json] = []
    for begin_ms, end_ms in pairwise(edges):
        period = Period(begin_ms, end_ms)
        listed += json_view(await read(table, account, period), period)["movements"]
    assert listed == expected


async def test_each_asset_has_its_own_balance() -> None:
    history = Told(1, accounts=1)
    (account,) = history.accounts
    history.say(DepositFunds(account_id=account, amount_e8=900 * E8))
    quantities_e8 = {"BTC": E8, "BT": 2 * E8, "BTC2": 3 * E8, "ZEC": E8 // 2}
    for asset, quantity_e8 in quantities_e8.items():
        if asset != "BTC":
            history.list_market(asset)
        buy = PlaceOrder(
            account_id=account,
            asset=asset,
            side=Side.BUY,
            order_type=OrderType.MARKET,
            quantity_e8=quantity_e8,
        )
        history.fill(account, history.say(buy).order.order_id)
    period = Period(history.time_ms + 1, None)
    view = json_view(await read(await projected(history), account, period), period)
    assert balances(view, "opening") == Counter(quantities_e8, USD=250 * E8)
    check(view, history.before(account, None), history.before(account, None))


async def test_csv_says_the_same(table: MemoryTable, history: Told) -> None:
    account = history.accounts[2]
    period = Period(START_MS + 200, START_MS + 600)
    found = await read(table, account, period)
    view = json_view(found, period)
    rows = list(csv.DictReader(csv_text(found, period).splitlines()))
    kinds = [each["type"] for each in rows]
    sides = len(view["opening"])
    assert kinds[:sides] == ["opening"] * sides
    assert kinds[-sides:] == ["closing"] * sides
    written = [{name: each or None for name, each in row.items()} for row in rows[sides:-sides]]
    assert written == view["movements"]
    assert len(written) > 20


async def test_a_period_with_too_many_movements_is_refused(
    table: MemoryTable, history: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = history.accounts[0]
    most = (await read(table, account, Period(None, None))).closing.sequence
    monkeypatch.setattr(statement, "MOVEMENTS_MAX", most)
    await read(table, account, Period(None, None))
    monkeypatch.setattr(statement, "MOVEMENTS_MAX", most - 1)
    with pytest.raises(Problem, match="statement-too-long"):
        await read(table, account, Period(None, None))


async def test_nobody_had_nothing_and_has_nothing(table: MemoryTable) -> None:
    for period in (Period(None, None), Period(START_MS, START_MS + 5)):
        view = json_view(await read(table, "nobody", period), period)
        nothing = [{"asset_id": "USD", "balance": "0"}]
        assert (view["opening"], view["movements"], view["closing"]) == (nothing, [], nothing)
