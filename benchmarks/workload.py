"""What the accounts worker gets to decide: the same messages in every run.

In each cycle an account deposits, places a limit order far from the price and a market order,
cancels the first and withdraws; its market fills the second (two legs and an end) and ends the
first. So five of nine messages are clients' and four are facts, as in a running system.
"""

from collections.abc import Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from typing import Final

from producers.envelopes import command_headers
from runtime.journal import entries
from runtime.log import NewRecord
from schemas.accounts import (
    ApplyExecution,
    CancelOrder,
    DepositFunds,
    EndOrder,
    EndReason,
    Liquidity,
    MarketTerms,
    OrderType,
    PlaceOrder,
    PriceCollar,
    Reason,
    Side,
    WithdrawFunds,
)
from schemas.codec import Message, encode
from schemas.envelope import Cause, ReplyRoute, derived_id
from schemas.money import E8
from schemas.topics import ACCOUNTS_COMMANDS, MARKETS_COMMANDS

SYMBOL: Final = "BTC-USD"
ASSET: Final = "BTC"
LAST_E8: Final = 40_000 * E8
FAR_E8: Final = 30_000 * E8
QUANTITY_E8: Final = E8 // 1000
_SOURCE: Final = "markets/0/1"
_DAY_MS: Final = 86_400_000
_PATIENCE_MS: Final = 600_000
_GATEWAYS: Final = 2
_SIDE_BY_SIDE: Final = 50


def account_ids(count: int) -> list[str]:
    """Ids as users have them."""
    return [_hex(f"account {n}") for n in range(count)]


def accounts_inbox(count: int, *, accounts: int, now_ms: int) -> list[NewRecord]:
    """The first `count` records of the one partition of an accounts inbox."""
    return list(islice(_Inbox(account_ids(accounts), now_ms).records(), count))


class _Inbox:
    """Writes one inbox from its offset 0 on, so that it knows every id that follows from one."""

    def __init__(self, accounts: Sequence[str], now_ms: int) -> None:
        self._accounts = accounts
        self._now_ms = now_ms
        self._offset = 0
        self._sequence = 0

    def records(self) -> Iterator[NewRecord]:
        yield self._fact(_terms())
        while True:
            for start in range(0, len(self._accounts), _SIDE_BY_SIDE):
                yield self._fact(_collar())
                yield from self._cycle(self._accounts[start : start + _SIDE_BY_SIDE])

    def _cycle(self, accounts: Sequence[str]) -> Iterator[NewRecord]:
        for each in accounts:
            yield self._command(each, DepositFunds(account_id=each, amount_e8=100 * E8))
        resting_at = self._offset
        for each in accounts:
            yield self._command(each, _order(each, OrderType.LIMIT))
        taking_at = self._offset
        for each in accounts:
            yield self._command(each, _order(each, OrderType.MARKET))
        canceled_at = self._offset
        for n, each in enumerate(accounts):
            cancel = CancelOrder(account_id=each, order_id=_order_id(resting_at + n))
            yield self._command(each, cancel)
        for n, each in enumerate(accounts):
            order_id, trade_id = _order_id(taking_at + n), derived_id("trade", self._offset)
            yield self._fact(_leg(f"house:{SYMBOL}", None, trade_id))
            yield self._fact(_leg(each, order_id, trade_id))
            yield self._fact(_filled(each, order_id), answers=taking_at + n)
        for n, each in enumerate(accounts):
            end = _canceled(each, _order_id(resting_at + n))
            yield self._fact(end, answers=canceled_at + n)
        for each in accounts:
            yield self._command(each, WithdrawFunds(account_id=each, amount_e8=5 * E8))

    def _command(self, account_id: str, command: Message) -> NewRecord:
        offset = self._next_offset()
        command_id = _command_id(offset)
        has_key = offset % 2 == 0
        headers = command_headers(
            command,
            producer="gateway",
            command_id=command_id,
            time_ms=self._now_ms,
            expires_at_ms=self._now_ms + _PATIENCE_MS,
            retain_until_ms=self._now_ms + _DAY_MS if has_key else None,
            user_id=account_id,
            user_role="trader",
            fingerprint=_hex(f"body {offset}", size_bytes=32) if has_key else None,
            reply_to=_route(offset),
            correlation_id=_hex(f"request {offset}"),
        )
        return NewRecord(encode(command), headers, account_id.encode())

    def _fact(self, message: Message, *, answers: int | None = None) -> NewRecord:
        offset = self._next_offset()
        self._sequence += 1
        route = None if answers is None else _route(answers)
        cause = Cause(
            MARKETS_COMMANDS,
            0,
            offset,
            self._now_ms,
            f"accounts/0/1/{MARKETS_COMMANDS}/0/{offset}",
            reply_to=route,
            correlation_id=_hex(f"request {offset}"),
        )
        account_id = getattr(message, "account_id", None)
        return entries.fact(
            body=encode(message),
            message_type=message.TYPE,
            source=_SOURCE,
            sequence=self._sequence,
            destination=(ACCOUNTS_COMMANDS, 0),
            key=account_id.encode() if account_id else None,
            cause=cause,
            carries_reply=route is not None,
        )

    def _next_offset(self) -> int:
        self._offset += 1
        return self._offset - 1


