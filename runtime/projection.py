"""What a read model gives to the projector: pure functions from events to rows."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from runtime.table import Change
from schemas.codec import Codec, Message
from schemas.envelope import Recorded


class Index(NamedTuple):
    """A local secondary index: the table's partition key and another sort key.

    Only keys are projected, so that it costs a write only when the sort key changes; rows without
    the sort attribute are not in it.
    """

    name: str
    sort: str
    sort_type: str = "N"


class TableSpec(NamedTuple):
    """A table: string partition key, optional sort key (`S` or `N`), local indexes."""

    name: str
    partition_key: str
    sort_key: str | None = None
    sort_type: str = "S"
    indexes: tuple[Index, ...] = ()


class Projection(Protocol):
    """A read model; what it writes are post-states, so that the last write wins in a batch."""

    name: str
    journals: Mapping[str, Codec]
    """Journal topics that it folds, each with the codec of its events."""
    tables: Sequence[TableSpec]
    concerns: frozenset[str]
    """The types of the events that may change rows; others are not even decoded."""

    def project(self, event: Message, recorded: Recorded) -> Sequence[Change]:
        """The rows that the event changes, a few; pure, no reads."""
        ...
