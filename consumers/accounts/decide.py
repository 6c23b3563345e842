"""What accounts decides: pure, from the state of its partition, a message and its cause."""

from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from consumers.accounts import ledger, rules
from consumers.accounts.replacing import replace_order, replace_refused, replaced
from consumers.accounts.settle import ended, executed, house_executed
from consumers.accounts.state import Account, State
from runtime.errors import Halted
from schemas.accounts import (
    CASH,
    ApplyExecution,
    ApplyReplace,
    CancelAllOrders,
    CancelAllRequested,
    Canceling,
    CancelOrder,
    CancelRequested,
    CheckOrder,
    CollarSet,
    CommandRefused,
    ContinueCancelAll,
    DepositFunds,
    EndOrder,
    FeesSet,
    FundsDeposited,
    FundsWithdrawn,
    MarketTerms,
    Order,
    OrderAccepted,
    OrderChecked,
    OrderRejected,
    OrderStatus,
    PlaceOrder,
    PriceCollar,
    Reason,
    RefuseCancel,
    RefuseReplace,
    ReplaceOrder,
    SetFees,
    TermsSet,
    WithdrawFunds,
)
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.money import E8, PPM

AMOUNT_MAX_E8: Final = 1_000_000 * E8
DEPOSITS_PER_DAY_E8: Final = 10_000 * E8
WITHDRAWALS_PER_DAY_E8: Final = 5_000 * E8
CANCELS_MAX: Final = 100
"""Cancels that one step of a cancel of all sends (W4)."""
_CENT_E8: Final = E8 // 100


def decide(state: State, command: Message, cause: Cause) -> Sequence[Message]:
    """The one event that the message leads to: a command's outcome or refusal, or a fact applied.

    Raises:
        Halted: a fact that contradicts the state.
    """
    match command:
        case PlaceOrder():
            event = place(state, command, cause)
        case ApplyExecution(order_id=None):
            event = house_executed(state, command, cause)
        case ApplyExecution():
            event = executed(state, command, cause)
        case EndOrder():
            event = ended(state, command, cause)
        case CancelOrder():
            event = cancel(state, command, cause)
        case CancelAllOrders() | ContinueCancelAll():
            event = cancel_all(state, command)
        case ReplaceOrder() | ApplyReplace() | RefuseReplace():
            event = _replacing(state, command, cause)
        case DepositFunds():
            event = deposit(state, command, cause)
        case WithdrawFunds():
            event = withdraw(state, command, cause)
        case _:
            event = _changing_nothing(state, command, cause)
    return (event,)


def _changing_nothing(state: State, command: Message, cause: Cause) -> Message:
    """What no account's money or orders change by."""
    return check(state, command, cause) if isinstance(command, CheckOrder) else _told(command)


def _replacing(
    state: State, command: ReplaceOrder | ApplyReplace | RefuseReplace, cause: Cause
) -> Message:
    match command:
        case ReplaceOrder():
            return replace_order(state, command, cause)
        case ApplyReplace():
            return replaced(state, command, cause)
        case RefuseReplace():
            return replace_refused(state, command, cause)


def deposit(state: State, command: DepositFunds, cause: Cause) -> FundsDeposited | CommandRefused:
    """Take USD in, up to the daily limit."""
    account = state.account(command.account_id)
    amount_e8 = command.amount_e8
    total_e8 = account.deposited.at(cause.time_ms) + amount_e8
    if not _is_amount(amount_e8):
        return _refused(command, "deposit-funds", Reason.INVALID_AMOUNT)
    if total_e8 > DEPOSITS_PER_DAY_E8:
        return _refused(command, "deposit-funds", Reason.DEPOSIT_LIMIT)
    cash = account.holding(CASH, cause.time_ms)
    return FundsDeposited(
        account_id=command.account_id,
        transaction_id=cause.new_id(),
        amount_e8=amount_e8,
        day_total_e8=total_e8,
        transactions=account.transactions + 1,
        holdings=(ledger.moved(cash, free_e8=amount_e8),),
        postings=ledger.transfer(
            CASH,
            amount_e8,
            source=(ledger.EXTERNAL, ledger.FREE),
            sink=(command.account_id, ledger.FREE),
        ),
    )


