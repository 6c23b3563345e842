"""An in-memory table store with the same answers as DynamoDB, and its faults when asked for.

DynamoDB Local never throttles and never reports a conflict, so the simulation uses this one.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

from runtime.errors import Unavailable
from runtime.projection import TableSpec
from runtime.table import (
    Beyond,
    Change,
    Checkpoint,
    ConditionFailed,
    Delete,
    Merge,
    Put,
    Row,
    Span,
    Where,
)


class Fault(Enum):
    """What may go wrong with a call."""

    THROTTLED = "nothing was done"
    CONFLICT = "another transaction was at it, nothing was done"
    ANSWER_LOST = "it was done, but nobody learns it"


Faults = Callable[[str], Fault | None]
"""Asked before each call with its name; a seeded schedule makes a run repeatable."""

Key = tuple[Any, Any]


def no_faults(_call: str) -> Fault | None:
    """A store that always works."""
    return None


class MemoryTable:
    """Tables of the given specs; `faults` decides call by call what fails."""

    def __init__(self, specs: Iterable[TableSpec], *, faults: Faults = no_faults) -> None:
        self._specs = {each.name: each for each in specs}
        self._rows: dict[str, dict[Key, Row]] = {name: {} for name in self._specs}
        self.faults = faults

    def rows(self, table: str) -> Mapping[Key, Row]:
        """Every row of a table by its key, for comparing."""
        return self._rows[table]

    def apply(self, change: Change) -> None:
        """Do one change, without faults."""
        rows, key = self._rows[change.table], self._key(change.table, _key_row(change))
        match change:
            case Put():
                rows[key] = dict(change.row)
            case Merge():
                rows[key] = {**rows.get(key, change.key), **change.row}
            case Delete():
                rows.pop(key, None)

    async def get(self, table: str, key: Row) -> Row | None:
        """The row with this key."""
        self._maybe_fail("get")
        return self._rows[table].get(self._key(table, key))

    async def batch_get(self, table: str, keys: Sequence[Row]) -> Sequence[Row | None]:
        """The rows with these keys, in their order."""
        self._maybe_fail("batch_get")
        return [self._rows[table].get(self._key(table, each)) for each in keys]

    async def put(self, table: str, row: Row, *, unless_exists: bool = False) -> None:
        """Write a row outside of any projection.

        Raises:
            ConditionFailed: one with this key is there and `unless_exists` was asked for.
        """
        self._maybe_fail("put")
        if unless_exists and self._key(table, row) in self._rows[table]:
            raise ConditionFailed("the row is there")
        self.apply(Put(table, row))

    async def delete(self, table: str, key: Row) -> None:
        """Remove a row outside of any projection."""
        self._maybe_fail("delete")
        self._rows[table].pop(self._key(table, key), None)

    async def transact(
        self, changes: Sequence[Change], *, checkpoints: Sequence[Checkpoint]
    ) -> None:
        """Write changes and checkpoints, at most 100 together, all or nothing."""
        puts = [Put(each.table, each.row) for each in checkpoints]
        every = (*changes, *puts)
        keys = {(each.table, *self._key(each.table, _key_row(each))) for each in every}
        if not len(keys) == len(every) <= 100:  # noqa: PLR2004  # DynamoDB's bound
            raise ValueError("more than 100 actions, or two of one row")
        fault = self.faults("transact")
        if fault in (Fault.THROTTLED, Fault.CONFLICT):
            raise Unavailable(fault.name)
        for each in checkpoints:
            found = self._rows[each.table].get(self._key(each.table, each.row))
            if not _holds(found, each.expected):
                raise ConditionFailed("another checkpoint is there")
        for change in every:
            self.apply(change)
        if fault is Fault.ANSWER_LOST:
            raise Unavailable(fault.name)

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
        consistent: bool = True,  # noqa: ARG002  # memory is never stale
    ) -> Sequence[Row]:
        """Rows of one partition in the order of the sort key (of `index`, where named)."""
        self._maybe_fail("query")
        rows = self._matching(table, partition, where, matching, index)
        if newest_first:
            rows.reverse()
        if start_after is not None:
            keys = [self._key(table, each) for each in rows]
            offset += keys.index(self._key(table, start_after)) + 1
        return rows[offset : None if limit is None else offset + limit]

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
        self._maybe_fail("count")
        return len(self._matching(table, partition, where, matching, index))

    def _matching(
        self,
        table: str,
        partition: Row,
        where: Where | None,
        matching: Row | None,
        index: str | None,
    ) -> list[Row]:
        if index is not None and matching is not None:
            raise ValueError("DynamoDB cannot filter by what an index does not hold")
        sort = self._sort(table, index)
        rows = [
            row
            for row in self._rows[table].values()
            if _holds(row, partition)
            and (sort is None or sort in row)
            and (where is None or _within(row[where.attribute], where))
            and (matching is None or _holds(row, matching))
        ]
        return rows if sort is None else sorted(rows, key=lambda row: row[sort])

    def _sort(self, table: str, index: str | None) -> str | None:
        spec = self._specs[table]
        if index is None:
            return spec.sort_key
        return next(each.sort for each in spec.indexes if each.name == index)

    def _key(self, table: str, row: Row) -> Key:
        spec = self._specs[table]
        return row[spec.partition_key], row[spec.sort_key] if spec.sort_key else None

    def _maybe_fail(self, call: str) -> None:
        if (fault := self.faults(call)) is not None:
            raise Unavailable(fault.name)


def _key_row(change: Change) -> Row:
    return change.row if isinstance(change, Put) else change.key


def _holds(row: Row | None, expected: Row | None) -> bool:
    if row is None or expected is None:
        return row is expected
    return all(row.get(name) == value for name, value in expected.items())


def _within(value: Any, where: Where) -> bool:  # noqa: ANN401  # a text or a number
    if isinstance(where, Span):
        low: Any = where.low
        if low > where.high:
            raise ValueError("DynamoDB wants the lower end first")
        return low <= value <= where.high
    if isinstance(where, Beyond):
        return value < where.value if where.below else value > where.value
    return value.startswith(where.text)
