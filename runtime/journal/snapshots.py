"""Snapshots of a partition's entities (S1 to S4): exactly the state at a checkpoint's offset.

A round captures each dirty entity before its next change, so that what it captures is the state
of the round's start while deciding goes on.
"""

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from runtime.journal.context import Context
from runtime.journal.remembered import Remembered
from runtime.log import NewRecord, Record
from schemas.journal import Checkpoint

CHUNK_BYTES_MAX: Final = 256 * 1024
_HASH_MODULUS: Final = 1 << 64
_VERSION: Final = "snapshot-version"
_CHUNKS: Final = "snapshot-chunks"
_IDS: Final = "!ids/"
_POINTER: Final = "!checkpoint"


class SnapshotsUnusable(Exception):  # noqa: N818  # named by the reaction
    """The snapshots do not fit the journal: drop them and replay from 0 (S4)."""


class Pointer(msgspec.Struct, frozen=True):
    """Where an epoch's newest checkpoint stands in the journal."""

    journal_offset: int
    generation: int
    checkpoint: Checkpoint


class Round:
    """One pass over everything dirty, fixed at its start (S2)."""

    def __init__(self, checkpoint: Checkpoint, dirty: Iterable[str]) -> None:
        self.checkpoint: Final = checkpoint
        self.waiting: Final = dict.fromkeys(dirty)
        self.captured: Final[deque[NewRecord]] = deque()
        self.outdated: Final[list[bytes]] = []


class Snapshots:
    """Versions, dirtiness and hashes of the entities of one partition."""

    def __init__(self, context: Context[Any], state: Any) -> None:  # noqa: ANN401  # any context's
        self._context: Final = context
        self._state: Final = state
        self._versions: dict[str, int] = {}
        self._hashes: dict[str, int] = {}
        self._hash_sum = 0
        self._dirty: dict[str, None] = {}
        self._old_keys: dict[str, list[bytes]] = {}
        self.versioned_records = 0
        self.round: Round | None = None

    # --- following the journal -------------------------------------------------------------

    def version_of(self, entity: str) -> int:
        """How many valid journal records the entity has."""
        return self._versions.get(entity, 0)

    def count_record(self) -> None:
        """Count a valid record that carries an entity version, whether applied or skipped."""
        self.versioned_records += 1

    def before_change(self, entity: str, version: int) -> None:
        """Capture the entity if a round waits for it, then note that it changes to `version`.

        Raises:
            SnapshotsUnusable: a version is missing between the stored one and this.
        """
        if version != self._versions.get(entity, 0) + 1:
            raise SnapshotsUnusable(f"{entity} jumps to version {version}")
        if self.round is not None and entity in self.round.waiting:
            self._capture(self.round, entity)
        self._versions[entity] = version
        self._dirty[entity] = None

    def check_complete(self) -> None:
        """Every versioned record up to here is in some entity.

        Raises:
            SnapshotsUnusable: the sum of versions says otherwise.
        """
        if sum(self._versions.values()) != self.versioned_records:
            raise SnapshotsUnusable("entity versions do not add up to the journal's records")

    # --- writing ---------------------------------------------------------------------------

    def begin(self, checkpoint: Checkpoint) -> Round:
        """Start a round over what is dirty now."""
        self.round = Round(checkpoint, self._dirty)
        self._dirty = {}
        return self.round

    @property
    def is_captured(self) -> bool:
        """Whether the round handed every dirty entity out."""
        pending = self.round
        return pending is not None and not pending.waiting and not pending.captured

    def take(self, size_bytes_max: int) -> list[NewRecord]:
        """The next captured entities, about this many bytes; empty when all are handed out."""
        pending = self.round
        assert pending is not None  # noqa: S101  # only asked during a round
        taken: list[NewRecord] = []
        size = 0
        while size < size_bytes_max and not self.is_captured:
            if not pending.captured:
                self._capture(pending, next(iter(pending.waiting)))
            taken.append(pending.captured.popleft())
            size += len(taken[-1].value or b"")
        return taken

    def finish(self) -> tuple[Checkpoint, list[NewRecord]]:
        """The checkpoint with its state hash, and tombstones for what it outdates."""
        done = self.round
        assert done is not None  # noqa: S101  # only asked during a round
        assert self.is_captured  # noqa: S101  # the checkpoint would cover what is not written
        self.round = None
        state_hash = f"{self._hash_sum:016x}"
        tombstones = [NewRecord(None, [], key) for key in done.outdated]
        return msgspec.structs.replace(done.checkpoint, state_hash=state_hash), tombstones

    def _capture(self, pending: Round, entity: str) -> None:
        del pending.waiting[entity]
        version, stored = self._versions[entity], self._context.dump(self._state, entity)
        self._rehash(entity, version, stored)
        records = _entity_records(entity, version, stored, pending.checkpoint)
        pending.captured.extend(records)
        written = [record.key or b"" for record in records]
        pending.outdated.extend(key for key in self._old_keys.pop(entity, ()) if key not in written)
        if len(records) > 1:
            self._old_keys[entity] = written

    def _rehash(self, entity: str, version: int, stored: bytes) -> None:
        text = b"%b@%d:%b" % (entity.encode(), version, stored)
        new = int.from_bytes(hashlib.blake2b(text, digest_size=8).digest())
        old = self._hashes.get(entity, 0)
        self._hashes[entity] = new
        self._hash_sum = (self._hash_sum + new - old) % _HASH_MODULUS

    # --- restoring -------------------------------------------------------------------------

    def load(self, loaded: "Loaded", checkpoint: Checkpoint) -> None:
        """Put stored entities into the empty state."""
        self.versioned_records = checkpoint.versions
        for entity, (version, stored) in loaded.entities():
            self._context.load(self._state, entity, stored)
            self._versions[entity] = version
            self._rehash(entity, version, stored)
        self._old_keys = loaded.keys


