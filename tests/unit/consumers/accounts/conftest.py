"""One accounts partition in memory, which checks itself after every message."""

from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from consumers.accounts.context import AccountsContext
from consumers.accounts.invariants import check, check_event
from consumers.accounts.state import Account, State
from schemas.accounts import (
    CASH,
    EVENTS,
    ApplyExecution,
    ApplyReplace,
    CancelOrder,
    DepositFunds,
    EndOrder,
    EndReason,
    Liquidity,
    MarketTerms,
    Order,
    OrderType,
    PlaceOrder,
    PriceCollar,
    Replacement,
    ReplaceOrder,
    SetFees,
    Side,
    TimeInForce,
    WithdrawFunds,
)
from schemas.codec import Message, encode
from schemas.envelope import Cause, ReplyRoute
from schemas.fees import FeeTier, rate_ppm
from schemas.money import E8, notional_floor, parse_e8

ALICE = "a" * 32
HOUSE = "house:BTC-USD"
Event = Any
Field = Any


class Desk:
    """Decides messages, evolves by what their events say on the wire, and audits each step."""

    def __init__(self) -> None:
        self.context = AccountsContext()
        self.state: State = self.context.empty()
        self.journal: list[tuple[Message, Cause]] = []
        self.ledger: Counter[tuple[str, str, str]] = Counter()
        self.time_ms = 1_700_000_000_000
        self.offset = 0

    def cause(self) -> Cause:
        self.offset += 1
        return Cause(
            topic="accounts.commands",
            partition=0,
            offset=self.offset,
            time_ms=self.time_ms,
            command_id=f"{self.offset:032x}",
            reply_to=ReplyRoute(3, f"{self.offset:032x}"),
            expires_at_ms=self.time_ms + 2_000,
        )

    def tell(self, message: Message) -> Event:
        """The one event of a message, applied, with every invariant checked."""
        cause = self.cause()
        before = self.stored()
        (event,) = self.context.decide(self.state, message, cause)
        assert self.stored() == before, "decide changed the state"
        assert EVENTS.decode(event.TYPE, encode(event)) == event
        self.context.evolve(self.state, event, cause)
        self.journal.append((event, cause))
        assert self.context.entity_of(event) in set(self.context.entities(self.state))
        self._audit(event)
        return event

    def stored(self, state: State | None = None) -> dict[str, bytes]:
        """Every entity as snapshots keep it."""
        known = state or self.state
        return {each: self.context.dump(known, each) for each in self.context.entities(known)}

    def replayed(self) -> State:
        """The fold of the journal as it is on the wire."""
        state = self.context.empty()
        for event, cause in self.journal:
            self.context.evolve(state, EVENTS.decode(event.TYPE, encode(event)), cause)
        return state

    def restored(self) -> State:
        """The state as it comes back from its stored form."""
        state = self.context.empty()
        for entity, stored in self.stored().items():
            self.context.load(state, entity, stored)
        return state

    def _audit(self, event: Message) -> None:
        check_event(event)
        check(self.state)
        for posting in getattr(event, "postings", ()):
            self.ledger[posting.account, posting.asset, posting.bucket] += posting.amount_e8
        for account_id, account in self.state.accounts.items():
            for asset, held in account.holdings.items():
                assert self.ledger[account_id, asset, "free"] == held.free_e8
                assert self.ledger[account_id, asset, "locked"] == held.locked_e8

    # --- what tests say ---------------------------------------------------------------------

    def account(self, account_id: str = ALICE) -> Account:
        return self.state.account(account_id)

    def held(self, asset: str = CASH, account_id: str = ALICE) -> tuple[int, int]:
        """Free and locked."""
        held = self.account(account_id).holdings[asset]
        return held.free_e8, held.locked_e8

    def open_market(self, *, last: str = "100", **terms: Field) -> None:
        """List BTC-USD with a band of 10 % around `last`."""
        rules = MarketTerms(
            symbol="BTC-USD",
            asset="BTC",
            tick_e8=E8 // 100,
            lot_e8=1_000,
            min_notional_e8=E8,
            maker_fee_ppm=0,
            taker_fee_ppm=0,
            stale_after_ms=5_000,
            is_open=True,
        )
        self.tell(replace(rules, **terms))
        self.quote(last)

    def quote(self, last: str) -> None:
        last_e8 = parse_e8(last)
        low_e8, high_e8 = last_e8 * 9 // 10, last_e8 * 11 // 10
        self.tell(PriceCollar(symbol="BTC-USD", last_e8=last_e8, low_e8=low_e8, high_e8=high_e8))

    def set_fees(self, *tiers: str) -> Event:
        """Tiers as "volume:maker:taker"."""
        parsed = (each.split(":") for each in tiers)
        return self.tell(
            SetFees(
                tiers=tuple(
                    FeeTier(
                        volume_e8=parse_e8(volume),
                        maker_fee_ppm=rate_ppm(maker),
                        taker_fee_ppm=rate_ppm(taker),
                    )
                    for volume, maker, taker in parsed
                )
            )
        )

    def deposit(self, amount: str, account_id: str = ALICE) -> Event:
        return self.tell(DepositFunds(account_id=account_id, amount_e8=parse_e8(amount)))

    def withdraw(self, amount: str, account_id: str = ALICE) -> Event:
        return self.tell(WithdrawFunds(account_id=account_id, amount_e8=parse_e8(amount)))

    def place(  # noqa: PLR0913  # an order has this many figures
        self,
        side: Side,
        quantity: str,
        price: str | None = None,
        *,
        account_id: str = ALICE,
        asset: str = "BTC",
        order_type: OrderType | None = None,
        time_in_force: TimeInForce = TimeInForce.GTC,
        client_order_id: str | None = None,
        **more: Field,
    ) -> Event:
        """A limit order at `price`, or a market order without."""
        if order_type is None:
            order_type = OrderType.LIMIT if price else OrderType.MARKET
        return self.tell(
            PlaceOrder(
                account_id=account_id,
                asset=asset,
                side=side,
                order_type=order_type,
                quantity_e8=parse_e8(quantity),
                price_e8=parse_e8(price) if price else None,
                time_in_force=time_in_force,
                client_order_id=client_order_id,
                **more,
            )
        )

    def execute(
        self,
        order: Order,
        quantity: str,
        price: str,
        *,
        account_id: str = ALICE,
        liquidity: Liquidity = Liquidity.TAKER,
        **changes: Field,
    ) -> Event:
        """One leg of a trade for an order as this account knows it."""
        quantity_e8, price_e8 = parse_e8(quantity), parse_e8(price)
        known = self.account(account_id).orders.get(order.order_id, order)
        fact = ApplyExecution(
            account_id=account_id,
            symbol=order.symbol,
            asset=order.asset,
            side=order.side,
            trade_id=f"{self.offset:032x}",
            price_e8=price_e8,
            quantity_e8=quantity_e8,
            notional_e8=notional_floor(price_e8, quantity_e8),
            liquidity=liquidity,
            order_id=order.order_id,
            cum_quantity_e8=known.cum_quantity_e8 + quantity_e8,
        )
        return self.tell(replace(fact, **changes))

    def house(self, side: Side, quantity: str, price: str, **changes: Field) -> Event:
        """The house's leg of a trade."""
        quantity_e8, price_e8 = parse_e8(quantity), parse_e8(price)
        fact = ApplyExecution(
            account_id=HOUSE,
            symbol="BTC-USD",
            asset="BTC",
            side=side,
            trade_id=f"{self.offset:032x}",
            price_e8=price_e8,
            quantity_e8=quantity_e8,
            notional_e8=notional_floor(price_e8, quantity_e8),
            liquidity=Liquidity.MAKER,
        )
        return self.tell(replace(fact, **changes))

    def end(self, order: Order, end: EndReason, account_id: str = ALICE, **changes: Field) -> Event:
        """The last message of an order, agreeing with what this account knows."""
        known = self.account(account_id).orders.get(order.order_id, order)
        fact = EndOrder(
            account_id=account_id,
            order_id=order.order_id,
            symbol=order.symbol,
            end=end,
            cum_quantity_e8=known.cum_quantity_e8,
        )
        return self.tell(replace(fact, **changes))

    def cancel(self, order_id: str, account_id: str = ALICE) -> Event:
        return self.tell(CancelOrder(account_id=account_id, order_id=order_id))

    def replace(
        self,
        order_id: str,
        quantity: str | None = None,
        price: str | None = None,
        account_id: str = ALICE,
        stop_price: str | None = None,
    ) -> Event:
        return self.tell(
            ReplaceOrder(
                account_id=account_id,
                order_id=order_id,
                quantity_e8=None if quantity is None else parse_e8(quantity),
                price_e8=None if price is None else parse_e8(price),
                stop_price_e8=None if stop_price is None else parse_e8(stop_price),
            )
        )

    def replaced(self, order: Order, account_id: str = ALICE, **changes: Field) -> Event:
        """The market did what it was asked."""
        known = self.account(account_id).orders.get(order.order_id, order)
        wanted = known.replacing or Replacement(quantity_e8=known.quantity_e8)
        fact = ApplyReplace(
            account_id=account_id,
            order_id=order.order_id,
            symbol=order.symbol,
            quantity_e8=wanted.quantity_e8,
            price_e8=wanted.price_e8,
            stop_price_e8=wanted.stop_price_e8,
            cum_quantity_e8=known.cum_quantity_e8,
        )
        return self.tell(replace(fact, **changes))

    def fund(self, quantity: str = "10") -> None:
        """Give Alice $1,000 and some BTC bought at $1 from a deposit of its own."""
        self.deposit("1000")
        self.quote("1")
        bought = self.place(Side.BUY, quantity, "1").order
        self.execute(bought, quantity, "1")
        self.end(bought, EndReason.FILLED)
        self.deposit(quantity)
        self.quote("100")


@pytest.fixture
def desk() -> Desk:
    """A partition where BTC-USD is open at $100 without fees, and nobody has anything."""
    desk = Desk()
    desk.open_market()
    return desk


@pytest.fixture
def desk_type() -> type[Desk]:
    """For tests that make many partitions."""
    return Desk
