"""How an account was at an earlier version or time: rows in the order of their events."""

from collections.abc import Callable
from typing import Final, NamedTuple

from runtime.errors import Unavailable
from runtime.table import Beyond, Readable, Row, Span

_FOREVER: Final = 10**18
_VERSIONS: Final = 10**15


class Until(NamedTuple):
    """What counts: events up to a version, included, and before a time in broker ms."""

    version: int = _FOREVER
    before_ms: int = _FOREVER

    @property
    def time_ms(self) -> int | None:
        """The time that was asked for, included; None when a version was."""
        return None if self.before_ms == _FOREVER else self.before_ms - 1

    def includes(self, version: int, time_ms: int) -> bool:
        """Whether an event counts."""
        return version <= self.version and time_ms < self.before_ms


NOW: Final = Until()


class Numbered(NamedTuple):
    """A table or an index whose rows have a number above zero that grows from event to event."""

    table: str
    attribute: str
    index_name: str | None = None


def in_order(order_number: int, version: int) -> int:
    """Sorts events by order, then by time, within DynamoDB's 38 digits."""
    return order_number * _VERSIONS + version


async def last_row(
    table: Readable, numbered: Numbered, account_id: str, is_within: Callable[[Row], bool]
) -> Row | None:
    """The last row that is within, where none behind it is, found in log2(rows) requests.

    Times never fall from version to version (T1), so halving finds it for both.
    """
    name, attribute, index = numbered
    partition = {"account_id": account_id}
    newest = await table.query(
        name, partition, where=Beyond(attribute, 0), index=index, newest_first=True, limit=1
    )
    if not newest or is_within(newest[0]):
        return newest[0] if newest else None
    found: Row | None = None
    low, high = 0, newest[0][attribute]  # all up to low are within, none from high on
    while high - low > 1:
        middle = (low + high) // 2
        where = Span(attribute, middle, high)
        rows = await table.query(name, partition, where=where, index=index, limit=1)
        if rows and is_within(rows[0]):
            found, low = rows[0], rows[0][attribute]
        else:
            high = middle
    return found


def outdated(name: str) -> Unavailable:
    """What a read raises that finds rows of an earlier build."""
    return Unavailable(f"{name} has rows of before one could ask for the past: project it anew")
