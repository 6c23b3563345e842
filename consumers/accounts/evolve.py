"""How an event changes the state: it carries what is true after it, so this only stores."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from consumers.accounts.state import FINAL_ORDERS_MAX, Account, DayTotal, Market, State
from runtime.errors import InvariantBroken
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

Ended = OrderFilled | OrderCanceled | OrderExpired | OrderRejected
Replaced = ReplaceRequested | OrderReplaced | ReplaceRefused


def evolve(state: State, event: Message, cause: Cause) -> None:
    """Apply an event in place; of the cause only the log time counts.

    Every event of an account makes it known, refusals too, because they have an entity version.

    Raises:
        InvariantBroken: it is not an event of accounts.
    """
    change = _CHANGES.get(type(event))
    if change is None:
        raise InvariantBroken(f"{event.TYPE} is not an event of accounts")
    change(state, event, cause)


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


def _accept(state: State, event: OrderAccepted, _cause: Cause) -> None:
    account, order = _account(state, event.account_id), event.order
    _hold(account, event.holdings)
    account.orders[order.order_id] = order
    account.number = order.number
    if order.client_order_id is not None:
        account.client_order_ids[order.client_order_id] = order.order_id


def _trade(state: State, event: OrderTraded, cause: Cause) -> None:
    account = _account(state, event.account_id)
    account.orders[event.order.order_id] = event.order
    account.transactions = event.transactions
    _hold(account, event.holdings)
    _count(account, event.day_volume_e8, cause.time_ms // DAY_MS)


def _trade_of_house(state: State, event: HouseTraded, _cause: Cause) -> None:
    _hold(_account(state, event.account_id), event.holdings)


def _replace(state: State, event: Replaced, _cause: Cause) -> None:
    account = _account(state, event.account_id)
    account.orders[event.order.order_id] = event.order
    _hold(account, event.holdings)


def _cancel(state: State, event: CancelRequested, _cause: Cause) -> None:
    _account(state, event.account_id).orders[event.order.order_id] = event.order


def _deposit(state: State, event: FundsDeposited, cause: Cause) -> None:
    _transact(state, event).deposited = DayTotal.of(cause.time_ms, event.day_total_e8)


def _withdraw(state: State, event: FundsWithdrawn, cause: Cause) -> None:
    _transact(state, event).withdrawn = DayTotal.of(cause.time_ms, event.day_total_e8)


def _transact(state: State, event: FundsDeposited | FundsWithdrawn) -> Account:
    account = _account(state, event.account_id)
    _hold(account, event.holdings)
    account.transactions = event.transactions
    return account


def _answer(
    state: State, event: CommandRefused | CancelAllRequested | OrderChecked, _cause: Cause
) -> None:
    _account(state, event.account_id)


def _set_collar(state: State, event: CollarSet, cause: Cause) -> None:
    market = _market(state, event.symbol)
    market.collar, market.collar_at_ms = event, cause.time_ms


def _set_terms(state: State, event: TermsSet, _cause: Cause) -> None:
    _market(state, event.terms.symbol).terms = event.terms


def _set_fees(state: State, event: FeesSet, _cause: Cause) -> None:
    state.fees = event


def _end(state: State, event: Ended, _cause: Cause) -> None:
    account, order = _account(state, event.account_id), event.order
    _hold(account, event.holdings)
    if account.orders.pop(order.order_id, None) is None:
        return  # rejected before it was accepted
    account.final_orders[order.order_id] = order.client_order_id
    if len(account.final_orders) > FINAL_ORDERS_MAX:
        forgotten = account.final_orders.pop(next(iter(account.final_orders)))
        if forgotten is not None:
            del account.client_order_ids[forgotten]


_CHANGES: Final[Mapping[type[Message], Callable[[State, Any, Cause], None]]] = {
    OrderAccepted: _accept,
    OrderTraded: _trade,
    HouseTraded: _trade_of_house,
    OrderFilled: _end,
    OrderCanceled: _end,
    OrderExpired: _end,
    OrderRejected: _end,
    ReplaceRequested: _replace,
    OrderReplaced: _replace,
    ReplaceRefused: _replace,
    CancelRequested: _cancel,
    FundsDeposited: _deposit,
    FundsWithdrawn: _withdraw,
    CommandRefused: _answer,
    CancelAllRequested: _answer,
    OrderChecked: _answer,
    CollarSet: _set_collar,
    TermsSet: _set_terms,
    FeesSet: _set_fees,
}
"""By type: each class pattern that does not match takes longer than the whole look-up."""