def _order_id(offset: int) -> str:
    return derived_id(ACCOUNTS_COMMANDS, 0, offset, 0)


def _command_id(offset: int) -> str:
    return _hex(f"command {offset}")


def _route(offset: int) -> ReplyRoute:
    return ReplyRoute(offset % _GATEWAYS, _command_id(offset))


def _order(account_id: str, order_type: OrderType) -> PlaceOrder:
    return PlaceOrder(
        account_id=account_id,
        asset=ASSET,
        side=Side.BUY,
        order_type=order_type,
        quantity_e8=QUANTITY_E8,
        price_e8=FAR_E8 if order_type is OrderType.LIMIT else None,
    )


def _leg(account_id: str, order_id: str | None, trade_id: str) -> ApplyExecution:
    is_house = order_id is None
    return ApplyExecution(
        account_id=account_id,
        symbol=SYMBOL,
        asset=ASSET,
        side=Side.SELL if is_house else Side.BUY,
        trade_id=trade_id,
        price_e8=LAST_E8,
        quantity_e8=QUANTITY_E8,
        notional_e8=LAST_E8 * QUANTITY_E8 // E8,
        liquidity=Liquidity.MAKER if is_house else Liquidity.TAKER,
        order_id=order_id,
        cum_quantity_e8=0 if is_house else QUANTITY_E8,
    )


def _filled(account_id: str, order_id: str) -> EndOrder:
    return EndOrder(
        account_id=account_id,
        order_id=order_id,
        symbol=SYMBOL,
        end=EndReason.FILLED,
        cum_quantity_e8=QUANTITY_E8,
    )


def _canceled(account_id: str, order_id: str) -> EndOrder:
    return EndOrder(
        account_id=account_id,
        order_id=order_id,
        symbol=SYMBOL,
        end=EndReason.CANCELED,
        cum_quantity_e8=0,
        reason=Reason.CANCELED_BY_USER,
    )


def market_facts() -> Sequence[Message]:
    """What markets tell accounts of the one market."""
    return (_terms(), _collar())


def _collar() -> PriceCollar:
    return PriceCollar(
        symbol=SYMBOL,
        last_e8=LAST_E8,
        low_e8=LAST_E8 * 99 // 100,
        high_e8=LAST_E8 * 101 // 100,
    )


def _terms() -> MarketTerms:
    return MarketTerms(
        symbol=SYMBOL,
        asset=ASSET,
        tick_e8=E8 // 100,
        lot_e8=1000,
        min_notional_e8=E8,
        maker_fee_ppm=0,
        taker_fee_ppm=0,
        stale_after_ms=5_000,
        is_open=True,
    )


def _hex(text: str, *, size_bytes: int = 16) -> str:
    return blake2b(text.encode(), digest_size=size_bytes).hexdigest()
