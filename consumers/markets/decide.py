"""What a market decides: pure functions from a book and a command to events."""

from collections.abc import Sequence

from consumers.markets.book import Book
from consumers.markets.listings import halt, list_market, resume
from consumers.markets.orders import activate, cancel, submit
from consumers.markets.quotes import tick, update_quote
from consumers.markets.replacing import replace_order
from consumers.markets.state import Markets
from consumers.markets.triggering import triggered
from runtime.errors import InvariantBroken
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.markets import (
    ActivateStop,
    CancelRestingOrder,
    HaltMarket,
    ListMarket,
    ReplaceRestingOrder,
    ResumeMarket,
    SubmitOrder,
    TickClock,
    TriggerStops,
    UpdateQuote,
)


def decide(state: Markets, command: Message, cause: Cause) -> Sequence[Message]:
    """The events that a command leads to; none where it asks for what is already so.

    Raises:
        Halted: an order that is in the book already was submitted again.
        InvariantBroken: a message that is not a command of markets.
    """
    match command:
        case SubmitOrder():
            return submit(state, command, cause)
        case CancelRestingOrder():
            return (cancel(state.books.get(command.symbol), command),)
        case ReplaceRestingOrder():
            return replace_order(state.books.get(command.symbol), command, cause)
        case UpdateQuote():
            return update_quote(state.books.get(command.symbol), command, cause)
        case TickClock() | ActivateStop() | TriggerStops():
            return _go_on(state, command, cause)
        case ListMarket() | HaltMarket() | ResumeMarket():
            return _operate(state.books.get(command.symbol), command, cause)
        case _:
            raise InvariantBroken(f"{command.TYPE} is not a command of markets")


def _go_on(
    state: Markets, command: TickClock | ActivateStop | TriggerStops, cause: Cause
) -> Sequence[Message]:
    """What falls due by time, or was triggered; nothing where that is gone."""
    if isinstance(command, TickClock):
        return tick(state, cause)
    book = state.books.get(command.symbol)
    if book is None:
        return ()
    if isinstance(command, ActivateStop):
        return activate(book, command, cause)
    return triggered(book, command, cause) if book.is_open else ()


def _operate(
    book: Book | None, command: ListMarket | HaltMarket | ResumeMarket, cause: Cause
) -> Sequence[Message]:
    match command:
        case ListMarket():
            return list_market(book, command)
        case HaltMarket():
            return halt(book, command)
        case ResumeMarket():
            return resume(book, command, cause)
