"""From the events of markets to rows: terms, quotes, trades, candles, resting orders."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from read_models.markets.table import (
    CANDLES,
    MARKETS,
    MINUTE,
    QUOTE,
    RESTING,
    TABLES,
    TERMS,
    TRADES,
    Trade,
    candles_key,
    day_key,
    hour_of,
    rank_of,
)
from runtime.projection import TableSpec
from runtime.table import Change, Delete, Merge, Put
from schemas.accounts import Reason
from schemas.candles import HOUR_MS, Candle
from schemas.codec import Codec, Message, encode
from schemas.envelope import Recorded
from schemas.markets import (
    EVENTS,
    MarketHalted,
    MarketListed,
    MarketResumed,
    OrderEnded,
    OrderReplaced,
    OrderRested,
    QuoteUpdated,
    TradeExecuted,
)
from schemas.topics import MARKETS_JOURNAL

CONCERNS: Final = frozenset(
    each.TYPE
    for each in (
        MarketListed,
        MarketHalted,
        MarketResumed,
        QuoteUpdated,
        TradeExecuted,
        OrderRested,
        OrderReplaced,
        OrderEnded,
    )
)


class MarketsProjection:
    """The read model `markets`."""

    name: str = "markets"
    journals: Mapping[str, Codec] = {MARKETS_JOURNAL: EVENTS}
    tables: Sequence[TableSpec] = TABLES
    concerns = CONCERNS

    def project(self, event: Message, recorded: Recorded) -> Sequence[Change]:  # noqa: PLR0911  # one line per event
        """One row; a trade has its own, that of its minute, and one of a maker that rests on.

        The first price of a minute closes candles: five rows more.
        """
        match event:
            case MarketListed():
                return (_terms(event, recorded, is_open=event.is_open),)
            case MarketHalted():
                return (_terms(event, recorded, is_open=False),)
            case MarketResumed():
                return (_terms(event, recorded, is_open=True),)
            case QuoteUpdated():
                return (_quote(event, recorded), *_closed(event))
            case TradeExecuted():
                minute = _minute(event)
                return (_trade(event, recorded), *_maker(event), *minute, *_closed(event))
            case OrderRested():
                return (_rested(event),)
            case OrderReplaced():
                return (_replaced(event),)
            case OrderEnded() if not _never_rested(event):
                return (Delete(RESTING.name, _order_key(event)),)
            case _:
                return ()


PROJECTION: Final = MarketsProjection()


def _terms(
    event: MarketListed | MarketHalted | MarketResumed, recorded: Recorded, *, is_open: bool
) -> Put:
    row = {
        "kind": TERMS,
        "symbol": event.symbol,
        "asset": event.asset,
        "rules": msgspec.to_builtins(event.rules),
        "is_open": is_open,
        "version": recorded.entity_version,
        "time_ms": recorded.cause.time_ms,
    }
    return Put(MARKETS.name, row)


def _quote(event: QuoteUpdated, recorded: Recorded) -> Put:
    row = {
        "kind": QUOTE,
        "symbol": event.symbol,
        "quote": msgspec.to_builtins(event.quote),
        "version": recorded.entity_version,
        "time_ms": recorded.cause.time_ms,
    }
    minute = {} if event.minute is None else {MINUTE: encode(event.minute).decode()}
    return Put(MARKETS.name, row | minute)


def _trade(event: TradeExecuted, recorded: Recorded) -> Put:
    trade = Trade(
        trade_id=event.trade_id,
        price_e8=event.price_e8,
        quantity_e8=event.quantity_e8,
        notional_e8=event.notional_e8,
        taker_side=event.taker.side,
    )
    row = {
        "symbol": event.symbol,
        "offset": recorded.offset,
        "trade": encode(trade).decode(),
        "time_ms": recorded.cause.time_ms,
    }
    return Put(TRADES.name, row)


def _minute(event: TradeExecuted) -> tuple[Merge, ...]:
    if event.minute is None:
        return ()
    key = day_key(event.symbol, event.series)
    row: dict[str, str] = {MINUTE: encode(event.minute).decode()}
    row |= {hour_of(each): encode(each).decode() for each in _hours(event)}
    return (Merge(MARKETS.name, key, row),)


def _closed(event: TradeExecuted | QuoteUpdated) -> Iterator[Change]:
    """The candles up to the minute before, which is the first of them."""
    for candle in event.closed:
        row = {
            "series": candles_key(event.symbol, event.series, candle.interval_ms),
            "start_ms": candle.start_ms,
            "candle": encode(candle).decode(),
            "minute_ms": event.closed[0].start_ms,
        }
        yield Put(CANDLES.name, row)
    if isinstance(event, QuoteUpdated):
        for hour in _hours(event):
            row = {hour_of(hour): encode(hour).decode()}
            yield Merge(MARKETS.name, day_key(event.symbol, event.series), row)


def _hours(event: TradeExecuted | QuoteUpdated) -> list[Candle]:
    return [each for each in event.closed if each.interval_ms == HOUR_MS]


def _maker(event: TradeExecuted) -> tuple[Merge, ...]:
    """What is left of the order that rested; its end follows where nothing is, the house has none.

    A taker does not rest: what is left of it comes to rest in an event of its own.
    """
    maker = event.maker
    if maker.order_id is None or not maker.leaves_e8:
        return ()
    key = {"symbol": event.symbol, "order_id": maker.order_id}
    return (Merge(RESTING.name, key, {"leaves_e8": maker.leaves_e8}),)


def _rested(event: OrderRested) -> Put:
    rank = rank_of(event.side, event.price_e8)
    return Put(RESTING.name, {**_order_key(event), "rank": rank, "leaves_e8": event.leaves_e8})


def _replaced(event: OrderReplaced) -> Change:
    """An order that lost its priority left the book; later events say where it rests anew."""
    if not event.keeps_priority:
        return Delete(RESTING.name, _order_key(event))
    return Merge(RESTING.name, _order_key(event), {"leaves_e8": event.leaves_e8})


def _never_rested(event: OrderEnded) -> bool:
    """Only an incoming order's end and a cancel answer their cause."""
    return event.answers_cause and event.reason is not Reason.CANCELED_BY_USER


def _order_key(event: OrderRested | OrderReplaced | OrderEnded) -> dict[str, str]:
    return {"symbol": event.symbol, "order_id": event.order_id}
