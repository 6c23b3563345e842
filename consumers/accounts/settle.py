"""How a market's facts settle: executions take from an order's lock, its end releases the rest."""

from typing import Final

from msgspec.structs import replace

from consumers.accounts import ledger
from consumers.accounts.state import Account, State, is_house
from runtime.errors import Halted
from schemas.accounts import (
    BUY,
    CASH,
    ApplyExecution,
    EndOrder,
    EndReason,
    Execution,
    Holding,
    HouseTraded,
    Liquidity,
    Order,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderStatus,
    OrderTraded,
)
from schemas.candles import DAY_MS
from schemas.envelope import Cause
from schemas.money import PPM

OrderEnd = OrderFilled | OrderCanceled | OrderExpired | OrderRejected

_ENDS: Final[dict[EndReason, tuple[type[OrderEnd], OrderStatus]]] = {
    EndReason.FILLED: (OrderFilled, OrderStatus.FILLED),
    EndReason.CANCELED: (OrderCanceled, OrderStatus.CANCELED),
    EndReason.EXPIRED: (OrderExpired, OrderStatus.EXPIRED),
    EndReason.REJECTED: (OrderRejected, OrderStatus.REJECTED),
}


def executed(state: State, fact: ApplyExecution, cause: Cause) -> OrderTraded:
    """Settle one leg from its order's lock.

    Raises:
        Halted: no such open order, other totals than this account has, or more than is locked.
    """
    account = state.account(fact.account_id)
    before = _open_order(account, fact)
    order = _after(before, fact, cause)
    fee_e8 = order.fee_e8 - before.fee_e8
    settle = _bought if fact.side is BUY else _sold
    return OrderTraded(
        account_id=fact.account_id,
        order=order,
        execution=_execution(fact, fee_e8),
        transactions=account.transactions + (2 if fee_e8 else 1),
        day_volume_e8=account.volumes.get(cause.time_ms // DAY_MS, 0) + fact.notional_e8,
        holdings=settle(account, fact, fee_e8, cause.time_ms),
        postings=ledger.trade_postings(fact, ledger.LOCKED, fee_e8),
    )


def house_executed(state: State, fact: ApplyExecution, cause: Cause) -> HouseTraded:
    """Settle the house's leg: no lock, no fee, no cost basis, and it may go below zero.

    Raises:
        Halted: a leg without an order that is not the house's.
    """
    if not is_house(fact.account_id):
        raise Halted(f"trade {fact.trade_id} names neither an order nor the house")
    account = state.account(fact.account_id)
    bought = 1 if fact.side is BUY else -1
    cash = account.holding(CASH, cause.time_ms)
    asset = account.holding(fact.asset, cause.time_ms)
    return HouseTraded(
        account_id=fact.account_id,
        symbol=fact.symbol,
        side=fact.side,
        execution=_execution(fact, 0),
        holdings=(
            ledger.moved(cash, free_e8=-bought * fact.notional_e8),
            ledger.moved(asset, free_e8=bought * fact.quantity_e8),
        ),
        postings=ledger.trade_postings(fact, ledger.FREE, 0),
    )


def ended(state: State, fact: EndOrder, cause: Cause) -> OrderEnd:
    """Release what is left of the order's lock, once.

    Raises:
        Halted: no such open order, or it traded another quantity than its market says.
    """
    account = state.account(fact.account_id)
    before = _open_order(account, fact)
    if fact.cum_quantity_e8 != before.cum_quantity_e8:
        raise Halted(f"order {fact.order_id} traded {before.cum_quantity_e8}, not {fact}")
    if fact.end is EndReason.FILLED and fact.cum_quantity_e8 != before.quantity_e8:
        raise Halted(f"order {fact.order_id} ended as filled and is not: {fact}")
    event, status = _ENDS[fact.end]
    order = replace(
        before,
        status=status,
        reason=fact.reason,
        locked_e8=0,
        replacing=None,
        updated_at_ms=cause.time_ms,
    )
    if not before.locked_e8:
        return event(account_id=fact.account_id, order=order, holdings=(), postings=())
    held = account.holding(before.locked_asset, cause.time_ms)
    released_e8 = before.locked_e8
    return event(
        account_id=fact.account_id,
        order=order,
        holdings=(ledger.moved(held, free_e8=released_e8, locked_e8=-released_e8),),
        postings=ledger.transfer(
            before.locked_asset,
            released_e8,
            source=(fact.account_id, ledger.LOCKED),
            sink=(fact.account_id, ledger.FREE),
        ),
    )


def _open_order(account: Account, fact: ApplyExecution | EndOrder) -> Order:
    order = account.orders.get(fact.order_id or "")
    if order is None or order.symbol != fact.symbol:
        raise Halted(f"no open order for {fact}")
    return order


def _after(before: Order, fact: ApplyExecution, cause: Cause) -> Order:
    _check_execution(before, fact)
    is_taker = fact.liquidity is Liquidity.TAKER
    taker_e8 = before.taker_notional_e8 + (fact.notional_e8 if is_taker else 0)
    notional_e8 = before.cum_notional_e8 + fact.notional_e8
    fee_e8 = _fee(before, notional_e8, taker_e8)
    paid_e8 = fact.notional_e8 + fee_e8 - before.fee_e8
    locked_e8 = before.locked_e8 - (paid_e8 if fact.side is BUY else fact.quantity_e8)
    if locked_e8 < 0:
        raise Halted(
            f"order {before.order_id} has {before.locked_e8} locked, too little for {fact}"
        )
    is_filled = fact.cum_quantity_e8 == before.quantity_e8
    return replace(
        before,
        cum_quantity_e8=fact.cum_quantity_e8,
        cum_notional_e8=notional_e8,
        taker_notional_e8=taker_e8,
        fee_e8=fee_e8,
        locked_e8=locked_e8,
        status=OrderStatus.FILLED if is_filled else OrderStatus.PARTIALLY_FILLED,
        updated_at_ms=cause.time_ms,
    )


def _check_execution(order: Order, fact: ApplyExecution) -> None:
    if (fact.side, fact.asset) != (order.side, order.asset):
        raise Halted(f"not an execution of order {order.order_id}: {fact}")
    if fact.quantity_e8 <= 0 or fact.notional_e8 < 0:
        raise Halted(f"not an execution: {fact}")
    cum_quantity_e8 = order.cum_quantity_e8 + fact.quantity_e8
    if cum_quantity_e8 != fact.cum_quantity_e8 or cum_quantity_e8 > order.quantity_e8:
        raise Halted(f"order {order.order_id} has traded {order.cum_quantity_e8} before {fact}")


def _fee(order: Order, notional_e8: int, taker_e8: int) -> int:
    """All fees of the order so far, rounded up once over both rates (design, section 4)."""
    maker_e8 = notional_e8 - taker_e8
    return -(-(maker_e8 * order.maker_fee_ppm + taker_e8 * order.taker_fee_ppm) // PPM)


def _bought(
    account: Account, fact: ApplyExecution, fee_e8: int, now_ms: int
) -> tuple[Holding, ...]:
    paid_e8 = fact.notional_e8 + fee_e8
    return (
        ledger.moved(account.holding(CASH, now_ms), locked_e8=-paid_e8),
        ledger.moved(
            account.holding(fact.asset, now_ms), free_e8=fact.quantity_e8, cost_e8=paid_e8
        ),
    )


def _sold(account: Account, fact: ApplyExecution, fee_e8: int, now_ms: int) -> tuple[Holding, ...]:
    held = account.holding(fact.asset, now_ms)
    received_e8 = fact.notional_e8 - fee_e8
    cost_e8 = ledger.cost_of(held, fact.quantity_e8)
    return (
        ledger.moved(account.holding(CASH, now_ms), free_e8=received_e8),
        ledger.moved(
            held,
            locked_e8=-fact.quantity_e8,
            cost_e8=-cost_e8,
            realized_e8=received_e8 - cost_e8,
        ),
    )


def _execution(fact: ApplyExecution, fee_e8: int) -> Execution:
    return Execution(
        trade_id=fact.trade_id,
        price_e8=fact.price_e8,
        quantity_e8=fact.quantity_e8,
        notional_e8=fact.notional_e8,
        fee_e8=fee_e8,
        liquidity=fact.liquidity,
    )
