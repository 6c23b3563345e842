"""Reads a journal's valid records back as typed messages, for analysts.

A record is valid when no newer writer had claimed its partition before it (R1). That is known
only from the start of the partition, so a replay reads from there and shows what lies between
`start` and `end`.
"""

import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from runtime.journal.claims import Claims
from runtime.log import Place, Record
from runtime.recorded import event_of
from schemas import accounts, identity, markets
from schemas.codec import Codec, PoisonMessage, encode
from schemas.envelope import (
    CAUSATION_ID,
    CE_ID,
    CE_TYPE,
    COMMAND_ID,
    CORRELATION_ID,
    ENTITY_ID,
    ENTITY_VERSION,
    LOGICAL_TIME,
    SOURCE,
    SOURCE_OFFSET,
    SOURCE_SEQUENCE,
    USER_ID,
    USER_ID_BEFORE,
    WRITER_EPOCH,
    header_map,
    rfc3339,
)
from schemas.topics import ACCOUNTS_JOURNAL, IDENTITY_JOURNAL, MARKETS_JOURNAL

CODECS: Final[Mapping[str, Codec]] = {
    IDENTITY_JOURNAL: identity.EVENTS,
    ACCOUNTS_JOURNAL: accounts.EVENTS,
    MARKETS_JOURNAL: markets.EVENTS,
}
"""Every journal with the codec of its events; the protocol's own records are in each."""

_PLACE: Final = re.compile(r"(?:(\d{1,5}):)?(\d{1,18})")
_TEXTS: Final = (CE_ID, COMMAND_ID, CORRELATION_ID, CAUSATION_ID, ENTITY_ID, SOURCE)
_NUMBERS: Final = (ENTITY_VERSION, SOURCE_OFFSET, SOURCE_SEQUENCE, WRITER_EPOCH)


class Reads(Protocol):
    """What of a log (runtime/log.py) a replay needs."""

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        ...

    async def end_offset(self, place: Place) -> int:
        """The offset that the next record will get."""
        ...

    async def read(self, place: Place, offset: int, *, wait_ms: int = 0) -> "Collection[Record]":
        """Records from `offset` on, in order; empty when none came within `wait_ms`."""
        ...


class Bound(NamedTuple):
    """An offset of one partition or of all, or a broker time in ms; exactly one is given."""

    offset: int | None = None
    time_ms: int | None = None
    partition: int | None = None

    def reached_by(self, record: Record) -> bool:
        """Whether the record stands at or after the bound."""
        if self.offset is not None:
            return record.offset >= self.offset
        return self.time_ms is not None and record.timestamp_ms >= self.time_ms


class Selection(NamedTuple):
    """What to show: from `start` on, before `end`, these types (wildcards), this entity."""

    start: Bound = Bound(offset=0)
    end: Bound = Bound()
    types: tuple[str, ...] = ()
    entity_id: str | None = None

    def shows(self, record: Record, headers: Mapping[str, bytes]) -> bool:
        """Whether a valid record is asked for."""
        if not self.start.reached_by(record):
            return False
        if self.entity_id is not None and _text(headers, ENTITY_ID) != self.entity_id:
            return False
        event_type = headers[CE_TYPE].decode()
        return not self.types or any(fnmatchcase(event_type, each) for each in self.types)

    def partitions(self, count: int) -> range:
        """Which of the journal's partitions it is about."""
        named = {each.partition for each in (self.start, self.end)} - {None}
        if not named:
            return range(count)
        only = named.pop()
        if named or only is None or only >= count:
            raise ValueError("--from and --to must name the same partition, and one that exists")
        return range(only, only + 1)


