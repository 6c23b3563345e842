"""What a command leads to that a market cannot follow."""

from typing import Final

from schemas.markets import CommandRefused, HaltMarket, ListMarket, ResumeMarket, UpdateQuote

UNKNOWN_MARKET: Final = "unknown-market"


def refused(
    command: ListMarket | HaltMarket | ResumeMarket | UpdateQuote, reason: str
) -> CommandRefused:
    """Who asked learns why nothing changed."""
    return CommandRefused(symbol=command.symbol, command=command.TYPE, reason=reason)
