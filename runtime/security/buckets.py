"""Token buckets in memory that the processes of one machine share.

A bucket is one number: when it will be full again (GCRA, ITU-T I.371). A hit moves that time by
1/rate; a bucket that would be full later than burst/rate from now is empty. Two processes that hit
one bucket in the same microsecond may count one hit for two; nothing waits for anything.
"""

import hashlib
import math
import mmap
import time
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, NamedTuple, Self

_SETS: Final = 8_192
_WAYS: Final = 8
"""Buckets that share a set; of those the fullest makes room for a new one."""
_PLACE_BYTES: Final = 16
_REMEMBERED: Final = 8_192
_ROUNDING_S: Final = 1e-6
_SIZE_BYTES: Final = _SETS * _WAYS * _PLACE_BYTES


class Rate(NamedTuple):
    """Hits a second in the long run, and how many at once."""

    per_s: float
    burst: int


class Taken(NamedTuple):
    """What a hit found: whether it counts, what is left, when it is full, when to try again."""

    is_allowed: bool
    left: int
    full_s: float
    wait_s: float = 0.0


class Buckets:
    """65,536 buckets by name, in a mapped file or in this process's own memory."""

    def __init__(
        self, memory: mmap.mmap, salt: bytes, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        view = memoryview(memory)
        self._names: Final = view.cast("Q")
        self._full_s: Final = view.cast("d")
        self._hashed: Final = lru_cache(_REMEMBERED)(partial(_hash, salt))
        self._clock_s: Final = clock_s

    @classmethod
    def private(cls, salt: bytes, clock_s: Callable[[], float] = time.monotonic) -> Self:
        """Buckets of this process alone."""
        return cls(mmap.mmap(-1, _SIZE_BYTES), salt, clock_s)

    @classmethod
    def shared(cls, path: Path, salt: bytes) -> Self:
        """Buckets of all processes that name this file.

        Raises:
            OSError: it cannot be made there.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            file.truncate(_SIZE_BYTES)
            return cls(mmap.mmap(file.fileno(), _SIZE_BYTES), salt)

    def take(self, name: str, rate: Rate) -> Taken:
        """Count a hit on this bucket, unless it is empty."""
        now_s = self._clock_s()
        place = self._place(name)
        capacity_s = rate.burst / rate.per_s
        full_s = self._full_s[place]
        if not now_s < full_s <= now_s + capacity_s:  # full, or left from before a reboot
            full_s = now_s
        after_s = full_s + 1 / rate.per_s
        wait_s = after_s - now_s - capacity_s
        if wait_s > _ROUNDING_S:
            return Taken(is_allowed=False, left=0, full_s=full_s - now_s, wait_s=wait_s)
        self._full_s[place] = after_s
        left = math.floor(_ROUNDING_S - wait_s * rate.per_s)
        return Taken(is_allowed=True, left=left, full_s=after_s - now_s)

    def _place(self, name: str) -> int:
        """Where the bucket's time is; beside it is its name, hashed so that nobody can aim."""
        hashed = self._hashed(name)
        start = hashed % _SETS * _WAYS * 2
        names = self._names
        for place in range(start, start + 2 * _WAYS, 2):
            if names[place] == hashed:
                return place + 1
        times = self._full_s
        place = min(range(start + 1, start + 2 * _WAYS, 2), key=times.__getitem__)
        times[place] = 0.0
        names[place - 1] = hashed
        return place


def _hash(salt: bytes, name: str) -> int:
    digest = hashlib.blake2b(name.encode(), digest_size=8, key=salt).digest()
    return int.from_bytes(digest) or 1
