"""Answers are as /openapi.json says, of an account that has done everything."""

import json
import re
from collections.abc import AsyncIterator

import pytest
from asgi import Gateway, running_gateway
from contract import check_answer
from journals import History

from consumers.markets.context import MarketsContext
from gateway.calls import CALLS
from gateway.docs import document
from gateway.shapes import ANSWERS
from gateway.views import canceling_view, checked_view, money_view, order_view
from read_models.activity.projection import PROJECTION as ACTIVITY
from read_models.markets.projection import PROJECTION as MARKETS
from read_models.orders.projection import PROJECTION as ORDERS
from read_models.portfolio.projection import PROJECTION as PORTFOLIO
from runtime.memory_table import MemoryTable
from runtime.projector import Projector
from schemas.accounts import (
    CancelAllRequested,
    CheckOrder,
    DepositFunds,
    OrderChecked,
    OrderTraded,
    OrderType,
    PlaceOrder,
    Side,
    TimeInForce,
)
from schemas.envelope import Cause, Recorded
from schemas.markets import ListMarket, Quote, Rules, SubmitOrder, UpdateQuote
from schemas.money import E8
from schemas.topics import ACCOUNTS_JOURNAL, MARKETS_JOURNAL

PREFIX = "/api/v1"


@pytest.fixture
def history() -> History:
    return History(6, accounts=1, fee_ppm=700).live(120)


@pytest.fixture
async def gateway(history: History) -> AsyncIterator[Gateway]:
    models = (ACTIVITY, ORDERS, PORTFOLIO)
    table = MemoryTable([spec for each in (*models, MARKETS) for spec in each.tables])
    await Projector(models, ACCOUNTS_JOURNAL, 0, table).step(history.records, now_s=0)
    trade(table, history.time_ms)
    async with running_gateway(table, history.accounts[0]) as gateway:
        gateway.now_ms = history.time_ms + 1_000
        yield gateway


def trade(table: MemoryTable, time_ms: int) -> None:
    """A market with a quote, a trade, a candle and an order that rests."""
    context = MarketsContext()
    markets = context.empty()
    quote = Quote(
        feed_id="a",
        sequence=1,
        bid_e8=99 * E8,
        bid_size_e8=5 * E8,
        ask_e8=101 * E8,
        ask_size_e8=5 * E8,
        last_e8=100 * E8,
    )
    rules = Rules(tick_e8=E8, lot_e8=E8, min_notional_e8=E8, stale_after_ms=5_000)
    submit = SubmitOrder(
        symbol="BTC-USD",
        account_id="ann",
        order_id="o1",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        quantity_e8=8 * E8,
        price_e8=101 * E8,
        protection_price_e8=101 * E8,
    )
    update = UpdateQuote(symbol="BTC-USD", quote=quote)
    commands = [ListMarket(symbol="BTC-USD", asset="BTC", rules=rules), update, submit]
    for n, command in enumerate(commands):
        cause = Cause("markets.commands", 0, n, time_ms - 90_000, f"c{n}")
        for event in context.decide(markets, command, cause):
            context.evolve(markets, event, cause)
            recorded = Recorded(MARKETS_JOURNAL, 0, n, 1, event.TYPE, "BTC-USD", 1, cause)
            for change in MARKETS.project(event, recorded):
                table.apply(change)


READS = (
    "/balance",
    "/balance?as_of=3",
    "/balance/transactions?limit=5",
    "/balance/asset/BTC",
    "/balance/asset/USD",
    "/portfolio",
    "/portfolio?as_of=30",
    "/insights/portfolio",
    "/account/equity?interval=1m",
    "/account/statement",
    "/account/fees",
    "/inventory/assets",
    "/inventory/assets/BTC",
    "/time",
    "/orders?limit=100",
    "/orders?status=REJECTED",
    "/orders?as_of=20",
    "/assets/BTC/transactions",
    "/markets",
    "/markets/BTC-USD",
    "/markets/BTC-USD/trades",
    "/markets/BTC-USD/candles",
    "/markets/BTC-USD/candles?source=feed",
    "/markets/BTC-USD/book",
)


async def test_what_is_read_is_as_the_document_says(gateway: Gateway, history: History) -> None:
    for path in READS:
        answer = await gateway.get(path)  # which checks it
        assert answer.status_code == 200, f"{path} {answer.text}"
        lists = [each for each in answer.json().values() if isinstance(each, list)]
        assert all(lists), f"{path} has nothing to check"
    for order in (await gateway.get("/orders?limit=100")).json()["data"]:
        for path in (f"/orders/{order['order_id']}", f"/orders/{order['order_id']}/executions"):
            assert (await gateway.get(path)).status_code == 200
    filled = [event for event, _ in history.events if isinstance(event, OrderTraded)]
    executions = f"/orders/{filled[0].order.order_id}/executions"
    assert (await gateway.get(executions)).json()["data"]


def test_what_commands_answer_is_as_the_document_says(history: History) -> None:
    (account,) = history.accounts
    deposit = DepositFunds(account_id=account, amount_e8=E8)
    check_answer(
        "post", f"{PREFIX}/balance/deposit", 201, money_view(history.say(deposit), time_ms=0)
    )
    buy = PlaceOrder(
        account_id=account,
        asset="BTC",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity_e8=E8 // 100,
        price_e8=100 * E8,
    )
    checked = history.say(CheckOrder(order=buy))
    assert isinstance(checked, OrderChecked)
    check_answer("post", f"{PREFIX}/orders/test", 200, checked_view(checked))
    order = {"data": order_view(history.say(buy).order, version=1)}
    check_answer("post", f"{PREFIX}/orders", 201, order)
    check_answer("patch", f"{PREFIX}/orders/{'0' * 32}", 200, order)
    ids = ("0" * 32,)
    canceling = CancelAllRequested(account_id=account, orders=(), order_ids=ids)
    check_answer("delete", f"{PREFIX}/orders", 200, canceling_view(canceling))


def test_an_answer_without_a_field_is_noticed() -> None:
    with pytest.raises(AssertionError, match="required property"):
        check_answer("get", f"{PREFIX}/insights/portfolio", 200, {"data": {}})


def test_every_call_with_content_has_a_shape_and_a_statement_may_be_csv() -> None:
    assert sorted(ANSWERS) == sorted(
        (call.method, call.path.removeprefix(PREFIX)) for call in CALLS if call.success != 204
    )
    statement = document()["paths"][f"{PREFIX}/account/statement"]["get"]["responses"]["200"]
    assert statement["content"].keys() == {"application/json", "text/csv"}


def test_every_reference_leads_somewhere() -> None:
    told = document()
    references = set(re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(told)))
    assert len(references) > 10
    for each in references:
        found = told
        for name in each.split("/"):
            assert name in found, each
            found = found[name]
