"""Random markets: a stop is triggered if and only if a last price reached it, in order, once."""

from random import Random
from typing import Any

import pytest

from consumers.markets import triggering
from schemas.accounts import Side, TimeInForce
from schemas.codec import Message
from schemas.markets import (
    OrderEnded,
    QuoteUpdated,
    StopArmed,
    StopsTriggered,
    TradeExecuted,
)
from schemas.money import E8

Market = Any
BUY, SELL = Side.BUY, Side.SELL


class Watcher:
    """Remembers, for each stop that waits, every last price since it came."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.waiting: dict[str, tuple[Side, int, list[int]]] = {}
        self.triggered = 0

    def watch(self, events: list[Message]) -> None:
        for event in events:
            match event:
                case StopArmed(order=order):
                    stop_e8 = order.stop_price_e8 or 0
                    self.waiting[order.order_id] = (order.side, stop_e8, [])
                case TradeExecuted():
                    self.see(event.price_e8)
                case QuoteUpdated():
                    self.see(event.quote.last_e8)
                case StopsTriggered():
                    self.check_triggered(event)
                case OrderEnded():
                    self.waiting.pop(event.order_id, None)
                case _:
                    pass

    def see(self, price_e8: int) -> None:
        if self.market.state.books["BTC-USD"].is_open:
            for _, _, prices in self.waiting.values():
                prices.append(price_e8)

    def check_triggered(self, event: StopsTriggered) -> None:
        stops = [(each, *self.waiting[each][:2]) for each in event.order_ids]
        for order_id, _, _ in stops:
            assert self.is_reached(order_id)
            del self.waiting[order_id]
            self.triggered += 1
        numbers = {each: int(each.removeprefix("s")) for each in event.order_ids}
        assert stops == sorted(
            stops,
            key=lambda each: (
                each[1] is SELL,
                each[2] if each[1] is BUY else -each[2],
                numbers[each[0]],
            ),
        )

    def is_reached(self, order_id: str) -> bool:
        side, stop_e8, prices = self.waiting[order_id]
        if side is BUY:
            return any(price_e8 >= stop_e8 for price_e8 in prices)
        return any(price_e8 <= stop_e8 for price_e8 in prices)

    def check_idle(self) -> None:
        """Whatever a price reached was triggered, unless its time was over first."""
        stops = self.market.state.books["BTC-USD"].stops.orders
        reached = [stops[each] for each in self.waiting if self.is_reached(each)]
        assert all(each.is_over(self.market.now_ms) for each in reached)


def act(market: Market, random: Random, n: int) -> list[Message]:
    """Something a client or a feed may do."""
    side = random.choice((BUY, SELL))
    price = 100 + random.randint(-30, 30) / 10
    account_id = f"a{random.randrange(4)}"
    match random.choice(("stop", "stop", "stop", "limit", "limit", "quote", "cancel", "tick")):
        case "stop":
            price = 100 + random.randint(-5, 30) / (10 if side is BUY else -10)
            limit = random.choice((None, price + random.randint(-10, 10) / 10))
            market.now_ms += 1
            return market.order(
                f"s{n}",
                side,
                random.randint(1, 20) / 10,
                limit,
                protection=price * (1.02 if side is BUY else 0.98),
                account_id=account_id,
                tif=TimeInForce.GTD if limit is not None else TimeInForce.IOC,
                expires_at_ms=market.now_ms + random.choice((50, 10_000)),
                stop_price_e8=round(price * 10) * E8 // 10,
            )
        case "limit":
            return market.order(
                f"o{n}", side, random.randint(1, 30) / 10, price, account_id=account_id
            )
        case "quote":
            size = random.choice((0, 1, 5))
            return market.quote(price - 0.1, price + 0.1, bid_size=size, ask_size=size, last=price)
        case "cancel":
            stops = list(market.state.books["BTC-USD"].stops.orders.values())
            if not stops:
                return []
            stop = random.choice(stops)
            return market.cancel(stop.order_id, account_id=stop.account_id)
        case _:
            market.now_ms += random.choice((0, 5))
            return market.tick()


@pytest.mark.parametrize("seed", range(20))
def test_a_stop_is_triggered_when_a_last_price_reached_it_and_only_then(
    market: Market, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggering, "TRIGGERS_MAX", seed % 3 + 1)
    random, watcher = Random(seed), Watcher(market)
    for n in range(150):
        events = act(market, random, n)
        watcher.watch(events)
        told = market.to_itself(events)
        while told:
            events = market.handle(told.pop(0))
            watcher.watch(events)
            told += market.to_itself(events)
        watcher.check_idle()
    assert market.replayed() == market.dumped() == market.restored().dumped()
    assert watcher.triggered >= 10