def withdraw(state: State, command: WithdrawFunds, cause: Cause) -> FundsWithdrawn | CommandRefused:
    """Pay USD out of what is free, up to the daily limit."""
    account = state.account(command.account_id)
    amount_e8 = command.amount_e8
    total_e8 = account.withdrawn.at(cause.time_ms) + amount_e8
    cash = account.holding(CASH, cause.time_ms)
    if not _is_amount(amount_e8):
        return _refused(command, "withdraw-funds", Reason.INVALID_AMOUNT)
    if total_e8 > WITHDRAWALS_PER_DAY_E8:
        return _refused(command, "withdraw-funds", Reason.WITHDRAWAL_LIMIT)
    if amount_e8 > cash.free_e8:
        return _refused(command, "withdraw-funds", Reason.INSUFFICIENT_FUNDS)
    return FundsWithdrawn(
        account_id=command.account_id,
        transaction_id=cause.new_id(),
        amount_e8=amount_e8,
        day_total_e8=total_e8,
        transactions=account.transactions + 1,
        holdings=(ledger.moved(cash, free_e8=-amount_e8),),
        postings=ledger.transfer(
            CASH,
            amount_e8,
            source=(command.account_id, ledger.FREE),
            sink=(ledger.EXTERNAL, ledger.FREE),
        ),
    )


def place(state: State, command: PlaceOrder, cause: Cause) -> OrderAccepted | OrderRejected:
    """Accept the order and lock its worst case, or refuse it with a reason.

    The order keeps the fee rates of its acceptance, so that its lock covers them whatever its
    account trades and operators set later.
    """
    market = rules.quoted(state, command.asset, cause.time_ms)
    if isinstance(market, Reason):
        return _rejected(command, market, cause)
    account = state.account(command.account_id)
    rates = rules.rates_of(state, account, market.terms, cause.time_ms)
    lock = rules.lock_of(command, market, rates)
    if reason := rules.refusal(account, command, market, lock, now_ms=cause.time_ms):
        return _rejected(command, reason, cause)
    order = replace(
        _order(command, cause),
        number=account.number + 1,
        maker_fee_ppm=rates.maker_ppm,
        taker_fee_ppm=rates.taker_ppm,
        protection_price_e8=lock.protection_price_e8,
        locked_asset=lock.asset,
        locked_e8=lock.amount_e8,
    )
    held = account.holding(lock.asset, cause.time_ms)
    return OrderAccepted(
        account_id=command.account_id,
        order=order,
        deadline_ms=cause.expires_at_ms,
        holdings=(ledger.moved(held, free_e8=-lock.amount_e8, locked_e8=lock.amount_e8),),
        postings=ledger.transfer(
            lock.asset,
            lock.amount_e8,
            source=(command.account_id, ledger.FREE),
            sink=(command.account_id, ledger.LOCKED),
        ),
    )


def check(state: State, command: CheckOrder, cause: Cause) -> OrderChecked | CommandRefused:
    """Decide as if the order were placed, and keep only what that would lock, or the reason."""
    decided = place(state, command.order, cause)
    order = decided.order
    if order.reason is not None:
        return CommandRefused(
            account_id=decided.account_id, command="check-order", reason=order.reason
        )
    return OrderChecked(
        account_id=decided.account_id,
        symbol=order.symbol,
        protection_price_e8=order.protection_price_e8,
        locked_asset=order.locked_asset,
        locked_e8=order.locked_e8,
        fee_e8=rules.worst_fee(order),
    )


