"""A stateful comparison with a matcher that is too simple to be wrong."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from consumers.markets.matching import FILLS_MAX
from schemas.accounts import EndReason, Reason, SelfTradePrevention, Side, TimeInForce
from schemas.codec import Message
from schemas.markets import HaltMarket, OrderEnded, OrderRested, ResumeMarket, TradeExecuted
from schemas.money import E8, notional_floor

BUY, SELL = Side.BUY, Side.SELL
OTHER = {BUY: SELL, SELL: BUY}
PRICES = st.integers(98, 102)
WISHES = st.lists(
    st.tuples(
        st.sampled_from(Side),
        PRICES,
        st.integers(1, 6),
        st.sampled_from([*TimeInForce, TimeInForce.GTC, TimeInForce.GTC]),
        st.sampled_from([False, False, True]),
        st.sampled_from([1, 2_500, 10_000]),
        st.sampled_from(["alice", "bob", "carol"]),
        st.sampled_from([False, False, True]),
        st.sampled_from(SelfTradePrevention),
    ),
    min_size=1,
    max_size=6,
)
HOUSE = "house"
RESTING_TIFS = {TimeInForce.GTC, TimeInForce.DAY, TimeInForce.GTD}

Trade = tuple[str, str, int, int]
"""Maker, taker, price, quantity, in whole units."""


@dataclass
class Order:
    order_id: str
    side: Side
    limit: int
    quantity: int
    is_market: bool
    tif: TimeInForce
    expires_ms: int | None = None
    post_only: bool = False
    account_id: str = ""
    prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST
    leaves: int = 0
    met_itself: bool = False


@dataclass
class Reference:
    """Keeps everything in one list in order of arrival and looks for the best each time."""

    resting: list[Order] = field(default_factory=list[Order])
    left: dict[Side, int] = field(default_factory=lambda: {BUY: 0, SELL: 0})
    prices: dict[Side, int] = field(default_factory=lambda: {BUY: 0, SELL: 0})
    quoted_ms: int = 0
    is_open: bool = True
    over: set[str] = field(default_factory=set[str])

    def pass_time(self, now_ms: int) -> None:
        """Whatever is over is gone, whether a tick came or not."""
        over = [each for each in self.resting if (each.expires_ms or now_ms + 1) <= now_ms]
        self.over.update(each.order_id for each in over)
        self.resting = [each for each in self.resting if each not in over]

    def best(self, side: Side, now_ms: int) -> tuple[int, Order | None] | None:
        """The best price on a side and whose it is; the house comes after all at its price."""
        sign = -1 if side is BUY else 1
        found: list[tuple[int, int, int, Order | None]] = [
            (sign * each.limit, 0, n, each)
            for n, each in enumerate(self.resting)
            if each.side is side
        ]
        if self.left[side] and now_ms - self.quoted_ms <= 5_000:
            found.append((sign * self.prices[side], 1, 0, None))
        if not found:
            return None
        price, _, _, order = min(found, key=lambda each: each[:3])
        return sign * price, order

    def submit(self, order: Order, now_ms: int) -> tuple[list[Trade], EndReason | None]:
        if not self.is_open:
            return [], EndReason.REJECTED
        sign, best = (1 if order.side is BUY else -1), self.best(OTHER[order.side], now_ms)
        if order.post_only and best and sign * best[0] <= sign * order.limit:
            return [], EndReason.EXPIRED
        before = [(each, each.leaves) for each in self.resting], dict(self.left)
        order.leaves = order.quantity
        trades = self.take(order, now_ms)
        if not order.leaves:
            return trades, EndReason.FILLED
        end = EndReason.CANCELED if order.met_itself else EndReason.EXPIRED
        if order.tif is TimeInForce.FOK:
            self.resting = [each for each, _ in before[0]]
            for each, leaves in before[0]:
                each.leaves = leaves
            self.left = before[1]
            return [], end
        if order.met_itself or order.is_market or order.tif not in RESTING_TIFS:
            return trades, end
        self.resting.append(order)
        return trades, None

    def replace(
        self, order: Order, price: int, quantity: int, now_ms: int
    ) -> tuple[list[Trade], Reason | bool]:
        """Its trades, and why not or whether it keeps its priority."""
        filled = order.quantity - order.leaves
        if not self.is_open or quantity <= filled:
            return [], Reason.QUANTITY_FILLED if self.is_open else Reason.MARKET_HALTED
        if price == order.limit and quantity <= order.quantity:
            order.quantity, order.leaves = quantity, quantity - filled
            return [], True
        sign, best = (1 if order.side is BUY else -1), self.best(OTHER[order.side], now_ms)
        if order.post_only and best and sign * best[0] <= sign * price:
            return [], Reason.POST_ONLY
        self.resting.remove(order)
        order.limit, order.quantity, order.leaves = price, quantity, quantity - filled
        trades = self.take(order, now_ms)
        if order.leaves and not order.met_itself:
            self.resting.append(order)
        return trades, False

    def take(self, order: Order, now_ms: int) -> list[Trade]:
        """Trade with the best as long as the limit allows."""
        trades: list[Trade] = []
        sign = 1 if order.side is BUY else -1
        while order.leaves and (best := self.best(OTHER[order.side], now_ms)):
            if sign * best[0] > sign * order.limit:
                break
            if best[1] is not None and best[1].account_id == order.account_id:
                if order.prevention is not SelfTradePrevention.CANCEL_NEWEST:
                    self.resting.remove(best[1])
                if order.prevention is not SelfTradePrevention.CANCEL_OLDEST:
                    order.met_itself = True
                    break
                continue
            trades.append(self.trade(order, best[1], best[0]))
        return trades

    def trade(self, order: Order, maker: Order | None, price: int) -> Trade:
        offered = self.left[OTHER[order.side]] if maker is None else maker.leaves
        quantity = min(order.leaves, offered)
        order.leaves -= quantity
        if maker is None:
            self.left[OTHER[order.side]] -= quantity
            return HOUSE, order.order_id, price, quantity
        maker.leaves -= quantity
        if not maker.leaves:
            self.resting.remove(maker)
        return maker.order_id, order.order_id, price, quantity

    def cross(self, now_ms: int) -> list[Trade]:
        """The house takes what its prices reach, best first, at the resting order's price."""
        trades: list[Trade] = []
        if not self.is_open or now_ms - self.quoted_ms > 5_000:
            return trades
        for side in (BUY, SELL):
            sign = 1 if side is BUY else -1
            reached = [
                each
                for each in self.resting
                if each.side is OTHER[side] and sign * each.limit <= sign * self.prices[side]
            ]
            for each in sorted(reached, key=lambda one, sign=sign: sign * one.limit):
                quantity = min(self.left[side], each.leaves)
                if quantity:
                    self.left[side] -= quantity
                    each.leaves -= quantity
                    trades.append((each.order_id, HOUSE, each.limit, quantity))
        self.resting = [each for each in self.resting if each.leaves]
        return trades