def ids_records(remembered: Remembered, epoch: int) -> list[NewRecord]:
    """The changed slices of remembered command ids, and tombstones of those that ran out."""
    changed = [
        NewRecord(stored, [], f"{_IDS}{name}@{epoch}".encode())
        for name, stored in remembered.changed_slices()
    ]
    gone = [
        NewRecord(None, [], f"{_IDS}{name}@{epoch}".encode()) for name in remembered.dropped_slices
    ]
    remembered.dropped_slices.clear()
    return changed + gone


def pointer_record(pointer: Pointer) -> NewRecord:
    """The record by which a restore finds the checkpoint; written after the checkpoint's check."""
    key = f"{_POINTER}@{pointer.checkpoint.epoch}".encode()
    return NewRecord(msgspec.json.encode(pointer), [], key)


def _entity_records(
    entity: str, version: int, stored: bytes, checkpoint: Checkpoint
) -> list[NewRecord]:
    chunks = [
        stored[start : start + CHUNK_BYTES_MAX]
        for start in range(0, max(len(stored), 1), CHUNK_BYTES_MAX)
    ]
    headers = [(_VERSION, b"%d" % version), (_CHUNKS, b"%d" % len(chunks))]
    key = f"{entity}@{checkpoint.epoch}"
    if len(chunks) == 1:
        return [NewRecord(stored, headers, key.encode())]
    return [
        NewRecord(chunk, headers, f"{key}#{checkpoint.offset}#{index}".encode())
        for index, chunk in enumerate(chunks)
    ]


class _Chunks(NamedTuple):
    version: int
    parts: dict[int, bytes]


class Loaded:
    """What lies in the snapshots topic, read to its end."""

    def __init__(self) -> None:
        self._best: dict[str, tuple[int, bytes]] = {}
        self._partial: dict[tuple[str, str], _Chunks] = {}
        self._slices: dict[str, tuple[int, bytes]] = {}
        self._pointers: dict[int, Pointer] = {}
        self.keys: dict[str, list[bytes]] = {}

    def add(self, record: Record) -> None:
        """Take the next record in; the later one of a key counts."""
        name, _, place = (record.key or b"").decode().rpartition("@")
        epoch = int(place.partition("#")[0])
        if name == _POINTER:
            self._pointers[epoch] = msgspec.json.decode(record.value or b"", type=Pointer)
        elif name.startswith(_IDS):
            self._add_slice(name.removeprefix(_IDS), epoch, record.value)
        elif record.value is not None:
            self._add_entity(name, place, record)

    def pointer(self) -> Pointer | None:
        """The newest checkpoint of all."""
        return max(self._pointers.values(), key=lambda each: each.journal_offset, default=None)

    def entities(self) -> Iterator[tuple[str, tuple[int, bytes]]]:
        """Each entity's highest complete version and stored form."""
        yield from self._best.items()

    def slices(self) -> Iterator[tuple[str, bytes]]:
        """Remembered command ids, each kind in the order of its numbers."""
        for name in sorted(self._slices, key=lambda each: int(each[1:])):
            yield name, self._slices[name][1]

    def _add_slice(self, name: str, epoch: int, stored: bytes | None) -> None:
        if epoch < self._slices.get(name, (0, b""))[0]:
            return
        if stored is None:
            self._slices.pop(name, None)
        else:
            self._slices[name] = (epoch, stored)

    def _add_entity(self, entity: str, place: str, record: Record) -> None:
        headers = record.by_name()
        version, count = int(headers[_VERSION]), int(headers[_CHUNKS])
        self.keys.setdefault(entity, []).append(record.key or b"")
        stored = record.value or b""
        if count > 1:
            round_of, _, index = place.rpartition("#")
            partial = self._partial.setdefault((entity, round_of), _Chunks(version, {}))
            partial.parts[int(index)] = stored
            if len(partial.parts) < count:
                return
            stored = b"".join(part for _, part in sorted(partial.parts.items()))
            del self._partial[entity, round_of]
        if version >= self._best.get(entity, (0, b""))[0]:
            self._best[entity] = (version, stored)
