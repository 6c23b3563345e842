"""What operators do: list markets and change their rules, halt and resume them."""

from collections.abc import Sequence
from typing import Final

from consumers.markets.book import Book
from consumers.markets.matching import FILLS_MAX
from consumers.markets.refusals import UNKNOWN_MARKET, refused
from consumers.markets.trades import crossings, house_offers
from consumers.markets.triggering import with_triggers
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.markets import (
    HaltMarket,
    ListMarket,
    MarketHalted,
    MarketListed,
    MarketResumed,
    ResumeMarket,
    Rules,
)
from schemas.money import PPM

OTHER_ASSET: Final = "other-asset"
INVALID_RULES: Final = "invalid-rules"


def list_market(book: Book | None, command: ListMarket) -> Sequence[Message]:
    """Open a market or change its rules; a halted one stays halted."""
    if not _are_valid(command.rules):
        return (refused(command, INVALID_RULES),)
    if book is None or book.rules is None:
        return (_listed(command, is_open=True),)
    if book.asset != command.asset:
        return (refused(command, OTHER_ASSET),)
    if command.unless_listed or book.rules == command.rules:
        return ()
    return (_listed(command, is_open=book.is_open),)


def halt(book: Book | None, command: HaltMarket) -> Sequence[Message]:
    """Stop matching; nothing when it is stopped already."""
    if book is None or book.rules is None:
        return (refused(command, UNKNOWN_MARKET),)
    if not book.is_open:
        return ()
    return (MarketHalted(symbol=book.symbol, asset=book.asset, rules=book.rules),)


def resume(book: Book | None, command: ResumeMarket, cause: Cause) -> Sequence[Message]:
    """Match again, beginning with what the quote crosses and the last price triggers by now."""
    if book is None or book.rules is None:
        return (refused(command, UNKNOWN_MARKET),)
    if book.is_open:
        return ()
    resumed = MarketResumed(symbol=book.symbol, asset=book.asset, rules=book.rules)
    trades = crossings(book, house_offers(book, cause), cause, iter(range(FILLS_MAX)))
    last = () if book.last_e8 is None else (book.last_e8,)
    return with_triggers(book, (resumed, *trades), cause, last)


def _listed(command: ListMarket, *, is_open: bool) -> MarketListed:
    return MarketListed(
        symbol=command.symbol, asset=command.asset, rules=command.rules, is_open=is_open
    )


def _are_valid(rules: Rules) -> bool:
    positive = (rules.tick_e8, rules.lot_e8, rules.stale_after_ms)
    fees = (rules.maker_fee_ppm, rules.taker_fee_ppm)
    return (
        min(positive) > 0
        and rules.min_notional_e8 >= 0
        and 0 < rules.collar_ppm < PPM
        and all(0 <= each < PPM for each in fees)
    )
