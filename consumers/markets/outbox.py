"""What the events of markets tell accounts, and markets; a pure function of each record (O1)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from runtime.journal.context import EVERYWHERE, Outgoing
from schemas.accounts import (
    ApplyExecution,
    ApplyReplace,
    EndOrder,
    Liquidity,
    MarketTerms,
    PriceCollar,
    RefuseCancel,
    RefuseReplace,
)
from schemas.codec import Message
from schemas.markets import (
    ActivateStop,
    CancelRefused,
    CollarMoved,
    MarketHalted,
    MarketListed,
    MarketResumed,
    OrderEnded,
    OrderReplaced,
    Party,
    ReplaceRefused,
    StopsTriggered,
    TradeExecuted,
)
from schemas.topics import ACCOUNTS_COMMANDS, MARKETS_COMMANDS


def outbox(event: Message) -> Sequence[Outgoing]:
    """The messages in order: a trade's legs come before the end of its orders."""
    sent = _SENT.get(type(event))
    return () if sent is None else sent(event)


def _legs(event: TradeExecuted) -> Sequence[Outgoing]:
    return (
        _execution(event, event.maker, Liquidity.MAKER),
        _execution(event, event.taker, Liquidity.TAKER),
    )


def _execution(event: TradeExecuted, party: Party, liquidity: Liquidity) -> Outgoing:
    message = ApplyExecution(
        account_id=party.account_id,
        symbol=event.symbol,
        asset=event.asset,
        side=party.side,
        trade_id=event.trade_id,
        price_e8=event.price_e8,
        quantity_e8=event.quantity_e8,
        notional_e8=event.notional_e8,
        liquidity=liquidity,
        order_id=party.order_id,
        cum_quantity_e8=party.cum_quantity_e8,
    )
    return Outgoing(ACCOUNTS_COMMANDS, party.account_id, message)


def _end(event: OrderEnded) -> Sequence[Outgoing]:
    message = EndOrder(
        account_id=event.account_id,
        order_id=event.order_id,
        symbol=event.symbol,
        end=event.end,
        cum_quantity_e8=event.cum_quantity_e8,
        reason=event.reason,
    )
    waits = event.answers_cause
    return (Outgoing(ACCOUNTS_COMMANDS, event.account_id, message, carries_reply=waits),)


def _activations(event: StopsTriggered) -> Sequence[Outgoing]:
    """Each stop comes to the book by a command of its own, then what is left of the triggers."""
    messages: list[Message] = [
        ActivateStop(symbol=event.symbol, order_id=each) for each in event.order_ids
    ]
    if event.next is not None:
        messages.append(event.next)
    return [Outgoing(MARKETS_COMMANDS, event.symbol, each) for each in messages]


def _refusal(event: CancelRefused | ReplaceRefused) -> Sequence[Outgoing]:
    refuse = RefuseCancel if isinstance(event, CancelRefused) else RefuseReplace
    message = refuse(account_id=event.account_id, order_id=event.order_id, reason=event.reason)
    return (Outgoing(ACCOUNTS_COMMANDS, event.account_id, message, carries_reply=True),)


def _replacement(event: OrderReplaced) -> Sequence[Outgoing]:
    message = ApplyReplace(
        account_id=event.account_id,
        order_id=event.order_id,
        symbol=event.symbol,
        quantity_e8=event.quantity_e8,
        price_e8=event.price_e8,
        cum_quantity_e8=event.quantity_e8 - event.leaves_e8,
        stop_price_e8=event.stop_price_e8,
    )
    return (Outgoing(ACCOUNTS_COMMANDS, event.account_id, message, carries_reply=True),)


def _price_collar(event: CollarMoved) -> Sequence[Outgoing]:
    collar = PriceCollar(
        symbol=event.symbol, last_e8=event.last_e8, low_e8=event.low_e8, high_e8=event.high_e8
    )
    return (Outgoing(ACCOUNTS_COMMANDS, EVERYWHERE, collar),)


def _listed(event: MarketListed) -> Sequence[Outgoing]:
    return _terms(event, is_open=event.is_open)


def _halted(event: MarketHalted) -> Sequence[Outgoing]:
    return _terms(event, is_open=False)


def _resumed(event: MarketResumed) -> Sequence[Outgoing]:
    return _terms(event, is_open=True)


def _terms(
    event: MarketListed | MarketHalted | MarketResumed, *, is_open: bool
) -> Sequence[Outgoing]:
    rules = event.rules
    terms = MarketTerms(
        symbol=event.symbol,
        asset=event.asset,
        tick_e8=rules.tick_e8,
        lot_e8=rules.lot_e8,
        min_notional_e8=rules.min_notional_e8,
        maker_fee_ppm=rules.maker_fee_ppm,
        taker_fee_ppm=rules.taker_fee_ppm,
        stale_after_ms=rules.stale_after_ms,
        is_open=is_open,
    )
    return (Outgoing(ACCOUNTS_COMMANDS, EVERYWHERE, terms),)


_SENT: Final[Mapping[type[Message], Callable[[Any], Sequence[Outgoing]]]] = {
    TradeExecuted: _legs,
    OrderEnded: _end,
    StopsTriggered: _activations,
    CancelRefused: _refusal,
    ReplaceRefused: _refusal,
    OrderReplaced: _replacement,
    CollarMoved: _price_collar,
    MarketListed: _listed,
    MarketHalted: _halted,
    MarketResumed: _resumed,
}
