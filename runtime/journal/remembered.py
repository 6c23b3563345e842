"""Command ids that were decided, for as long as a client may send them again (C1).

They lie in slices, so that a snapshot writes only what changed and time drops them whole. Ids with
a client's key stay for a day, others only until they expire, so each kind has its own slices.
"""

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

SLICE_SIZE: Final = 4_000


class Outcome(NamedTuple):
    """The fingerprint of the decided command and the journal offset of its first record."""

    fingerprint: bytes
    offset: int
    retain_until_ms: int


class _Slice:
    __slots__ = ("changed", "ids", "last_ms", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.ids: list[str] = []
        self.last_ms = 0
        self.changed = False


class _Series:
    """The slices of one kind of ids, oldest first."""

    def __init__(self, kind: str) -> None:
        self.kind: Final = kind
        self.slices: deque[_Slice] = deque()
        self._next = 0

    def add(self, command_id: str, until_ms: int) -> None:
        if not self.slices or len(self.slices[-1].ids) >= SLICE_SIZE:
            self.slices.append(_Slice(f"{self.kind}{self._next}"))
            self._next += 1
        current = self.slices[-1]
        current.ids.append(command_id)
        current.last_ms = max(current.last_ms, until_ms)
        current.changed = True

    def restore(self, number: int, ids: list[str], last_ms: int) -> None:
        restored = _Slice(f"{self.kind}{number}")
        restored.ids, restored.last_ms = ids, last_ms
        self.slices.append(restored)
        self._next = number + 1


class Remembered:
    """Decided command ids and their outcomes, bounded by log time."""

    def __init__(self) -> None:
        self._outcomes: dict[str, Outcome] = {}
        self._keyed: Final = _Series("k")
        self._brief: Final = _Series("b")
        self.dropped_slices: Final[list[str]] = []

    def __len__(self) -> int:
        return len(self._outcomes)

    def get(self, command_id: str, now_ms: int) -> Outcome | None:
        """The first outcome of this command, unless its time ran out."""
        outcome = self._outcomes.get(command_id)
        return outcome if outcome is not None and outcome.retain_until_ms >= now_ms else None

    def add(self, command_id: str, outcome: Outcome, *, keyed: bool) -> None:
        """Remember the first outcome of a command; the same one again changes nothing."""
        if self._outcomes.get(command_id) == outcome:
            return
        self._outcomes[command_id] = outcome
        series = self._keyed if keyed else self._brief
        series.add(command_id, outcome.retain_until_ms)

    def forget_before(self, now_ms: int) -> None:
        """Drop each slice whose last id ran out."""
        for series in (self._keyed, self._brief):
            while series.slices and series.slices[0].last_ms < now_ms:
                gone = series.slices.popleft()
                self.dropped_slices.append(gone.name)
                for command_id in gone.ids:
                    self._forget(command_id, now_ms)

    def changed_slices(self) -> Iterator[tuple[str, bytes]]:
        """Name and stored form of each slice that changed since the last call."""
        for each in (*self._keyed.slices, *self._brief.slices):
            if each.changed:
                each.changed = False
                yield each.name, msgspec.json.encode([self._stored(one) for one in each.ids])

    def load(self, name: str, stored: bytes) -> None:
        """Take a stored slice back; slices of a kind come in the order of their numbers."""
        rows = msgspec.json.decode(stored, type=list[tuple[str, str, int, int]])
        for command_id, fingerprint, offset, until_ms in rows:
            self._outcomes[command_id] = Outcome(fingerprint.encode("latin-1"), offset, until_ms)
        series = self._keyed if name.startswith(self._keyed.kind) else self._brief
        last_ms = max((until_ms for *_, until_ms in rows), default=0)
        series.restore(int(name[1:]), [row[0] for row in rows], last_ms)

    def _forget(self, command_id: str, now_ms: int) -> None:
        outcome = self._outcomes.get(command_id)
        if outcome is not None and outcome.retain_until_ms < now_ms:
            del self._outcomes[command_id]

    def _stored(self, command_id: str) -> tuple[str, str, int, int]:
        fingerprint, offset, until_ms = self._outcomes.get(command_id, _GONE)
        return (command_id, fingerprint.decode("latin-1"), offset, until_ms)


_GONE: Final = Outcome(b"", -1, 0)
"""Stands for an id whose outcome was overwritten by a later one and has run out since."""
