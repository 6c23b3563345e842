"""What a deciding context gives to the journal protocol: pure functions over its messages."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple, Protocol, TypeVar

from schemas.codec import Codec, Message
from schemas.envelope import Cause


class Everywhere(Enum):
    """An outgoing message that goes to each partition of its topic."""

    PARTITIONS = "each partition"


class Outgoing(NamedTuple):
    """A message for another inbox, a pure function of one journal record.

    `key` places it with murmur2, as every producer does; `EVERYWHERE` sends it to each partition.
    `carries_reply` hands the cause's reply route on to the receiver.
    """

    topic: str
    key: str | Everywhere
    message: Message
    carries_reply: bool = False


EVERYWHERE = Everywhere.PARTITIONS

S = TypeVar("S")


class Context(Protocol[S]):
    """A bounded context; `S` is the state of one partition, which only `evolve` and `load` change.

    Entities are addressed by id. The protocol counts their versions: an entity's version is the
    number of its journal records, refusals included.
    """

    name: str
    schema_version: int
    commands: Codec
    events: Codec

    def empty(self) -> S:
        """The state of a partition without history."""
        ...

    def entity_of(self, event: Message) -> str:
        """The id of the one entity that the event changes."""
        ...

    def decide(self, state: S, command: Message, cause: Cause) -> Sequence[Message]:
        """The events that the command leads to, at least one; never changes the state.

        An empty result means that it is done already (`command-duplicate`).

        Raises:
            Halted: a fact that cannot be applied.
        """
        ...

    def evolve(self, state: S, event: Message, cause: Cause) -> None:
        """Apply the event to the state, in place; of the cause only what W7 headers carry."""
        ...

    def outbox(self, event: Message, cause: Cause) -> Sequence[Outgoing]:
        """The messages that the record sends to other inboxes, in order."""
        ...

    def answers(self, event: Message, cause: Cause) -> bool:
        """Whether the event is the outcome that the waiting client gets."""
        ...

    def entities(self, state: S) -> Iterable[str]:
        """The ids of every entity in the state."""
        ...

    def dump(self, state: S, entity: str) -> bytes:
        """The entity's stored form, the same bytes for the same history (S2).

        Also of an entity that left the state: its version still counts.
        """
        ...

    def load(self, state: S, entity: str, stored: bytes) -> None:
        """Put a stored entity into the state."""
        ...
