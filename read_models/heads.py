"""How far a read model has come with one account."""

from typing import Final, NamedTuple

from runtime.table import Row
from schemas.envelope import Recorded

HOUSE_PREFIX: Final = "house:"


class Head(NamedTuple):
    """The account's version, its journal offset and the event's time in broker ms."""

    version: int
    offset: int
    time_ms: int


def head_of(recorded: Recorded) -> dict[str, int]:
    """The attributes by which a row says which event wrote it last."""
    return {
        "version": recorded.entity_version,
        "offset": recorded.offset,
        "time_ms": recorded.cause.time_ms,
    }


def head_in(row: Row) -> Head:
    """The head that a row carries."""
    return Head(row["version"], row["offset"], row["time_ms"])
