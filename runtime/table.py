"""The small table store that projectors are driven over; DynamoDB and memory implement it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

Row = Mapping[str, Any]
"""Attributes of one item: str, int, bool, None, lists and maps of those; integers of any size."""


class Put(NamedTuple):
    """Write the whole row."""

    table: str
    row: Row


class Merge(NamedTuple):
    """Set these attributes, leave the row's others; they make the row where there is none."""

    table: str
    key: Row
    row: Row


class Delete(NamedTuple):
    """Remove the row with this key."""

    table: str
    key: Row


class ConditionFailed(Exception):  # noqa: N818  # named by the reaction
    """The condition of a transaction did not hold: nothing was written."""


Change = Put | Merge | Delete


def merged(before: Change, after: Change) -> Change:
    """One change that does what two of the same row do, one after the other."""
    if not isinstance(after, Merge):
        return after
    match before:
        case Put():
            return Put(after.table, {**before.row, **after.row})
        case Merge():
            return Merge(after.table, after.key, {**before.row, **after.row})
        case Delete():
            return Put(after.table, {**after.key, **after.row})


class Checkpoint(NamedTuple):
    """A row to write if `expected` is there now; None means that none may be."""

    table: str
    row: Row
    expected: Row | None


class Table(Protocol):
    """Reads are strongly consistent; each method raises `Unavailable` when the store fails."""

    async def get(self, table: str, key: Row) -> Row | None:
        """The row with this key."""
        ...

    async def transact(
        self, changes: Sequence[Change], *, checkpoints: Sequence[Checkpoint]
    ) -> None:
        """Write changes and checkpoints, at most 100 together, all or nothing.

        Raises:
            ConditionFailed: another checkpoint is there.
        """
        ...


class Span(NamedTuple):
    """A range of a sort key, both ends included."""

    attribute: str
    low: str | int
    high: str | int


class Stem(NamedTuple):
    """All texts of a sort key that begin so."""

    attribute: str
    text: str


class Beyond(NamedTuple):
    """What sorts behind this value of a sort key, or before it (`below`); not the value itself."""

    attribute: str
    value: str | int
    below: bool = False


Where = Span | Stem | Beyond


class Readable(Table, Protocol):
    """What queries may ask of a table store; strongly consistent unless said otherwise."""

    async def batch_get(self, table: str, keys: Sequence[Row]) -> Sequence[Row | None]:
        """The rows with these keys, in their order; None where there is none."""
        ...

    async def query(  # noqa: PLR0913  # each one is a part of one question
        self,
        table: str,
        partition: Row,
        *,
        where: Where | None = None,
        matching: Row | None = None,
        index: str | None = None,
        newest_first: bool = False,
        offset: int = 0,
        limit: int | None = None,
        start_after: Row | None = None,
        consistent: bool = True,
    ) -> Sequence[Row]:
        """Rows of one partition in the order of the sort key (of `index`, where named).

        `partition` is `{key attribute: value}`. `matching` keeps rows with equal attributes; it
        filters after reading, so it costs what it skips. `offset` counts kept rows.
        """
        ...

    async def count(
        self,
        table: str,
        partition: Row,
        *,
        where: Where | None = None,
        matching: Row | None = None,
        index: str | None = None,
    ) -> int:
        """How many rows `query` would give."""
        ...