def cancel(state: State, command: CancelOrder, cause: Cause) -> CancelRequested | CommandRefused:
    """Forward the cancel, as often as it is asked for; the order's market answers it."""
    account = state.account(command.account_id)
    order = account.orders.get(command.order_id)
    if order is not None:
        return CancelRequested(
            account_id=command.account_id, order=replace(order, updated_at_ms=cause.time_ms)
        )
    is_final = command.order_id in account.final_orders
    return CommandRefused(
        account_id=command.account_id,
        command="cancel-order",
        reason=Reason.ORDER_FINAL if is_final else Reason.UNKNOWN_ORDER,
        order_id=command.order_id,
    )


def cancel_all(state: State, command: CancelAllOrders | ContinueCancelAll) -> CancelAllRequested:
    """Forward the cancels of the next `CANCELS_MAX` open orders, oldest first.

    Orders accepted after the client's command are left alone.
    """
    account = state.account(command.account_id)
    step = _first_step(command, account) if isinstance(command, CancelAllOrders) else command
    due = [
        order
        for order in account.orders.values()
        if step.after_number < order.number <= step.until_number
        and step.asset in (None, order.asset)
    ]
    now = due[:CANCELS_MAX]
    order_ids = (*step.order_ids, *(order.order_id for order in now))
    is_last = len(now) == len(due)
    return CancelAllRequested(
        account_id=command.account_id,
        orders=tuple(Canceling(order_id=each.order_id, symbol=each.symbol) for each in now),
        order_ids=order_ids,
        next=None if is_last else replace(step, after_number=now[-1].number, order_ids=order_ids),
    )


def _first_step(command: CancelAllOrders, account: Account) -> ContinueCancelAll:
    return ContinueCancelAll(
        account_id=command.account_id,
        asset=command.asset,
        after_number=0,
        until_number=account.number,
        order_ids=(),
    )


def _told(fact: Message) -> Message:
    match fact:
        case PriceCollar():
            return CollarSet(
                symbol=fact.symbol,
                last_e8=fact.last_e8,
                low_e8=fact.low_e8,
                high_e8=fact.high_e8,
            )
        case MarketTerms():
            return TermsSet(terms=_sane(fact))
        case SetFees():
            return FeesSet(tiers=fact.tiers)
        case RefuseCancel():
            return CommandRefused(
                account_id=fact.account_id,
                command="cancel-order",
                reason=fact.reason,
                order_id=fact.order_id,
            )
        case _:
            raise TypeError(f"not a message for accounts: {type(fact).__name__}")


def _order(command: PlaceOrder, cause: Cause) -> Order:
    return Order(
        order_id=cause.new_id(),
        number=0,
        symbol=f"{command.asset}-{CASH}",
        asset=command.asset,
        side=command.side,
        order_type=command.order_type,
        time_in_force=rules.time_in_force_of(command),
        quantity_e8=command.quantity_e8,
        price_e8=rules.limit_of(command),
        client_order_id=command.client_order_id,
        command_id=cause.command_id,
        created_at_ms=cause.time_ms,
        updated_at_ms=cause.time_ms,
        expires_at_ms=rules.expiry_of(command, cause.time_ms),
        post_only=command.post_only,
        stop_price_e8=command.stop_price_e8,
        self_trade_prevention=command.self_trade_prevention,
    )


def _rejected(command: PlaceOrder, reason: Reason, cause: Cause) -> OrderRejected:
    order = replace(_order(command, cause), status=OrderStatus.REJECTED, reason=reason)
    return OrderRejected(account_id=command.account_id, order=order)


def _sane(terms: MarketTerms) -> MarketTerms:
    fees_ppm = (terms.maker_fee_ppm, terms.taker_fee_ppm)
    if terms.tick_e8 <= 0 or terms.lot_e8 <= 0 or min(fees_ppm) < 0 or max(fees_ppm) > PPM:
        raise Halted(f"no order can keep these terms: {terms}")
    return terms


def _refused(command: DepositFunds | WithdrawFunds, name: str, reason: Reason) -> CommandRefused:
    return CommandRefused(account_id=command.account_id, command=name, reason=reason)


def _is_amount(amount_e8: int) -> bool:
    return 0 < amount_e8 <= AMOUNT_MAX_E8 and amount_e8 % _CENT_E8 == 0
