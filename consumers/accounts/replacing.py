"""How an order gets other terms: its lock covers both until the market has answered."""

from msgspec.structs import replace

from consumers.accounts import ledger, rules
from consumers.accounts.state import Account, State
from runtime.errors import Halted
from schemas.accounts import (
    ApplyReplace,
    CollarSet,
    CommandRefused,
    Holding,
    Order,
    OrderReplaced,
    Reason,
    RefuseReplace,
    Replacement,
    ReplaceOrder,
    ReplaceRefused,
    ReplaceRequested,
)
from schemas.envelope import Cause

COMMAND = "replace-order"


def replace_order(
    state: State, command: ReplaceOrder, cause: Cause
) -> ReplaceRequested | CommandRefused:
    """Lock what the order may need before and after, and forward the replace to its market.

    A halted market is asked too, because only it knows what it is when the question arrives.
    """
    account = state.account(command.account_id)
    order = account.orders.get(command.order_id)
    if order is None:
        return refused(account, command)
    market = state.markets[order.symbol]
    if market.terms is None or market.collar is None:
        raise Halted(f"order {order.order_id} was accepted on a market without terms or price")
    wanted = _wanted(order, command, market.collar)
    if isinstance(wanted, Reason):
        return refused(account, command, wanted)
    if reason := rules.replace_refusal(order, wanted, market.terms, market.collar.last_e8):
        return refused(account, command, reason)
    more_e8 = max(0, rules.need_while_replacing(order, wanted) - order.locked_e8)
    if more_e8 and (reason := rules.funds_refusal(account, order.locked_asset, more_e8)):
        return refused(account, command, reason)
    asked = replace(order, replacing=wanted, updated_at_ms=cause.time_ms)
    order, holdings, postings = _relocked(account, command.account_id, asked, more_e8)
    return ReplaceRequested(
        account_id=command.account_id, order=order, holdings=holdings, postings=postings
    )


def replaced(state: State, fact: ApplyReplace, cause: Cause) -> OrderReplaced:
    """Take the new terms over and release what they cannot need.

    Raises:
        Halted: nothing, or something else, was asked; or the lock is too small for it.
    """
    account = state.account(fact.account_id)
    before = account.orders.get(fact.order_id)
    wanted = None if before is None or before.symbol != fact.symbol else before.replacing
    if before is None or wanted is None or not _is_answer(fact, wanted):
        raise Halted(f"not a replace that was asked: {fact}")
    if before.cum_quantity_e8 != fact.cum_quantity_e8:
        raise Halted(f"order {fact.order_id} traded {before.cum_quantity_e8}, not {fact}")
    after = replace(
        before,
        quantity_e8=wanted.quantity_e8,
        price_e8=wanted.price_e8,
        protection_price_e8=rules.worst_price_of(before, wanted),
        stop_price_e8=wanted.stop_price_e8 or before.stop_price_e8,
        replacing=None,
        updated_at_ms=cause.time_ms,
    )
    order, holdings, postings = _fitted(account, fact.account_id, after)
    return OrderReplaced(
        account_id=fact.account_id, order=order, holdings=holdings, postings=postings
    )


def replace_refused(
    state: State, fact: RefuseReplace, cause: Cause
) -> ReplaceRefused | CommandRefused:
    """The order keeps its terms; of one that ended meanwhile there is only the refusal left."""
    account = state.account(fact.account_id)
    before = account.orders.get(fact.order_id)
    if before is None:
        return refused(account, fact, fact.reason)
    after = replace(before, replacing=None, updated_at_ms=cause.time_ms)
    order, holdings, postings = _fitted(account, fact.account_id, after)
    return ReplaceRefused(
        account_id=fact.account_id,
        order=order,
        reason=fact.reason,
        holdings=holdings,
        postings=postings,
    )


def refused(
    account: Account, asked: ReplaceOrder | RefuseReplace, reason: Reason | None = None
) -> CommandRefused:
    """Without a reason: there is no such open order."""
    is_final = asked.order_id in account.final_orders
    return CommandRefused(
        account_id=asked.account_id,
        command=COMMAND,
        reason=reason or (Reason.ORDER_FINAL if is_final else Reason.UNKNOWN_ORDER),
        order_id=asked.order_id,
    )


def _is_answer(fact: ApplyReplace, wanted: Replacement) -> bool:
    return (fact.quantity_e8, fact.price_e8, fact.stop_price_e8) == (
        wanted.quantity_e8,
        wanted.price_e8,
        wanted.stop_price_e8,
    )


def _wanted(order: Order, command: ReplaceOrder, collar: CollarSet) -> Replacement | Reason:
    """What the command leaves out stays as it is; a stop price takes its worst price along."""
    quantity_e8, price_e8 = command.quantity_e8, command.price_e8
    wanted = Replacement(
        quantity_e8=order.quantity_e8 if quantity_e8 is None else quantity_e8,
        price_e8=order.price_e8 if price_e8 is None else price_e8,
    )
    stop_e8 = command.stop_price_e8
    if stop_e8 is None:
        return wanted
    if order.stop_price_e8 is None:
        return Reason.NOT_A_STOP
    worst_e8 = wanted.price_e8
    if worst_e8 is None:
        worst_e8 = rules.market_protection(replace(order, stop_price_e8=stop_e8), collar)
    return replace(wanted, stop_price_e8=stop_e8, protection_price_e8=worst_e8)


def _fitted(
    account: Account, account_id: str, order: Order
) -> tuple[Order, tuple[Holding, ...], ledger.Postings]:
    surplus_e8 = order.locked_e8 - rules.need_of(order)
    if surplus_e8 < 0:
        raise Halted(f"order {order.order_id} has too little locked for its new terms")
    return _relocked(account, account_id, order, -surplus_e8)


def _relocked(
    account: Account, account_id: str, order: Order, more_e8: int
) -> tuple[Order, tuple[Holding, ...], ledger.Postings]:
    """The order with that much more locked, or less, and how it moved."""
    if not more_e8:
        return order, (), ()
    held = account.holdings[order.locked_asset]
    return (
        replace(order, locked_e8=order.locked_e8 + more_e8),
        (ledger.moved(held, free_e8=-more_e8, locked_e8=more_e8),),
        ledger.transfer(
            order.locked_asset,
            more_e8,
            source=(account_id, ledger.FREE),
            sink=(account_id, ledger.LOCKED),
        ),
    )
