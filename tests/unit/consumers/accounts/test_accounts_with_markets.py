"""Accounts and markets talk through their outboxes, without a log between them."""

from collections import Counter, deque
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from consumers.accounts.context import AccountsContext
from consumers.accounts.invariants import check, check_event
from consumers.markets import triggering
from consumers.markets.book import Book
from consumers.markets.context import MarketsContext
from consumers.markets.invariants import check as check_books
from runtime.journal.context import Outgoing
from schemas.accounts import (
    CancelAllOrders,
    CancelOrder,
    DepositFunds,
    OrderType,
    PlaceOrder,
    ReplaceOrder,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from schemas.codec import Message, encode
from schemas.envelope import Cause, ReplyRoute
from schemas.markets import ListMarket, Quote, Rules, TickClock, UpdateQuote
from schemas.money import E8
from schemas.topics import ACCOUNTS_COMMANDS, MARKETS_COMMANDS

TRADERS = [f"{each:032x}" for each in range(4)]
RULES = Rules(
    tick_e8=E8 // 100, lot_e8=1_000, min_notional_e8=E8, maker_fee_ppm=1_000, taker_fee_ppm=2_500
)
QUOTE = Quote(
    feed_id="feed",
    sequence=0,
    bid_e8=0,
    bid_size_e8=5 * E8,
    ask_e8=0,
    ask_size_e8=5 * E8,
    last_e8=0,
)
Context = Any


class Exchange:
    """One partition of each context; the scheduler decides whose next message is read."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # the scheduler, not a secret
        self.time_ms = 1_700_000_000_000
        self.offset = 0
        self.sides: dict[str, tuple[Context, Any]] = {}
        for topic, context in (
            (ACCOUNTS_COMMANDS, AccountsContext()),
            (MARKETS_COMMANDS, MarketsContext()),
        ):
            self.sides[topic] = (context, context.empty())
        self.accounts = self.sides[ACCOUNTS_COMMANDS][1]
        self.markets = self.sides[MARKETS_COMMANDS][1]
        self.inbox: dict[str, deque[tuple[Outgoing, ReplyRoute | None]]] = {
            each: deque() for each in self.sides
        }
        self.asked: list[str] = []
        self.answers: Counter[str] = Counter()
        self.told: Counter[str] = Counter()
        self.clearing: Counter[str] = Counter()

    def ask(self, command: Message) -> None:
        """A client's command, which waits for its answer."""
        self.asked.append(f"command-{len(self.asked)}")
        route = ReplyRoute(0, self.asked[-1])
        self.inbox[ACCOUNTS_COMMANDS].append((Outgoing(ACCOUNTS_COMMANDS, "", command), route))

    def feed(self, command: Message) -> None:
        self.inbox[MARKETS_COMMANDS].append((Outgoing(MARKETS_COMMANDS, "", command), None))

    def run(self, steps: int | None = None) -> None:
        """Read so many messages, or all there are."""
        while steps != 0 and (waiting := [each for each in self.inbox if self.inbox[each]]):
            self._step(self.random.choice(waiting))
            steps = None if steps is None else steps - 1

    def _step(self, topic: str) -> None:
        outgoing, route = self.inbox[topic].popleft()
        context, state = self.sides[topic]
        self.offset += 1
        cause = Cause(
            topic=topic,
            partition=0,
            offset=self.offset,
            time_ms=self.time_ms,
            command_id=route.command_id if route else f"{self.offset:032x}",
            reply_to=route,
            expires_at_ms=self.time_ms + 2_000,
        )
        for event in context.decide(state, outgoing.message, cause):
            context.evolve(state, context.events.decode(event.TYPE, encode(event)), cause)
            self._watch(context, event, cause)
            for each in context.outbox(event, cause):
                self.inbox[each.topic].append((each, route if each.carries_reply else None))

    def _watch(self, context: Context, event: Message, cause: Cause) -> None:
        self.told[type(event).__name__] += 1
        if cause.reply_to and context.answers(event, cause):
            self.answers[cause.reply_to.command_id] += 1
        if isinstance(context, MarketsContext):
            check_books(self.markets)
        else:
            check_event(event)
            check(self.accounts)
            for each in getattr(event, "postings", ()):
                if each.account == "clearing:BTC-USD":
                    self.clearing[each.asset] += each.amount_e8

    # --- what happens at random -----------------------------------------------------------------

    def quote(self, sequence: int) -> None:
        mid_e8 = 100 * E8 + self.random.randint(-300, 300) * E8 // 100
        quote = replace(
            QUOTE,
            sequence=sequence,
            bid_e8=mid_e8 - E8 // 100,
            ask_e8=mid_e8 + E8 // 100,
            last_e8=mid_e8,
            time_ms=self.time_ms,
        )
        self.feed(UpdateQuote(symbol="BTC-USD", quote=quote))

    def place(self) -> None:
        pick = self.random.choice
        stop_e8 = 100 * E8 + self.random.randint(-300, 300) * E8 // 100
        self.ask(
            PlaceOrder(
                account_id=pick(TRADERS),
                asset="BTC",
                side=pick(list(Side)),
                order_type=pick(list(OrderType)),
                quantity_e8=self.random.randint(1, 800) * E8 // 100,
                price_e8=100 * E8 + self.random.randint(-400, 400) * E8 // 100,
                time_in_force=pick([TimeInForce.GTC] * 3 + [TimeInForce.IOC, TimeInForce.FOK]),
                stop_price_e8=pick([None, None, stop_e8]),
                self_trade_prevention=pick(list(SelfTradePrevention)),
            )
        )

    def cancel(self) -> None:
        if open_orders := self.open_orders():
            self.ask(self.random.choice(open_orders))

    def cancel_all(self) -> None:
        self.ask(CancelAllOrders(account_id=self.random.choice(TRADERS)))

    def replace(self) -> None:
        if open_orders := self.open_orders():
            order = self.random.choice(open_orders)
            known = self.accounts.accounts[order.account_id].orders[order.order_id]
            self.ask(
                ReplaceOrder(
                    account_id=order.account_id,
                    order_id=order.order_id,
                    quantity_e8=known.quantity_e8
                    * self.random.choice([1, 2, 3, 4])
                    // 200_000
                    * 100_000,
                    price_e8=(known.price_e8 or 0) + self.random.randint(-200, 200) * E8 // 100
                    if known.price_e8
                    else None,
                    stop_price_e8=known.stop_price_e8
                    and known.stop_price_e8 + self.random.randint(-200, 200) * E8 // 100,
                )
            )

    @property
    def book(self) -> Book:
        return self.markets.books["BTC-USD"]

    def open_orders(self) -> list[CancelOrder]:
        return [
            CancelOrder(account_id=account_id, order_id=order_id)
            for account_id, account in self.accounts.accounts.items()
            for order_id in account.orders
        ]


@pytest.mark.parametrize("seed", range(12))
def test_every_command_is_answered_once_and_every_trade_clears(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(triggering, "TRIGGERS_MAX", seed % 3 + 1)
    exchange = Exchange(seed)
    exchange.feed(ListMarket(symbol="BTC-USD", asset="BTC", rules=RULES))
    exchange.run()
    for trader in TRADERS:
        exchange.ask(DepositFunds(account_id=trader, amount_e8=9_000 * E8))
    for sequence in range(1, 200):
        exchange.time_ms += exchange.random.choice([1, 10, 100, 1_000])
        if sequence % 5:
            exchange.quote(sequence)
        act = exchange.random.choice(
            [exchange.place] * 8
            + [exchange.replace] * 3
            + [exchange.cancel] * 2
            + [exchange.cancel_all]
        )
        act()
        if sequence % 10 == 0:
            exchange.feed(TickClock())
        exchange.run(exchange.random.randint(0, 12))
    exchange.run()
    for command in exchange.open_orders():
        exchange.ask(command)
    exchange.run()
    assert exchange.open_orders() == []
    assert not exchange.book.orders
    assert not exchange.book.stops.orders
    assert not any(exchange.clearing.values())
    assert {each: exchange.answers[each] for each in exchange.asked} == dict.fromkeys(
        exchange.asked, 1
    )
    assert exchange.told["OrderTraded"] >= 10, exchange.told
    assert exchange.told["OrderCanceled"] >= 1, exchange.told
    assert exchange.told["ReplaceRequested"] >= 2, exchange.told
    assert exchange.told["StopsTriggered"] >= 2, exchange.told