class Comparison(RuleBasedStateMachine):
    new_partition: Callable[[], Any]

    @initialize()
    def open_market(self) -> None:
        self.market = self.new_partition()
        self.market.open()
        self.reference = Reference()
        self.orders: dict[str, Order] = {}
        self.traded: Counter[str] = Counter()
        self.ended: dict[str, OrderEnded] = {}
        self.takers: set[str] = set()
        self.pairs: set[tuple[str, str]] = set()

    @rule(
        bid=PRICES,
        spread=st.integers(1, 3),
        bid_size=st.integers(0, 8),
        ask_size=st.integers(0, 8),
    )
    def quote(self, bid: int, spread: int, bid_size: int, ask_size: int) -> None:
        self.reference.prices = {BUY: bid, SELL: bid + spread}
        self.reference.left = {BUY: bid_size, SELL: ask_size}
        self.reference.quoted_ms = self.market.now_ms
        expected = self.reference.cross(self.market.now_ms)
        events = self.market.quote(bid, bid + spread, bid_size=bid_size, ask_size=ask_size)
        assert self.observed(events) == expected

    @rule(wishes=WISHES)
    def submit(self, wishes: list[tuple[Any, ...]]) -> None:
        for side, price, quantity, tif, is_market, lives_ms, account_id, *more in wishes:
            post_only, prevention = more
            order_id = f"o{len(self.orders)}"
            self.orders[order_id] = order = Order(order_id, side, price, quantity, is_market, tif)
            order.post_only = post_only and not is_market and tif in RESTING_TIFS
            if tif in (TimeInForce.DAY, TimeInForce.GTD) and not is_market:
                order.expires_ms = self.market.now_ms + lives_ms
            order.account_id, order.prevention = account_id, prevention
            self.submit_one(order)

    def submit_one(self, order: Order) -> None:
        expected, end = self.reference.submit(order, self.market.now_ms)
        events = self.market.order(
            order.order_id,
            order.side,
            order.quantity,
            None if order.is_market else order.limit,
            protection=order.limit,
            tif=order.tif,
            expires_at_ms=order.expires_ms,
            post_only=order.post_only,
            account_id=order.account_id,
            self_trade_prevention=order.prevention,
        )
        assert self.observed(events) == expected
        if end is None:
            assert isinstance(events[-1], OrderRested)
            assert events[-1].leaves_e8 == order.leaves * E8
        else:
            assert isinstance(events[-1], OrderEnded)
            assert (events[-1].order_id, events[-1].end) == (order.order_id, end)

    @precondition(lambda self: self.orders)
    @rule(choice=st.data())
    def cancel(self, choice: st.DataObject) -> None:
        order_id = choice.draw(st.sampled_from(sorted(self.orders)))
        rests = [each for each in self.reference.resting if each.order_id == order_id]
        events = self.market.cancel(order_id, account_id=self.orders[order_id].account_id)
        assert self.observed(events) == []
        if rests:
            self.reference.resting.remove(rests[0])
            assert self.ended[order_id].end is EndReason.CANCELED
        elif order_id not in self.reference.over:
            assert [each.TYPE for each in events] == ["markets.cancel-refused.v1"]
            assert events[0].reason is Reason.ORDER_FINAL

    @precondition(lambda self: self.reference.resting)
    @rule(choice=st.data(), price=PRICES, quantity=st.integers(1, 6))
    def replace(self, choice: st.DataObject, price: int, quantity: int) -> None:
        order = choice.draw(st.sampled_from(self.reference.resting))
        filled = order.quantity - order.leaves
        expected, result = self.reference.replace(order, price, quantity, self.market.now_ms)
        events = self.market.replace(order.order_id, quantity, price, account_id=order.account_id)
        assert order.quantity - order.leaves >= filled
        assert self.observed(events) == expected
        if isinstance(result, Reason):
            assert [each.TYPE for each in events] == ["markets.replace-refused.v1"]
            assert events[0].reason is result
        else:
            assert events[0].keeps_priority is result

    @rule()
    def halt_or_resume(self) -> None:
        wanted = HaltMarket if self.reference.is_open else ResumeMarket
        self.reference.is_open = not self.reference.is_open
        expected = self.reference.cross(self.market.now_ms)
        assert self.observed(self.market.handle(wanted(symbol="BTC-USD"))) == expected

    @rule(passed_ms=st.sampled_from([1, 2_500, 5_001]))
    def time_passes(self, passed_ms: int) -> None:
        self.market.now_ms += passed_ms
        self.reference.pass_time(self.market.now_ms)

    @rule()
    def tick(self) -> None:
        expected = self.reference.cross(self.market.now_ms)
        assert self.observed(self.market.tick()) == expected
        assert self.reference.over <= set(self.ended)

    @rule()
    def restart_from_a_snapshot(self) -> None:
        restored = self.market.restored()
        assert restored.dumped() == self.market.dumped()
        self.market.state = restored.state

    def observed(self, events: list[Message]) -> list[Trade]:
        """The trades among the events, with the checks that hold of each event by itself."""
        assert sum(isinstance(each, TradeExecuted) for each in events) <= FILLS_MAX
        trades: list[Trade] = []
        for event in events:
            if isinstance(event, TradeExecuted):
                trades.append(self.settled(event))
            if isinstance(event, OrderEnded):
                assert event.order_id not in self.ended
                self.ended[event.order_id] = event
                assert event.cum_quantity_e8 == self.traded[event.order_id] * E8
        return trades

    def settled(self, trade: TradeExecuted) -> Trade:
        assert trade.notional_e8 == notional_floor(trade.price_e8, trade.quantity_e8)
        assert trade.maker.side is OTHER[trade.taker.side]
        price, quantity = trade.price_e8 // E8, trade.quantity_e8 // E8
        for party in (trade.maker, trade.taker):
            if party.order_id is None:
                assert party.account_id == "house:BTC-USD"
                continue
            order = self.orders[party.order_id]
            self.traded[party.order_id] += quantity
            assert party.order_id not in self.ended
            assert price <= order.limit if order.side is BUY else price >= order.limit
            assert party.cum_quantity_e8 == self.traded[party.order_id] * E8
            assert party.cum_quantity_e8 + party.leaves_e8 == order.quantity * E8
        if trade.maker.order_id and trade.taker.order_id:
            self.pairs.add((trade.maker.order_id, trade.taker.order_id))
        self.takers.add(trade.taker.order_id or HOUSE)
        names = (trade.maker.order_id or HOUSE, trade.taker.order_id or HOUSE)
        return (*names, price, quantity)

    @invariant()
    def every_order_rests_or_has_ended(self) -> None:
        resting = {each.order_id for each in self.reference.resting}
        over = self.reference.over - set(self.ended)
        assert set(self.market.state.books["BTC-USD"].orders) == resting | over
        assert resting.isdisjoint(self.ended)
        assert resting | over | set(self.ended) == set(self.orders)

    @invariant()
    def nobody_trades_with_itself(self) -> None:
        assert not any(
            self.orders[maker].account_id == self.orders[taker].account_id
            for maker, taker in self.pairs
        )

    @invariant()
    def post_only_orders_never_take(self) -> None:
        assert not self.takers & {each for each, order in self.orders.items() if order.post_only}

    @invariant()
    def fok_orders_traded_whole_or_not_at_all(self) -> None:
        for order_id, order in self.orders.items():
            if order.tif is TimeInForce.FOK:
                assert self.traded[order_id] in (0, order.quantity)

    def teardown(self) -> None:
        assert self.market.replayed() == self.market.dumped()


def test_the_book_trades_as_the_reference_does(partition_class: Callable[[], Any]) -> None:
    Comparison.new_partition = staticmethod(partition_class)
    run_state_machine_as_test(
        Comparison,
        settings=settings(
            max_examples=200,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
