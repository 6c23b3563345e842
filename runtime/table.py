"""The small table store that projectors are driven over; DynamoDB and memory implement it."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

Row = Mapping[str, Any]
"""Attributes of one item: str, int, bool, None, lists and maps of those; integers of any size."""


class Put(NamedTuple):
    """Write the whole row."""

    table: str
    row: Row


class Delete(NamedTuple):
    """Remove the row with this key."""

    table: str
    key: Row


class ConditionFailed(Exception):  # noqa: N818  # named by the reaction
    """The condition of a transaction did not hold: nothing was written."""


Change = Put | Delete


class Table(Protocol):
    """Reads are strongly consistent; each method raises `Unavailable` when the store fails."""

    async def get(self, table: str, key: Row) -> Row | None:
        """The row with this key."""
        ...

    async def transact(
        self, changes: Sequence[Change], *, checkpoint: Put, expected: Row | None
    ) -> None:
        """Write at most 99 changes and the checkpoint, all or nothing.

        `expected` is the checkpoint row that must be there now; None means none may be.

        Raises:
            ConditionFailed: another checkpoint is there.
        """
        ...
