"""Which offsets may be committed while many requests are in work at the same time."""

from typing import Final

from aiokafka import TopicPartition


class Progress:
    """Requests in work by partition; everything below the lowest is done (at least once)."""

    def __init__(self) -> None:
        self._in_work: Final[dict[TopicPartition, set[int]]] = {}
        self._last: Final[dict[TopicPartition, int]] = {}

    def begin(self, place: TopicPartition, offset: int) -> None:
        """A request was taken."""
        self._in_work.setdefault(place, set()).add(offset)
        self._last[place] = offset

    def end(self, place: TopicPartition, offset: int) -> None:
        """It is done, whatever came of it."""
        self._in_work[place].discard(offset)

    def committable(self) -> dict[TopicPartition, int]:
        """The offset to go on at after a restart, by partition."""
        return {
            place: min(self._in_work[place], default=last + 1) for place, last in self._last.items()
        }
