"""The reference exchange: takes what the inboxes hold, in their order, on one thread.

Only clients' commands are taken from the inboxes as they are. What one partition tells another the
reference says itself, and the inbox must hold the same, at the place where it is.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from runtime.journal.outbound import partition_of
from runtime.log import Record
from schemas import accounts, journal, markets
from schemas.codec import Message
from schemas.envelope import (
    CE_TYPE,
    COMMAND_ID,
    EXPIRES_AT,
    RETAIN_UNTIL,
    SOURCE,
    SOURCE_SEQUENCE,
)
from simulation.reference.accounts import Accounts
from simulation.reference.market import Markets
from simulation.reference.moment import Moment

Name = tuple[str, int]
"""A context and one of its partitions."""
Said = Message | str
"""An event, or only the type of what the protocol says."""

COMMANDS: Final = {"accounts": accounts.COMMANDS, "markets": markets.COMMANDS}
AGAIN: Final = journal.CommandDuplicate.TYPE
TOO_LATE: Final = journal.CommandRefused.TYPE
UNREADABLE: Final = journal.CommandDiscarded.TYPE


class Result(NamedTuple):
    """What a record of an inbox must lead to."""

    name: Name
    offset: int
    said: list[Said]


class Partition:
    """One inbox with what decides it."""

    def __init__(self, name: Name, inbox: Sequence[Record]) -> None:
        self.name: Final = name
        self.inbox: Final = inbox
        self.decider: Final = Accounts() if name[0] == "accounts" else Markets()
        self.offset = 0
        self.time_ms = 0
        self.decided: Final[dict[str, int]] = {}
        """Until when a client's command is known, by its id."""
        self.taken: Final[dict[str, int]] = defaultdict(int)
        """How many messages of each source."""


class Exchange:
    """Every partition of accounts and markets; `inboxes` holds the records of each."""

    def __init__(self, inboxes: Mapping[Name, Sequence[Record]]) -> None:
        self._partitions: Final = {each: Partition(each, inboxes[each]) for each in inboxes}
        self._count: Final = len(inboxes) // len(COMMANDS)
        self._sent: Final[dict[tuple[str, Name], list[Message]]] = defaultdict(list)
        """By source and destination, in order; what is numbered n is at n - 1."""

    def results(self) -> Iterator[Result]:
        """Take every record of every inbox, each once what caused it was taken."""
        goes_on = True
        while goes_on:
            goes_on = False
            for each in self._partitions.values():
                while each.offset < len(each.inbox) and (result := self._next(each)) is not None:
                    each.offset += 1
                    goes_on = True
                    yield result
        for each in self._partitions.values():
            assert each.offset == len(each.inbox), f"{each.name}: nobody sent {each.offset}"

    def _next(self, partition: Partition) -> Result | None:
        """The next record's result; None where it was not caused yet."""
        record = partition.inbox[partition.offset]
        headers = record.by_name()
        time_ms = max(partition.time_ms, record.timestamp_ms)
        if SOURCE in headers:
            said = self._fact(partition, record, headers, time_ms)
        else:
            said = self._command(partition, record, headers, time_ms)
        if said is None:
            return None
        partition.time_ms = time_ms
        return Result(partition.name, record.offset, said)

    def _fact(
        self, partition: Partition, record: Record, headers: Mapping[str, bytes], time_ms: int
    ) -> list[Said] | None:
        source, number = headers[SOURCE].decode(), int(headers[SOURCE_SEQUENCE])
        sent = self._sent[source, partition.name]
        if number > len(sent):
            return None
        if number <= partition.taken[source]:
            return [AGAIN]
        partition.taken[source] = number
        message = sent[number - 1]
        found = _read(partition, record, headers)
        where = f"{partition.name} offset {record.offset}"
        assert found == message, f"{where}: {source} sent {message}, not {found}"
        return self._take(partition, message, record, headers, time_ms)

    def _command(
        self, partition: Partition, record: Record, headers: Mapping[str, bytes], time_ms: int
    ) -> list[Said]:
        message = _read(partition, record, headers)
        if message is None:
            return [UNREADABLE]
        command_id = headers[COMMAND_ID].decode()
        if partition.decided.get(command_id, -1) >= time_ms:
            return [AGAIN]
        if time_ms > int(headers[EXPIRES_AT]):
            return [TOO_LATE]
        said = self._take(partition, message, record, headers, time_ms)
        if said != [AGAIN]:
            until_ms = headers.get(RETAIN_UNTIL) or headers[EXPIRES_AT]
            partition.decided[command_id] = int(until_ms)
        return said

    def _take(
        self,
        partition: Partition,
        message: Message,
        record: Record,
        headers: Mapping[str, bytes],
        time_ms: int,
    ) -> list[Said]:
        context, number = partition.name
        expires = headers.get(EXPIRES_AT)
        at = Moment(
            topic=f"{context}.commands",
            partition=number,
            offset=record.offset,
            time_ms=time_ms,
            command_id=headers[COMMAND_ID].decode(),
            expires_at_ms=None if expires is None else int(expires),
        )
        events = partition.decider.take(message, at)
        for inbox, key, each in partition.decider.sent:
            self._send(f"{context}/{number}/1", inbox, key, each)
        partition.decider.sent.clear()
        return [*events] or [AGAIN]

    def _send(self, source: str, inbox: str, key: str | None, message: Message) -> None:
        everywhere = range(self._count)
        numbers = everywhere if key is None else (partition_of(key, self._count),)
        for number in numbers:
            self._sent[source, (inbox, number)].append(message)


def _read(partition: Partition, record: Record, headers: Mapping[str, bytes]) -> Message | None:
    """The message, unless nobody could have meant this."""
    codec, kind = COMMANDS[partition.name[0]], headers.get(CE_TYPE, b"").decode()
    return codec.decode(kind, record.value or b"") if kind in codec.types else None
