"""What accounts sends to markets, and which of its events a waiting client gets as the outcome."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from runtime.errors import InvariantBroken
from runtime.journal.context import Outgoing
from schemas.accounts import (
    CancelAllRequested,
    CancelRequested,
    CollarSet,
    HouseTraded,
    OrderAccepted,
    OrderTraded,
    ReplaceRequested,
    TermsSet,
)
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.markets import CancelRestingOrder, ReplaceRestingOrder, SubmitOrder
from schemas.topics import ACCOUNTS_COMMANDS, MARKETS_COMMANDS

_NO_OUTCOME: Final = frozenset(
    {OrderTraded, HouseTraded, CancelRequested, ReplaceRequested, CollarSet, TermsSet}
)


def outbox(event: Message, _cause: Cause) -> Sequence[Outgoing]:
    """An accepted order and every cancel go to the order's market, what is left to oneself."""
    sent = _SENT.get(type(event))
    return () if sent is None else sent(event)


def answers(event: Message, _cause: Cause) -> bool:
    """Whether it is an outcome: a market, IOC or FOK order's comes with its end, a stop's now."""
    match event:
        case OrderAccepted():
            return not event.order.ends_at_once
        case CancelAllRequested():
            return event.next is None
        case _:
            return type(event) not in _NO_OUTCOME


def _cancel(event: CancelRequested) -> Sequence[Outgoing]:
    message = CancelRestingOrder(
        symbol=event.order.symbol,
        account_id=event.account_id,
        order_id=event.order.order_id,
    )
    return (Outgoing(MARKETS_COMMANDS, message.symbol, message, carries_reply=True),)


def _cancels(event: CancelAllRequested) -> Sequence[Outgoing]:
    """The markets' answers are the orders' ends; nobody waits for a single one."""
    cancels = [
        CancelRestingOrder(symbol=each.symbol, account_id=event.account_id, order_id=each.order_id)
        for each in event.orders
    ]
    sent = [Outgoing(MARKETS_COMMANDS, each.symbol, each) for each in cancels]
    if event.next is not None:
        sent.append(Outgoing(ACCOUNTS_COMMANDS, event.account_id, event.next, carries_reply=True))
    return sent


def _replace(event: ReplaceRequested) -> Sequence[Outgoing]:
    order = event.order
    if order.replacing is None:
        raise InvariantBroken(f"order {order.order_id} is not to be replaced")
    message = ReplaceRestingOrder(
        symbol=order.symbol,
        account_id=event.account_id,
        order_id=order.order_id,
        quantity_e8=order.replacing.quantity_e8,
        price_e8=order.replacing.price_e8,
        stop_price_e8=order.replacing.stop_price_e8,
        protection_price_e8=order.replacing.protection_price_e8,
    )
    return (Outgoing(MARKETS_COMMANDS, order.symbol, message, carries_reply=True),)


def _submit(event: OrderAccepted) -> Sequence[Outgoing]:
    order = event.order
    message = SubmitOrder(
        symbol=order.symbol,
        account_id=event.account_id,
        order_id=order.order_id,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        quantity_e8=order.quantity_e8,
        price_e8=order.price_e8,
        protection_price_e8=order.protection_price_e8,
        deadline_ms=event.deadline_ms,
        expires_at_ms=order.expires_at_ms,
        post_only=order.post_only,
        stop_price_e8=order.stop_price_e8,
        self_trade_prevention=order.self_trade_prevention,
    )
    carries_reply = order.ends_at_once
    return (Outgoing(MARKETS_COMMANDS, order.symbol, message, carries_reply=carries_reply),)


_SENT: Final[Mapping[type[Message], Callable[[Any], Sequence[Outgoing]]]] = {
    OrderAccepted: _submit,
    CancelRequested: _cancel,
    CancelAllRequested: _cancels,
    ReplaceRequested: _replace,
}
