"""markets as the journal protocol drives it."""

from collections.abc import Iterable, Sequence
from typing import Final

from consumers.markets.candles import drawn
from consumers.markets.decide import decide
from consumers.markets.evolve import evolve
from consumers.markets.outbox import outbox
from consumers.markets.state import CLOCK, Markets, dump, load
from runtime.journal.context import Outgoing
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.markets import (
    COMMANDS,
    EVENTS,
    CommandRefused,
    MarketHalted,
    MarketListed,
    MarketResumed,
)
from schemas.topics import MARKETS

_ANSWERS: Final = frozenset({MarketListed, MarketHalted, MarketResumed, CommandRefused})


class MarketsContext:
    """The deciding context `markets`; its entities are symbols and the clock."""

    name = MARKETS
    schema_version = 4
    commands = COMMANDS
    events = EVENTS

    def empty(self) -> Markets:
        """A partition without markets."""
        return Markets()

    def entity_of(self, event: Message) -> str:
        """The symbol, or the clock, which is the only one without."""
        return getattr(event, "symbol", CLOCK)

    def decide(self, state: Markets, command: Message, cause: Cause) -> Sequence[Message]:
        """See `decide.decide`; what has a price carries candles (`candles.drawn`)."""
        return drawn(state, decide(state, command, cause), cause)

    def evolve(self, state: Markets, event: Message, cause: Cause) -> None:
        """See `evolve.evolve`."""
        evolve(state, event, cause)

    def outbox(self, event: Message, cause: Cause) -> Sequence[Outgoing]:  # noqa: ARG002  # the event says it all
        """See `outbox.outbox`."""
        return outbox(event)

    def answers(self, event: Message, cause: Cause) -> bool:  # noqa: ARG002  # the event says it all
        """Operators wait for listings, halts and refusals; traders hear from accounts."""
        return type(event) in _ANSWERS

    def entities(self, state: Markets) -> Iterable[str]:
        """Every symbol that was ever named, and the clock."""
        return state.entities()

    def dump(self, state: Markets, entity: str) -> bytes:
        """See `state.dump`."""
        return dump(state, entity)

    def load(self, state: Markets, entity: str, stored: bytes) -> None:
        """See `state.load`."""
        load(state, entity, stored)
