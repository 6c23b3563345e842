"""A mapping of bounded size."""

from collections import OrderedDict
from typing import Final, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Bounded(OrderedDict[K, V]):
    """Keeps at most so many entries: `put` forgets the one that was put longest ago."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most: Final = most

    def put(self, key: K, value: V) -> None:
        """Set an entry, as the newest."""
        self[key] = value
        self.move_to_end(key)
        if len(self) > self._most:
            self.popitem(last=False)
