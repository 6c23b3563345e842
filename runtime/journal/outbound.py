"""What follows from journal records: replies, and facts for other inboxes (O1)."""

from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from aiokafka.partitioner import murmur2  # pyright: ignore[reportUnknownVariableType]

from runtime.journal import entries
from runtime.journal.context import EVERYWHERE, Outgoing
from runtime.log import NewRecord, Place, Record
from schemas.codec import encode
from schemas.envelope import Cause, ReplyRoute
from schemas.topics import GATEWAY_REPLIES

PartitionsOf = Callable[[str], int]
REPLIES_MAX: Final = 100_000
"""A bound for replays; one batch never holds as many."""
BATCH_BYTES_MAX: Final = 512 * 1024
"""Where batches are cut; below every topic's limit and aiokafka's max_batch_size (W4)."""


@lru_cache(maxsize=65_536)
def partition_of(key: str, partitions: int) -> int:
    """Where Kafka's default partitioner puts a key."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions


class Answer(NamedTuple):
    """A journal entry, its log time and its offset, and the gateway that waits for it."""

    time_ms: int
    route: ReplyRoute
    entry: NewRecord | Record
    offset: int


class Outbound:
    """Collects what a checked batch sends; the sequences are part of the partition's state."""

    def __init__(self, journal: Place, partitions_of: PartitionsOf) -> None:
        self._journal: Final = journal
        self.sequences: dict[str, int] = {}
        self._partitions_of: Final = partitions_of
        self._replies: deque[Answer] = deque(maxlen=REPLIES_MAX)
        self._letters: dict[Place, list[NewRecord]] = {}
        self._facts: dict[Place, list[NewRecord]] = {}

    def reply(self, answer: Answer) -> None:
        """Repeat a journal entry to the gateway that waits for it."""
        self._replies.append(answer)

    def send(
        self, outgoing: Outgoing, cause: Cause, source: str, *, acknowledged: bool = False
    ) -> None:
        """Number a message for each partition that it goes to; acknowledged ones only count."""
        partitions = self._partitions_of(outgoing.topic)
        body = b"" if acknowledged else encode(outgoing.message)
        if outgoing.key is EVERYWHERE:
            key, destinations = None, list(range(partitions))
        else:
            key = str(outgoing.key)
            destinations = [partition_of(key, partitions)]
        for partition in destinations:
            place = (outgoing.topic, partition)
            sequence = self._next_sequence(place)
            if acknowledged:
                continue
            self._facts.setdefault(place, []).append(
                entries.fact(
                    body=body,
                    message_type=outgoing.message.TYPE,
                    source=source,
                    sequence=sequence,
                    destination=place,
                    key=key.encode() if key is not None else None,
                    cause=cause,
                    carries_reply=outgoing.carries_reply,
                )
            )

    def dead_letter(self, place: Place, letter: NewRecord) -> None:
        """Send a raw copy to a DLQ."""
        self._letters.setdefault(place, []).append(letter)

    @property
    def is_empty(self) -> bool:
        """Whether nothing was collected since the last `take`."""
        return not (self._replies or self._letters or self._facts)

    def take(self, *, replies_from_ms: int = 0) -> dict[Place, list[list[NewRecord]]]:
        """Everything collected since the last call, in batches: replies first, then facts (W6).

        A restarted writer asks for no replies older than anybody waits.
        """
        taken: dict[Place, list[NewRecord]] = {}
        gateways = self._partitions_of(GATEWAY_REPLIES) if self._replies else 0
        journal = "/".join(map(str, self._journal))
        for time_ms, route, entry, offset in self._replies:
            if time_ms >= replies_from_ms:
                place = (GATEWAY_REPLIES, route.partition % gateways)
                answer = entries.reply(entry, route.command_id, f"{journal}/{offset}")
                taken.setdefault(place, []).append(answer)
        taken |= self._facts
        letters = {place: [[each] for each in raw] for place, raw in self._letters.items()}
        self._replies.clear()
        self._letters, self._facts = {}, {}
        return {place: cut(records) for place, records in taken.items()} | letters

    def _next_sequence(self, place: Place) -> int:
        destination = f"{place[0]}/{place[1]}"
        sequence = self.sequences.get(destination, 0) + 1
        self.sequences[destination] = sequence
        return sequence


def cut(records: Iterable[NewRecord]) -> list[list[NewRecord]]:
    """Records in batches of at most `BATCH_BYTES_MAX`, in order, none empty."""
    batches: list[list[NewRecord]] = []
    room = 0
    for record in records:
        size = entries.size_bytes(record)
        if size > room:
            batches.append([])
            room = BATCH_BYTES_MAX
        batches[-1].append(record)
        room -= size
    return batches
