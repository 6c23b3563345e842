"""From the events of markets to rows: terms, and the newest quote."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from read_models.markets.table import MARKETS, QUOTE, TABLES, TERMS
from runtime.projection import TableSpec
from runtime.table import Change, Put
from schemas.codec import Codec, Message
from schemas.envelope import Recorded
from schemas.markets import EVENTS, MarketHalted, MarketListed, MarketResumed, QuoteUpdated
from schemas.topics import MARKETS_JOURNAL

CONCERNS: Final = frozenset(
    each.TYPE for each in (MarketListed, MarketHalted, MarketResumed, QuoteUpdated)
)


class MarketsProjection:
    """The read model `markets`."""

    name: str = "markets"
    journals: Mapping[str, Codec] = {MARKETS_JOURNAL: EVENTS}
    tables: Sequence[TableSpec] = TABLES
    concerns = CONCERNS

    def project(self, event: Message, recorded: Recorded) -> Sequence[Change]:
        """One row at most."""
        match event:
            case MarketListed():
                return (_terms(event, recorded, is_open=event.is_open),)
            case MarketHalted():
                return (_terms(event, recorded, is_open=False),)
            case MarketResumed():
                return (_terms(event, recorded, is_open=True),)
            case QuoteUpdated():
                return (_quote(event, recorded),)
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
    return Put(MARKETS.name, row)
