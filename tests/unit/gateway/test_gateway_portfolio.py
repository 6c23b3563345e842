"""Cost and profits against an average-cost reference in fractions, over random histories."""

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from journals import History

from gateway.portfolio import portfolio_view
from schemas.accounts import (
    DepositFunds,
    FundsDeposited,
    FundsWithdrawn,
    OrderAccepted,
    OrderTraded,
    OrderType,
    PlaceOrder,
    Side,
)
from schemas.codec import Message
from schemas.money import E8

STEP = Fraction(1, E8)


class Reference:
    """One account's book in exact fractions, from its movements alone."""

    def __init__(self) -> None:
        self.brought = self.cash = self.quantity = self.cost = self.realized = Fraction(0)
        self.sales = 0

    def follow(self, event: Message) -> None:
        match event:
            case FundsDeposited():
                self._bring(Fraction(event.amount_e8, E8))
            case FundsWithdrawn():
                self._bring(-Fraction(event.amount_e8, E8))
            case OrderTraded(order=order, execution=done):
                traded = self._buy if order.side is Side.BUY else self._sell
                traded(
                    *(Fraction(n, E8) for n in (done.quantity_e8, done.notional_e8, done.fee_e8))
                )
            case _:
                pass

    def _bring(self, amount: Fraction) -> None:
        self.brought += amount
        self.cash += amount

    def _buy(self, quantity: Fraction, notional: Fraction, fee: Fraction) -> None:
        self.cash -= notional + fee
        self.cost += notional + fee
        self.quantity += quantity

    def _sell(self, quantity: Fraction, notional: Fraction, fee: Fraction) -> None:
        cost = self.cost * quantity / self.quantity
        self.cash += notional - fee
        self.cost -= cost
        self.realized += notional - fee - cost
        self.quantity -= quantity
        self.sales += 1


def reference(history: History, account: str) -> Reference:
    book = Reference()
    for event, _ in history.events:
        if getattr(event, "account_id", None) == account:
            book.follow(event)
    return book


def shown(history: History, account: str, price_e8: int) -> dict[str, Fraction]:
    """The portfolio's totals."""
    holdings = list(history.state.account(account).holdings.values())
    view = portfolio_view(holdings, {"BTC": price_e8})
    return {name: Fraction(each) for name, each in view.items() if isinstance(each, str)}


@given(
    seed=st.integers(0, 10**6),
    fee_ppm=st.sampled_from([0, 1, 333, 2_500, 99_999]),
    price_e8=st.integers(1, 10**6 * E8),
)
def test_profits_are_equity_less_net_deposits_to_the_last_unit(
    seed: int, fee_ppm: int, price_e8: int
) -> None:
    history = History(seed, accounts=2, fee_ppm=fee_ppm).live(60)
    for account in history.accounts:
        book, view = reference(history, account), shown(history, account, price_e8)
        assert view["cash"] == book.cash
        gained = view["total_realized_pl"] + view["total_unrealized_pl"]
        assert gained == view["equity"] - book.brought
        assert view["total_cost_basis"] + view["total_unrealized_pl"] == view["total_market_value"]
        assert 0 <= book.quantity * Fraction(price_e8, E8) - view["total_market_value"] < STEP
        # a sale takes its share of the cost rounded down, so less than a unit of each stays
        assert 0 <= view["total_cost_basis"] - book.cost <= book.sales * STEP
        assert 0 <= view["total_realized_pl"] - book.realized <= book.sales * STEP
        if not book.quantity:
            assert view["total_cost_basis"] == 0


def place(history: History, side: Side, quantity_e8: int, price_e8: int) -> str:
    (account,) = history.accounts
    event = history.say(
        PlaceOrder(
            account_id=account,
            asset="BTC",
            side=side,
            order_type=OrderType.LIMIT,
            quantity_e8=quantity_e8,
            price_e8=price_e8,
        )
    )
    assert isinstance(event, OrderAccepted)
    return event.order.order_id


@given(
    buys=st.lists(
        st.tuples(st.integers(20, 300), st.integers(9_000, 11_000)), min_size=1, max_size=4
    ),
    price_cents=st.integers(9_000, 11_000),
    cuts=st.lists(st.integers(1, 10**8), max_size=8),
)
def test_selling_everything_in_odd_parts_leaves_no_cost(
    buys: list[tuple[int, int]], price_cents: int, cuts: list[int]
) -> None:
    history = History(accounts=1, fee_ppm=333)
    (account,) = history.accounts
    history.say(DepositFunds(account_id=account, amount_e8=1_000 * E8))
    for quantity, cents in buys:
        order_id = place(history, Side.BUY, quantity * E8 // 1_000, cents * E8 // 100)
        history.fill(account, order_id)
    quantity_e8 = sum(quantity for quantity, _ in buys) * E8 // 1_000
    order_id = place(history, Side.SELL, quantity_e8, price_cents * E8 // 100)
    edges = [0, *sorted({each % quantity_e8 for each in cuts} - {0})]
    for low, high in pairwise(edges):
        history.execute(account, order_id, high - low)
        assert history.state.account(account).holdings["BTC"].cost_e8 >= 0
    history.fill(account, order_id)
    held = history.state.account(account).holdings["BTC"]
    assert (held.free_e8, held.locked_e8, held.cost_e8) == (0, 0, 0)
    view, book = shown(history, account, E8), reference(history, account)
    assert view["total_realized_pl"] == book.realized == view["equity"] - book.brought
