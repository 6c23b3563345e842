"""The accounts context as the journal protocol takes it."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from consumers.accounts import decide, evolve, outbox
from consumers.accounts.state import FEES, MARKET_PREFIX, Account, Market, State
from runtime.journal.context import Outgoing
from schemas.accounts import COMMANDS, EVENTS, CollarSet, FeesSet, TermsSet
from schemas.codec import Codec, Message
from schemas.envelope import Cause
from schemas.topics import ACCOUNTS

_ENCODER: Final = msgspec.json.Encoder()
_ACCOUNT: Final = msgspec.json.Decoder(Account)
_MARKET: Final = msgspec.json.Decoder(Market)
_FEES: Final = msgspec.json.Decoder(FeesSet)


class AccountsContext:
    """Entities are account ids (a user's, or `house:<symbol>`), `market:<symbol>` and the fees."""

    name: str = ACCOUNTS
    schema_version: int = 1
    commands: Codec = COMMANDS
    events: Codec = EVENTS

    def empty(self) -> State:
        """A partition without history."""
        return State()

    def entity_of(self, event: Message) -> str:
        """The account, or what this partition was told about: a market, or the fees."""
        account_id: str | None = getattr(event, "account_id", None)
        return _told_of(event) if account_id is None else account_id

    def decide(self, state: State, command: Message, cause: Cause) -> Sequence[Message]:
        """The one event that the message leads to.

        Raises:
            Halted: a fact that contradicts the state.
        """
        return decide.decide(state, command, cause)

    def evolve(self, state: State, event: Message, cause: Cause) -> None:
        """Apply an event in place."""
        evolve.evolve(state, event, cause)

    def outbox(self, event: Message, cause: Cause) -> Sequence[Outgoing]:
        """What goes to markets."""
        return outbox.outbox(event, cause)

    def answers(self, event: Message, cause: Cause) -> bool:
        """Whether the waiting client gets this event."""
        return outbox.answers(event, cause)

    def entities(self, state: State) -> Iterable[str]:
        """Accounts, then markets, then the fees if they were ever set."""
        yield from state.accounts
        for symbol in state.markets:
            yield MARKET_PREFIX + symbol
        if state.fees is not None:
            yield FEES

    def dump(self, state: State, entity: str) -> bytes:
        """The entity as JSON, its parts in the order of its history."""
        if entity.startswith(MARKET_PREFIX):
            return _ENCODER.encode(state.markets[entity.removeprefix(MARKET_PREFIX)])
        return _ENCODER.encode(state.fees if entity == FEES else state.accounts[entity])

    def load(self, state: State, entity: str, stored: bytes) -> None:
        """Put a dumped entity back."""
        if entity.startswith(MARKET_PREFIX):
            state.markets[entity.removeprefix(MARKET_PREFIX)] = _MARKET.decode(stored)
        elif entity == FEES:
            state.fees = _FEES.decode(stored)
        else:
            state.accounts[entity] = _ACCOUNT.decode(stored)


def _told_of(event: Message) -> str:
    match event:
        case CollarSet():
            return MARKET_PREFIX + event.symbol
        case TermsSet():
            return MARKET_PREFIX + event.terms.symbol
        case _:
            return FEES
