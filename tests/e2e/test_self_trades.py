"""Which order ends where somebody would trade with themselves: over HTTP."""

import uuid
from typing import Final

import pytest
from traders import Gateways, Json, Trader, check_problem, until

from producers.commands import CommandPublisher
from runtime.devstack.background import Stack
from schemas.markets import ListMarket, Quote, Rules, UpdateQuote
from schemas.money import E8
from schemas.topics import MARKETS_COMMANDS

SYMBOL: Final = "QUIET-USD"
"""A market of its own, where the house only sells, at 101, and one quote is good for an hour."""
RULES: Final = Rules(tick_e8=E8, lot_e8=1_000, min_notional_e8=E8, stale_after_ms=3_600_000)
QUOTE: Final = Quote(
    feed_id="test",
    sequence=1,
    bid_e8=99 * E8,
    bid_size_e8=0,
    ask_e8=101 * E8,
    ask_size_e8=1_000 * E8,
    last_e8=100 * E8,
)
MINE: Final[Json] = {
    "asset_id": "QUIET",
    "order_type": "limit_buy",
    "quantity": "1",
    "price": "100",
}


@pytest.fixture
async def quiet_stack(stack: Stack) -> Stack:
    """The shared system, where the quiet market is listed by then."""
    publisher = CommandPublisher(stack.settings, producer="operators")
    await publisher.start()
    for command in (
        ListMarket(symbol=SYMBOL, asset="QUIET", rules=RULES, unless_listed=True),
        UpdateQuote(symbol=SYMBOL, quote=QUOTE),
    ):
        await publisher.publish(
            MARKETS_COMMANDS,
            SYMBOL,
            command,
            command_id=uuid.uuid4().hex,
            expires_at_ms=publisher.clock.now_ms() + 30_000,
        )
    await publisher.stop()
    return stack


async def holder(gateways: Gateways) -> Trader:
    """Somebody who may sell 2."""
    trader = await gateways.funded()

    async def is_open() -> bool:
        return (await trader.send("POST", "/orders/test", json=MINE)).status_code == 200

    await until(is_open, limit_s=30)
    bought = await trader.order(asset_id="QUIET", quantity="2")
    assert (bought["status"], bought["average_price"]) == ("FILLED", "101")
    return trader


async def until_ended(trader: Trader, order: Json) -> None:
    """Wait until it is canceled because it met, or was met by, another of one's own."""

    async def has_ended() -> bool:
        shown = (await trader.read(f"/orders/{order['order_id']}"))["data"]
        return (shown["status"], shown["reject_reason"]) == ("CANCELED", "self-trade")

    await until(has_ended, limit_s=30)


async def open_orders(trader: Trader) -> list[str]:
    return [each["order_id"] for each in (await trader.read("/orders?status=NEW"))["data"]]


async def test_the_newer_order_says_which_one_is_canceled(quiet_stack: Stack) -> None:
    async with Gateways.of(quiet_stack) as gateways:
        trader = await holder(gateways)
        selling = MINE | {"order_type": "limit_sell"}
        first = await trader.order(**MINE)
        assert first["self_trade_prevention"] == "cancel_newest"
        await until_ended(trader, await trader.order(**selling))
        assert await open_orders(trader) == [first["order_id"]]
        second = await trader.order(**selling, self_trade_prevention="cancel_oldest")
        assert second["self_trade_prevention"] == "cancel_oldest"
        await until_ended(trader, first)
        assert await open_orders(trader) == [second["order_id"]]
        third = await trader.order(**MINE, self_trade_prevention="cancel_both")
        await until_ended(trader, second)
        await until_ended(trader, third)
        assert await open_orders(trader) == []
        assert await trader.cash() == ("798", "0")
        wrong = MINE | {"self_trade_prevention": "cancel_me"}
        check_problem(await trader.send("POST", "/orders", json=wrong), "validation-failed")
