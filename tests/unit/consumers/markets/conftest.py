from collections import deque
from typing import Any

import pytest

from consumers.markets.context import MarketsContext
from consumers.markets.invariants import check
from schemas.accounts import OrderType, Side, TimeInForce
from schemas.codec import Message
from schemas.envelope import Cause, ReplyRoute
from schemas.markets import (
    CancelRestingOrder,
    ListMarket,
    Quote,
    ReplaceRestingOrder,
    Rules,
    SubmitOrder,
    TickClock,
    UpdateQuote,
)
from schemas.money import E8
from schemas.topics import MARKETS_COMMANDS

RULES = Rules(tick_e8=E8 // 100, lot_e8=1_000, min_notional_e8=E8, stale_after_ms=5_000)


class Partition:
    """One partition of markets, driven as the protocol drives it; prices and sizes in units."""

    def __init__(self) -> None:
        self.context = MarketsContext()
        self.state = self.context.empty()
        self.history: list[tuple[Message, Cause]] = []
        self.now_ms = 1_000
        self.offset = 0
        self.sequence = 0

    def handle(self, command: Message, *, reply_to: ReplyRoute | None = None) -> list[Message]:
        cause = Cause(
            "markets.commands", 2, self.offset, self.now_ms, f"c{self.offset}", reply_to=reply_to
        )
        self.offset += 1
        entities = list(self.context.entities(self.state))
        before = {each: self.context.dump(self.state, each) for each in entities}
        events = list(self.context.decide(self.state, command, cause))
        assert {each: self.context.dump(self.state, each) for each in entities} == before
        for event in events:
            self.context.evolve(self.state, event, cause)
            self.history.append((event, cause))
        check(self.state)
        return events

    def open(self, symbol: str = "BTC-USD", rules: Rules = RULES) -> list[Message]:
        return self.handle(
            ListMarket(symbol=symbol, asset=symbol.split("-", maxsplit=1)[0], rules=rules)
        )

    def quote(  # noqa: PLR0913  # a quote has so many parts
        self,
        bid: float,
        ask: float,
        *,
        bid_size: float = 1,
        ask_size: float = 1,
        last: float | None = None,
        feed_id: str = "test",
        symbol: str = "BTC-USD",
    ) -> list[Message]:
        self.sequence += 1
        quote = Quote(
            feed_id=feed_id,
            sequence=self.sequence,
            bid_e8=round(bid * E8),
            bid_size_e8=round(bid_size * E8),
            ask_e8=round(ask * E8),
            ask_size_e8=round(ask_size * E8),
            last_e8=round((last or (bid + ask) / 2) * E8),
        )
        return self.handle(UpdateQuote(symbol=symbol, quote=quote))

    def order(  # noqa: PLR0913  # an order has so many parts
        self,
        order_id: str,
        side: Side,
        quantity: float,
        price: float | None = None,
        *,
        protection: float | None = None,
        tif: TimeInForce = TimeInForce.GTC,
        account_id: str | None = None,
        deadline_ms: int | None = None,
        symbol: str = "BTC-USD",
        **more: Any,
    ) -> list[Message]:
        edge = price if price is not None else protection
        assert edge is not None
        return self.handle(
            SubmitOrder(
                symbol=symbol,
                account_id=account_id or f"account-of-{order_id}",
                order_id=order_id,
                side=side,
                order_type=OrderType.MARKET if price is None else OrderType.LIMIT,
                time_in_force=tif,
                quantity_e8=round(quantity * E8),
                price_e8=None if price is None else round(price * E8),
                protection_price_e8=round(edge * E8),
                deadline_ms=deadline_ms,
                **more,
            )
        )

    def cancel(self, order_id: str, *, account_id: str | None = None) -> list[Message]:
        return self.handle(
            CancelRestingOrder(
                symbol="BTC-USD",
                account_id=account_id or f"account-of-{order_id}",
                order_id=order_id,
            )
        )

    def replace(
        self,
        order_id: str,
        quantity: float,
        price: float | None,
        *,
        account_id: str | None = None,
        **more: Any,
    ) -> list[Message]:
        return self.handle(
            ReplaceRestingOrder(
                symbol="BTC-USD",
                account_id=account_id or f"account-of-{order_id}",
                order_id=order_id,
                quantity_e8=round(quantity * E8),
                price_e8=None if price is None else round(price * E8),
                **more,
            )
        )

    def tick(self) -> list[Message]:
        return self.handle(TickClock())

    def to_itself(self, events: list[Message]) -> list[Message]:
        """What the last events send to markets."""
        return [
            each.message
            for event, cause in self.history[len(self.history) - len(events) :]
            for each in self.context.outbox(event, cause)
            if each.topic == MARKETS_COMMANDS
        ]

    def go_on(self, events: list[Message]) -> list[Message]:
        """The events after these, up to where the market has nothing more to tell itself."""
        told = deque(self.to_itself(events))
        after: list[Message] = []
        while told:
            events = self.handle(told.popleft())
            told += self.to_itself(events)
            after += events
        return after

    def dumped(self) -> dict[str, bytes]:
        return {
            each: self.context.dump(self.state, each)
            for each in sorted(self.context.entities(self.state))
        }

    def replayed(self) -> dict[str, bytes]:
        """The dump of a state that was folded from the events alone."""
        other = Partition()
        for event, cause in self.history:
            other.context.evolve(other.state, event, cause)
        return other.dumped()

    def restored(self) -> "Partition":
        """A partition loaded from this one's dump."""
        other = Partition()
        for entity, stored in self.dumped().items():
            other.context.load(other.state, entity, stored)
        return other


@pytest.fixture
def partition_class() -> type[Partition]:
    return Partition


@pytest.fixture
def empty() -> Partition:
    return Partition()


@pytest.fixture
def market() -> Partition:
    """BTC-USD is open, quoted at 99 to 101 with 10 BTC a side."""
    partition = Partition()
    partition.open()
    partition.quote(99, 101, bid_size=10, ask_size=10, last=100)
    return partition
