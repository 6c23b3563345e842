"""Random clients and a market that keeps to its contract, against one partition."""

from collections import Counter
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine
from msgspec.structs import replace

from consumers.accounts.rules import OPEN_ORDERS_MAX
from schemas.accounts import (
    ApplyExecution,
    CancelRequested,
    CommandRefused,
    EndOrder,
    EndReason,
    Liquidity,
    Order,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderStatus,
    OrderTraded,
    OrderType,
    PlaceOrder,
    PriceCollar,
    Reason,
    RefuseCancel,
    RefuseReplace,
    ReplaceOrder,
    ReplaceRequested,
    Side,
    TimeInForce,
)
from schemas.accounts import DepositFunds as Deposit
from schemas.accounts import WithdrawFunds as Withdraw
from schemas.candles import DAY_MS
from schemas.money import E8, notional_floor

TRADERS = ("a" * 32, "b" * 32, "c" * 32)
HOUSE = "house:BTC-USD"
LOT_E8, TICK_E8 = 1_000, E8 // 100

traders = st.sampled_from(TRADERS)
sides = st.sampled_from(Side)
cents = st.integers(min_value=-1, max_value=3_000_00).map(lambda each: each * E8 // 100)
prices = st.integers(min_value=0, max_value=300_00).map(lambda each: each * TICK_E8)
quantities = st.integers(min_value=0, max_value=3_000).map(lambda each: each * 100 * LOT_E8)
picks = st.integers(min_value=0)
fee_rates = st.sampled_from([0, 1, 333, 2_500, 100_000, 1_000_000])
Field = Any
Desk = Any  # of conftest, which importlib mode does not let us import


class Exchange(RuleBasedStateMachine):
    """The desk checks after each message what holds for one; here is what holds for all."""

    desk_type: Desk
    told: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.desk = self.desk_type()
        self.resting: dict[str, tuple[str, Order]] = {}
        self.ended: list[tuple[str, str]] = []
        self.brought: Counter[str] = Counter()

    @initialize()
    def list_the_market(self) -> None:
        self.desk.open_market(min_notional_e8=E8 // 100)
        for trader in TRADERS:
            self.desk.deposit("5000", trader)
            self.brought[trader] += 5_000 * E8
            self.place_on_a_fresh_price(trader, Side.BUY, 10 * E8, 100 * E8, "100")
            self.trade(-1, 1, 0, Liquidity.TAKER)

    # --- clients --------------------------------------------------------------------------------

    @rule(trader=traders, amount_e8=cents)
    def deposit(self, trader: str, amount_e8: int) -> None:
        event = self.desk.tell(Deposit(account_id=trader, amount_e8=amount_e8))
        if not isinstance(event, CommandRefused):
            self.brought[trader] += amount_e8

    @rule(trader=traders, amount_e8=cents)
    def withdraw(self, trader: str, amount_e8: int) -> None:
        event = self.desk.tell(Withdraw(account_id=trader, amount_e8=amount_e8))
        if not isinstance(event, CommandRefused):
            self.brought[trader] -= amount_e8

    @rule(
        trader=traders,
        side=sides,
        order_type=st.sampled_from(OrderType),
        time_in_force=st.sampled_from(TimeInForce),
        quantity_e8=quantities,
        price_e8=st.none() | prices,
        client_order_id=st.none() | st.sampled_from(["x", "y"]),
        post_only=st.booleans(),
        lives_ms=st.none() | st.sampled_from([-1, 1, 10_000]),
        stop_price_e8=st.none() | prices,
    )
    def place_anything(self, trader: str, *, lives_ms: int | None, **fields: Field) -> None:
        if lives_ms is not None:
            fields["expires_at_ms"] = self.desk.time_ms + lives_ms
        self._place(trader, **fields)

    @rule(
        trader=traders,
        side=sides,
        quantity_e8=st.integers(min_value=10, max_value=2_000).map(lambda each: each * E8 // 1_000),
        price_e8=st.none() | st.integers(50_00, 150_00).map(lambda each: each * TICK_E8),
        last=st.integers(50, 150).map(str),
        stop_price_e8=st.none() | st.integers(50_00, 150_00).map(lambda each: each * TICK_E8),
    )
    def place_on_a_fresh_price(  # noqa: PLR0913  # an order has so many parts
        self,
        trader: str,
        side: Side,
        quantity_e8: int,
        price_e8: int | None,
        last: str,
        *,
        stop_price_e8: int | None = None,
    ) -> None:
        self.desk.quote(last)
        self._place(
            trader,
            side=side,
            order_type=OrderType.LIMIT if price_e8 else OrderType.MARKET,
            quantity_e8=quantity_e8,
            price_e8=price_e8,
            stop_price_e8=stop_price_e8,
        )

    def _place(self, trader: str, **fields: Field) -> None:
        known = self.desk.stored()
        event = self.desk.tell(PlaceOrder(account_id=trader, asset="BTC", **fields))
        if isinstance(event, OrderAccepted):
            self.resting[event.order.order_id] = (trader, event.order)
            assert event.order.locked_e8 > 0
        else:
            self.told[event.order.reason] += 1
            assert self.desk.stored() == known | {trader: self.desk.stored()[trader]}
            assert trader not in known or known[trader] == self.desk.stored()[trader]

    @precondition(lambda self: self.resting or self.ended)
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        known = [(trader, each) for each, (trader, _) in self.resting.items()] + self.ended
        trader, order_id = known[pick % len(known)]
        event = self.desk.cancel(order_id, trader)
        if order_id in self.resting:
            assert isinstance(event, CancelRequested)
        else:
            assert event.reason is Reason.ORDER_FINAL

    @precondition(lambda self: self.resting)
    @rule(
        pick=picks,
        quantity_e8=st.none() | st.integers(10, 2_000).map(lambda each: each * E8 // 1_000),
        price_e8=st.none() | st.integers(50_00, 150_00).map(lambda each: each * TICK_E8),
        stop_price_e8=st.none() | st.integers(50_00, 150_00).map(lambda each: each * TICK_E8),
    )
    def replace(
        self,
        pick: int,
        quantity_e8: int | None,
        price_e8: int | None,
        stop_price_e8: int | None,
    ) -> None:
        self._replace(pick, quantity_e8, price_e8, stop_price_e8)

    @precondition(lambda self: self.resting)
    @rule(pick=picks, percent=st.integers(50, 150), agrees=st.booleans())
    def replace_and_answer(self, pick: int, percent: int, *, agrees: bool) -> None:
        """What mostly happens: a little more or less, answered before anything trades."""
        _, order = list(self.resting.values())[pick % len(self.resting)]
        quantity_e8 = order.quantity_e8 * percent // 100 // LOT_E8 * LOT_E8
        if self._replace(pick, quantity_e8, None):
            self._answer(order.order_id, agrees=agrees)

    def _replace(
        self,
        pick: int,
        quantity_e8: int | None,
        price_e8: int | None,
        stop_price_e8: int | None = None,
    ) -> bool:
        trader, order = list(self.resting.values())[pick % len(self.resting)]
        event = self.desk.tell(
            ReplaceOrder(
                account_id=trader,
                order_id=order.order_id,
                quantity_e8=quantity_e8,
                price_e8=price_e8,
                stop_price_e8=stop_price_e8,
            )
        )
        if isinstance(event, ReplaceRequested):
            self.resting[order.order_id] = (trader, event.order)
            return True
        self.told[event.reason] += 1
        return False

    # --- the market -----------------------------------------------------------------------------

    @precondition(lambda self: self.resting)
    @rule(
        pick=picks,
        share=st.integers(min_value=1, max_value=4),
        better_e8=st.integers(min_value=0, max_value=50 * E8),
        liquidity=st.sampled_from(Liquidity),
    )
    def trade(self, pick: int, share: int, better_e8: int, liquidity: Liquidity) -> None:
        """An order trades with the house, at its protection price or a better one."""
        trader, order = list(self.resting.values())[pick % len(self.resting)]
        leaves_e8 = order.quantity_e8 - order.cum_quantity_e8
        if not leaves_e8:
            return
        quantity_e8 = max(1, leaves_e8 // share)
        is_buy = order.side is Side.BUY
        worst_e8 = order.protection_price_e8
        price_e8 = max(1, worst_e8 - better_e8) if is_buy else worst_e8 + better_e8
        leg = ApplyExecution(
            account_id=trader,
            symbol="BTC-USD",
            asset="BTC",
            side=order.side,
            trade_id=f"{self.desk.offset:032x}",
            price_e8=price_e8,
            quantity_e8=quantity_e8,
            notional_e8=notional_floor(price_e8, quantity_e8),
            liquidity=liquidity,
            order_id=order.order_id,
            cum_quantity_e8=order.cum_quantity_e8 + quantity_e8,
        )
        event = self.desk.tell(leg)
        assert isinstance(event, OrderTraded)
        assert event.execution.fee_e8 >= 0
        self.resting[order.order_id] = (trader, event.order)
        opposite = Side.SELL if is_buy else Side.BUY
        self.desk.tell(replace(leg, account_id=HOUSE, side=opposite, order_id=None))

    @precondition(lambda self: self.resting)
    @rule(pick=picks, end=st.sampled_from([*EndReason][1:]))
    def end(self, pick: int, end: EndReason) -> None:
        trader, order = list(self.resting.values())[pick % len(self.resting)]
        is_filled = order.cum_quantity_e8 == order.quantity_e8
        end = EndReason.FILLED if is_filled else end
        event = self.desk.tell(
            EndOrder(
                account_id=trader,
                order_id=order.order_id,
                symbol="BTC-USD",
                end=end,
                cum_quantity_e8=order.cum_quantity_e8,
            )
        )
        assert event.order.locked_e8 == 0
        assert event.order.status is OrderStatus(end)
        del self.resting[order.order_id]
        self.ended.append((trader, order.order_id))
        del self.ended[:-50]

    @precondition(lambda self: any(order.replacing for _, order in self.resting.values()))
    @rule(pick=picks, agrees=st.booleans())
    def answer_a_replace(self, pick: int, *, agrees: bool) -> None:
        asked = [each for each in self.resting.values() if each[1].replacing]
        self._answer(asked[pick % len(asked)][1].order_id, agrees=agrees)

    def _answer(self, order_id: str, *, agrees: bool) -> None:
        trader, order = self.resting[order_id]
        wanted = order.replacing
        if agrees and wanted.quantity_e8 > order.cum_quantity_e8:
            event = self.desk.replaced(order, trader)
            assert event.order.protection_price_e8 == wanted.price_e8 or not wanted.price_e8
            assert wanted.stop_price_e8 in (None, event.order.stop_price_e8)
        else:
            reason = Reason.QUANTITY_FILLED
            event = self.desk.tell(
                RefuseReplace(account_id=trader, order_id=order.order_id, reason=reason)
            )
        assert event.order.replacing is None
        self.resting[order.order_id] = (trader, event.order)

    @precondition(lambda self: self.ended)
    @rule(pick=picks)
    def refuse_cancel(self, pick: int) -> None:
        trader, order_id = self.ended[pick % len(self.ended)]
        fact = RefuseCancel(account_id=trader, order_id=order_id, reason=Reason.ORDER_FINAL)
        assert isinstance(self.desk.tell(fact), CommandRefused)

    @rule(last_e8=prices.filter(bool))
    def move_the_price(self, last_e8: int) -> None:
        band_e8 = last_e8 // 100
        self.desk.tell(
            PriceCollar(
                symbol="BTC-USD",
                last_e8=last_e8,
                low_e8=last_e8 - band_e8,
                high_e8=last_e8 + band_e8,
            )
        )

    @rule(maker_fee_ppm=fee_rates, taker_fee_ppm=fee_rates, is_open=st.integers(0, 9).map(bool))
    def change_the_terms(self, *, maker_fee_ppm: int, taker_fee_ppm: int, is_open: bool) -> None:
        terms = self.desk.state.markets["BTC-USD"].terms
        changed = replace(
            terms, maker_fee_ppm=maker_fee_ppm, taker_fee_ppm=taker_fee_ppm, is_open=is_open
        )
        self.desk.tell(changed)

    @rule(
        volumes=st.lists(st.integers(1, 2_000), unique=True, max_size=3).map(sorted),
        rates=st.lists(st.sampled_from(["0", "0.0004", "0.1", "1"]), min_size=8, max_size=8),
    )
    def set_fees(self, volumes: list[int], rates: list[str]) -> None:
        tiers = zip((0, *volumes), rates[::2], rates[1::2], strict=False)
        self.desk.set_fees(*(f"{volume}:{maker}:{taker}" for volume, maker, taker in tiers))

    # --- time and crashes -----------------------------------------------------------------------

    @rule(elapsed_ms=st.sampled_from([1, 1_000, 5_000, DAY_MS, 11 * DAY_MS]))
    def pass_time(self, elapsed_ms: int) -> None:
        self.desk.time_ms += elapsed_ms

    @rule()
    def restore_from_snapshots(self) -> None:
        stored = self.desk.stored()
        self.desk.state = self.desk.restored()
        assert self.desk.stored() == stored

    @rule()
    def restart_by_replay(self) -> None:
        replayed = self.desk.replayed()
        assert self.desk.stored(replayed) == self.desk.stored()
        assert replayed == self.desk.state
        self.desk.state = replayed

    def teardown(self) -> None:
        self.told.update(type(event).__name__ for event, _ in self.desk.journal)

    # --- what holds for all ---------------------------------------------------------------------

    @invariant()
    def nothing_is_made_or_lost(self) -> None:
        for (_, asset), total_e8 in self._totals().items():
            assert total_e8 == 0, asset

    @invariant()
    def clearing_is_zero_when_nothing_is_in_flight(self) -> None:
        for (account, _, _), amount_e8 in self.desk.ledger.items():
            if account.startswith("clearing:"):
                assert amount_e8 == 0

    @invariant()
    def cash_is_what_was_brought_less_cost_plus_what_was_realised(self) -> None:
        for trader in TRADERS:
            holdings = self.desk.state.account(trader).holdings
            cash_e8 = sum(self.desk.held("USD", trader)) if "USD" in holdings else 0
            traded_e8 = sum(each.realized_e8 - each.cost_e8 for each in holdings.values())
            assert cash_e8 == self.brought[trader] + traded_e8

    @invariant()
    def volumes_are_what_was_traded_on_each_of_the_last_30_days(self) -> None:
        for trader in TRADERS:
            today = self.desk.time_ms // DAY_MS
            traded: Counter[int] = Counter()
            for event, cause in self.desk.journal:
                if isinstance(event, OrderTraded) and event.account_id == trader:
                    traded[cause.time_ms // DAY_MS] += event.execution.notional_e8
            known = self.desk.state.account(trader).volumes
            recent = {day: total for day, total in traded.items() if day > today - 30}
            assert {day: total for day, total in known.items() if day > today - 30} == recent
            assert len(known) <= 30

    @invariant()
    def only_open_orders_stay(self) -> None:
        known = {
            order_id for account in self.desk.state.accounts.values() for order_id in account.orders
        }
        assert known == set(self.resting)
        assert len(known) <= OPEN_ORDERS_MAX * len(TRADERS)

    def _totals(self) -> Counter[tuple[str, str]]:
        totals: Counter[tuple[str, str]] = Counter()
        for (_, asset, _), amount_e8 in self.desk.ledger.items():
            totals["all", asset] += amount_e8
        return totals


def test_no_history_makes_or_loses_money_or_a_lock(desk_type: Desk) -> None:
    told: Counter[str] = Counter()
    machine = type("ExchangeOfDesks", (Exchange,), {"desk_type": desk_type, "told": told})
    run_machine(
        machine,
        settings=settings(
            max_examples=200,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    for often in (OrderAccepted, OrderTraded):
        assert told[often.__name__] >= 200, told
    ends = (OrderFilled, OrderCanceled, OrderExpired, OrderRejected)
    assert sum(told[each.__name__] for each in ends) >= 20, told
    assert told[ReplaceRequested.__name__] + told[CancelRequested.__name__] >= 20, told