class Line(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One replayed record: its place, its envelope, and its message as `data`.

    `time` is the broker's, `logical_time` that of its partition's decisions (T1); amounts in
    `data` are strings of 1e-8 units.
    """

    journal: str
    partition: int
    offset: int
    time: str
    type: str
    logical_time: str | None = None
    id: str | None = None
    command_id: str | None = None
    user_id: str | None = None
    correlation_id: str | None = None
    causation_id: str | None = None
    entity_id: str | None = None
    entity_version: int | None = None
    source: str | None = None
    source_sequence: int | None = None
    source_offset: int | None = None
    writer_epoch: int | None = None
    data: msgspec.Raw


def journal_named(name: str) -> str:
    """The registry name of a journal, which may also be called by its context.

    Raises:
        ValueError: there is no such journal.
    """
    journal = name if name in CODECS else f"{name}.journal"
    if journal not in CODECS:
        raise ValueError(f"There is no journal {name!r}; there are {', '.join(CODECS)}.")
    return journal


def parse_bound(text: str) -> Bound:
    """Read `<offset>`, `<partition>:<offset>` or an RFC 3339 time.

    Raises:
        ValueError: none of these.
    """
    if match := _PLACE.fullmatch(text):
        partition, offset = match.groups()
        return Bound(offset=int(offset), partition=int(partition) if partition else None)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(
            f"{text!r} is not an offset, <partition>:<offset> or a time such as "
            "2026-01-31T12:00:00Z."
        )
    return Bound(time_ms=round(moment.timestamp() * 1000))


async def ends(log: Reads, journal: str, selection: Selection) -> Mapping[Place, int]:
    """Where each asked partition ends now; a replay goes no further."""
    places = [(journal, each) for each in selection.partitions(await log.partitions(journal))]
    return {place: await log.end_offset(place) for place in places}


async def replay(
    log: Reads,
    selection: Selection,
    ends: Mapping[Place, int],
    *,
    advanced: Callable[[int], Any] = lambda _: None,
) -> AsyncIterator[Line]:
    """The asked valid records, partition after partition; `advanced` hears of records passed.

    Raises:
        PoisonMessage: an event that this version does not know.
        Unavailable: the broker does not answer.
    """
    for place, end in ends.items():
        async for record in _valid(log, place, end, selection.end, advanced):
            headers = header_map(record.headers)
            if selection.shows(record, headers):
                yield line(place, record, headers)


async def _valid(
    log: Reads, place: Place, end: int, until: Bound, advanced: Callable[[int], Any]
) -> AsyncIterator[Record]:
    claims = Claims()
    offset = 0
    while offset < end:
        for record in await log.read(place, offset, wait_ms=1_000):
            if record.offset >= end or until.reached_by(record):
                advanced(end - offset)
                return
            advanced(record.offset + 1 - offset)
            offset = record.offset + 1
            headers = header_map(record.headers)
            event_type = headers[CE_TYPE].decode()
            if claims.admits(event_type, int(headers[WRITER_EPOCH]), record.offset):
                yield record


def line(place: Place, record: Record, headers: Mapping[str, bytes]) -> Line:
    """A journal record as a typed line.

    Raises:
        PoisonMessage: an event that this version does not know.
    """
    journal, partition = place
    event_type = headers[CE_TYPE].decode()
    try:
        message = event_of(CODECS[journal], event_type, record.value or b"")
    except PoisonMessage as poison:
        raise PoisonMessage(f"{journal}/{partition}/{record.offset}: {poison}") from poison
    logical_ms = _number(headers, LOGICAL_TIME)
    fields: dict[str, Any] = {_field(name): _text(headers, name) for name in _TEXTS}
    fields |= {_field(name): _number(headers, name) for name in _NUMBERS}
    return Line(
        journal=journal,
        partition=partition,
        offset=record.offset,
        time=rfc3339(record.timestamp_ms),
        type=event_type,
        logical_time=rfc3339(logical_ms) if logical_ms is not None else None,
        user_id=_text(headers, USER_ID) or _text(headers, USER_ID_BEFORE),
        data=msgspec.Raw(encode(message)),
        **fields,
    )


def _field(header: str) -> str:
    return "id" if header == CE_ID else header.replace("-", "_")


def _text(headers: Mapping[str, bytes], name: str) -> str | None:
    value = headers.get(name)
    return value.decode() if value is not None else None


def _number(headers: Mapping[str, bytes], name: str) -> int | None:
    value = headers.get(name)
    return int(value) if value is not None else None
