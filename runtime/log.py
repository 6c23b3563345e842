"""The small log that the protocol is driven over; Kafka and memory implement it."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

import msgspec

from schemas.envelope import Headers


class Record(msgspec.Struct, frozen=True, gc=False):
    """A record as read; the timestamp is the broker's, in ms."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]

    def by_name(self) -> Mapping[str, bytes]:
        """The headers by name; the last of a repeated name counts."""
        return dict(self.headers)


class NewRecord(msgspec.Struct, frozen=True, gc=False):
    """A record to append."""

    value: bytes | None
    headers: Headers
    key: bytes | None = None


Batch = Sequence[NewRecord]
Place = tuple[str, int]
"""A topic and a partition of it."""


class Log(Protocol):
    """What one life of a writer may do; every method raises `Unavailable` when the broker fails."""

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        ...

    async def start_offset(self, place: Place) -> int:
        """The oldest offset still there."""
        ...

    async def end_offset(self, place: Place) -> int:
        """The offset that the next record will get."""
        ...

    async def read(self, place: Place, offset: int, *, wait_ms: int = 0) -> Sequence[Record]:
        """Records from `offset` on, in order; empty when none came within `wait_ms`."""
        ...

    async def append(self, place: Place, batch: Batch) -> int:
        """Append as one atomic record batch and return its base offset.

        Raises:
            Unavailable: refused, timed out, or acknowledged without an offset: it may be there.
        """
        ...

    def publish(self, batches: Mapping[Place, Sequence[Batch]]) -> Awaitable[None]:
        """Start to append each place's batches in order, one unacknowledged at a time (O2).

        The result is awaited before anything more is published.
        """
        ...

    async def close(self) -> None:
        """Give everything back within seconds, whatever the broker does."""
        ...
