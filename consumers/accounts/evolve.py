"""How an event changes the state: it carries what is true after it, so this only stores."""

from consumers.accounts.state import FINAL_ORDERS_MAX, Account, DayTotal, Market, State
from schemas.accounts import (
    CancelAllRequested,
    CancelRequested,
    CollarSet,
    CommandRefused,
    FeesSet,
    FundsDeposited,
    FundsWithdrawn,
    Holding,
    HouseTraded,
    Order,
    OrderAccepted,
    OrderCanceled,
    OrderChecked,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderTraded,
    ReplaceRefused,
    ReplaceRequested,
    TermsSet,
)
from schemas.candles import DAY_MS
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.fees import counts


def evolve(state: State, event: Message, cause: Cause) -> None:
    """Apply an event in place; of the cause only the log time counts.

    Every event of an account makes it known, refusals too, because they have an entity version.
    """
    match event:
        case OrderAccepted():
            _accept(_account(state, event.account_id), event)
        case OrderTraded():
            account = _account(state, event.account_id)
            account.orders[event.order.order_id] = event.order
            account.transactions = event.transactions
            _hold(account, event.holdings)
            _count(account, event.day_volume_e8, cause.time_ms // DAY_MS)
        case HouseTraded():
            _hold(_account(state, event.account_id), event.holdings)
        case OrderFilled() | OrderCanceled() | OrderExpired() | OrderRejected():
            account = _account(state, event.account_id)
            _hold(account, event.holdings)
            _end(account, event.order)
        case ReplaceRequested() | OrderReplaced() | ReplaceRefused():
            account = _account(state, event.account_id)
            account.orders[event.order.order_id] = event.order
            _hold(account, event.holdings)
        case CancelRequested():
            _account(state, event.account_id).orders[event.order.order_id] = event.order
        case FundsDeposited():
            account = _account(state, event.account_id)
            _hold(account, event.holdings)
            account.transactions = event.transactions
            account.deposited = DayTotal.of(cause.time_ms, event.day_total_e8)
        case FundsWithdrawn():
            account = _account(state, event.account_id)
            _hold(account, event.holdings)
            account.transactions = event.transactions
            account.withdrawn = DayTotal.of(cause.time_ms, event.day_total_e8)
        case CommandRefused() | CancelAllRequested() | OrderChecked():
            _account(state, event.account_id)
        case _:
            _learn(state, event, cause)


def _learn(state: State, event: Message, cause: Cause) -> None:
    match event:
        case CollarSet():
            market = _market(state, event.symbol)
            market.collar, market.collar_at_ms = event, cause.time_ms
        case TermsSet():
            _market(state, event.terms.symbol).terms = event.terms
        case FeesSet():
            state.fees = event
        case _:
            raise TypeError(f"not an event of accounts: {type(event).__name__}")


def _account(state: State, account_id: str) -> Account:
    account = state.accounts.get(account_id)
    if account is None:
        account = state.accounts[account_id] = Account()
    return account


def _market(state: State, symbol: str) -> Market:
    market = state.markets.get(symbol)
    if market is None:
        market = state.markets[symbol] = Market()
    return market


def _hold(account: Account, holdings: tuple[Holding, ...]) -> None:
    for holding in holdings:
        account.holdings[holding.asset] = holding


def _count(account: Account, volume_e8: int, today: int) -> None:
    """Keep the day's volume, and forget with a new day those that no longer count."""
    if today not in account.volumes:
        for day in [each for each in account.volumes if not counts(each, today)]:
            del account.volumes[day]
    account.volumes[today] = volume_e8


def _accept(account: Account, event: OrderAccepted) -> None:
    order = event.order
    _hold(account, event.holdings)
    account.orders[order.order_id] = order
    account.number = order.number
    if order.client_order_id is not None:
        account.client_order_ids[order.client_order_id] = order.order_id


def _end(account: Account, order: Order) -> None:
    if account.orders.pop(order.order_id, None) is None:
        return  # rejected before it was accepted
    account.final_orders[order.order_id] = order.client_order_id
    if len(account.final_orders) > FINAL_ORDERS_MAX:
        forgotten = account.final_orders.pop(next(iter(account.final_orders)))
        if forgotten is not None:
            del account.client_order_ids[forgotten]
