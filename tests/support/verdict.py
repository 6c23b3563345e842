"""Judges a whole system from its topics and tables, once it is quiet: the crash tests' judge.

It folds the journals with the real contexts, so it needs nothing of what the processes remember.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from consumers.accounts import invariants as accounts_invariants
from consumers.accounts.context import AccountsContext
from consumers.auditor.reader import JOURNALS, Reader
from consumers.identity import invariants as identity_invariants
from consumers.identity.context import IdentityContext
from consumers.markets import invariants as markets_invariants
from consumers.markets.context import MarketsContext
from read_models.app import READ_MODELS, projections
from runtime.dynamodb import DynamoTable, open_dynamodb
from runtime.dynamodb_items import from_item
from runtime.journal.partition import Partition
from runtime.kafka_options import kafka_options
from runtime.log import Place, Record
from runtime.memory_table import MemoryTable
from runtime.projection import Projection, TableSpec
from runtime.projector import QUIET_S, Projector, checkpoint_key
from runtime.settings import Settings
from runtime.table import Row
from schemas.envelope import CE_TYPE
from schemas.journal import WriterClaimed
from schemas.topics import CONTEXTS, REGISTRY, inbox_of, journal_of
from simulation.laws import (
    Told,
    check_books,
    check_events,
    check_outcomes,
    check_sources,
    valid_records,
)

DECIDERS: Final = {
    each.name: each for each in (AccountsContext(), IdentityContext(), MarketsContext())
}
_CHECKS: Final = {
    "accounts": accounts_invariants.check,
    "identity": identity_invariants.check,
    "markets": markets_invariants.check,
}
_ALL: Final = 1 << 62
_LOOK_S: Final = 0.3


class Journals:
    """Every journal partition, read to its end and folded as it comes."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer) -> None:
        self._settings: Final = settings
        self._consumer: Final = consumer
        self._counts: dict[str, int] = {}
        self._ends: dict[Place, int] = {}
        self.records: Final[dict[Place, list[Record]]] = {}
        self.folded: Final[dict[Place, Partition[Any]]] = {}

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings) -> "AsyncIterator[Journals]":
        """Read from offset 0, group-less."""
        consumer = AIOKafkaConsumer(**kafka_options(settings), enable_auto_commit=False)
        await consumer.start()
        try:
            journals = cls(settings, consumer)
            await journals._assign()
            yield journals
        finally:
            await consumer.stop()

    async def _assign(self) -> None:
        admin = AIOKafkaAdminClient(**kafka_options(self._settings))
        await admin.start()
        try:
            names = [self._settings.topic(each) for each in REGISTRY]
            described = await admin.describe_topics(names)
        finally:
            await admin.close()
        for each in described:
            name = each["topic"].removeprefix(self._settings.namespace)
            self._counts[name] = len(each["partitions"])
        for context in CONTEXTS:
            for number in range(self._counts[journal_of(context)]):
                place = (journal_of(context), number)
                self.records[place] = []
                partition = Partition(DECIDERS[context], number, self._counts.__getitem__)
                partition.resend_from = _ALL  # count what was sent, do not keep it
                self.folded[place] = partition
        places = [self._named(each) for each in self.records]
        self._consumer.assign(places)
        await self._consumer.seek_to_beginning(*places)

    def count(self, topic: str) -> int:
        """How many partitions a topic has."""
        return self._counts[topic]

    def end(self, place: Place) -> int:
        """An inbox's or a journal's end, as of the last `follow`."""
        return self._ends[place]

    async def follow(self) -> None:
        """Read all journals to the end that they have now; inboxes' ends are looked at before."""
        inboxes = [(inbox_of(journal.removesuffix(".journal")), n) for journal, n in self.records]
        self._ends = await self._look(inboxes)
        self._ends |= await self._look(list(self.records))
        while behind := [p for p in self.records if len(self.records[p]) < self._ends[p]]:
            fetched = await self._consumer.getmany(timeout_ms=1_000, max_records=5_000)
            assert fetched or not behind, f"{behind} cannot be read to their ends"
            for place, raw in fetched.items():
                topic = place.topic.removeprefix(self._settings.namespace)
                self._take((topic, place.partition), raw)

    def _take(self, place: Place, raw: list[Any]) -> None:
        for each in raw:
            record = Record(each.offset, each.timestamp, each.key, each.value, each.headers)
            assert record.offset == len(self.records[place]), f"{place} has a hole"
            self.records[place].append(record)
            self.folded[place].replay(record)

    async def _look(self, places: list[Place]) -> dict[Place, int]:
        ends = await self._consumer.end_offsets([self._named(each) for each in places])
        return {each: ends[self._named(each)] for each in places}

    def _named(self, place: Place) -> TopicPartition:
        return TopicPartition(self._settings.topic(place[0]), place[1])

    def undrained(self) -> list[str]:
        """What was not decided yet, or sent and not applied yet (O1)."""
        waiting: list[str] = []
        for (journal, number), partition in self.folded.items():
            inbox = (inbox_of(journal.removesuffix(".journal")), number)
            if (decided := partition.source_offset + 1) != self._ends[inbox]:
                waiting.append(f"{inbox} is decided to {decided} of {self._ends[inbox]}")
            for destination, sent in partition.outbound.sequences.items():
                topic, _, at = destination.rpartition("/")
                receiver = self.folded[topic.replace(".commands", ".journal"), int(at)]
                applied = receiver.watermarks.get(partition.source, 0)
                if applied != sent:
                    source = f"{journal}/{number}"
                    waiting.append(f"{destination} applied {applied} of {sent} from {source}")
        return waiting


def overtaken(
    journals: Journals, context: str, since_ms: float, until_ms: float
) -> tuple[int, int]:
    """How many partitions were claimed in that time, and how many void records came after it."""
    taken = void = 0
    for (journal, _), records in journals.records.items():
        if journal != journal_of(context):
            continue
        valid = {each.offset for each in valid_records(records)}
        claims = {each.offset for each in records if _kind(each) == WriterClaimed.TYPE}
        taken += any(since_ms < records[each].timestamp_ms < until_ms for each in claims)
        late = {each.offset for each in records if each.timestamp_ms >= until_ms}
        void += len(late - claims - valid)
    return taken, void


async def drained(journals: Journals, *, limit_s: float = 60.0) -> None:
    """Wait until every inbox record is decided and every fact applied.

    Raises:
        AssertionError: saying what is left after `limit_s`.
    """
    deadline = time.monotonic() + limit_s
    await journals.follow()
    while waiting := journals.undrained():
        assert time.monotonic() < deadline, f"not drained in {limit_s:.0f} s: {waiting[:5]}"
        await asyncio.sleep(_LOOK_S)
        await journals.follow()


async def judge(settings: Settings, *, command_ids: tuple[str, ...] = ()) -> Told:
    """Check every invariant of a system that nobody writes to any more; returns what happened.

    Raises:
        AssertionError: saying which invariant, where.
    """
    async with Journals.opened(settings) as journals:
        await drained(journals)
        told = _judge_journals(journals, command_ids)
        await _judge_tables(settings, journals)
    return told


def _judge_journals(journals: Journals, command_ids: tuple[str, ...]) -> Told:
    told = Told()
    for (journal, number), records in journals.records.items():
        context = journal.removesuffix(".journal")
        valid = valid_records(records)
        claims = sum(_kind(each) == WriterClaimed.TYPE for each in records)
        told.claims += claims
        told.void += len(records) - len(valid) - claims
        check_sources(f"{context}/{number}", valid, journals.end((inbox_of(context), number)))
        for record in valid:
            told.add(context, record)
    check_outcomes(told, set(told.outcomes) | set(command_ids))
    check_events(told)
    _judge_audit(journals)
    states: dict[str, list[Any]] = {context: [] for context in CONTEXTS}
    for (journal, _), partition in journals.folded.items():
        context = journal.removesuffix(".journal")
        _CHECKS[context](partition.state)
        states[context].append(partition.state)
    identity_invariants.check_idle(states["identity"])
    check_books(states)
    return told


def _kind(record: Record) -> str:
    return dict(record.headers)[CE_TYPE].decode()


def _judge_audit(journals: Journals) -> None:
    """The auditor's own reader finds nothing either."""
    reader = Reader()
    for place, records in journals.records.items():
        if place[0] in JOURNALS:
            for record in records:
                assert reader.take(place, record) is None, f"{place} offset {record.offset}"
    check_audit(reader.snapshot(0))


def check_audit(page: Mapping[str, Any]) -> int:
    """The auditor's page shows balanced books and no half trades; how many trades it matched."""
    assert not any(page["faults"].values()), page["faults"]
    assert set(page["imbalance_e8"].values()) <= {"0"}, page["imbalance_e8"]
    assert set(page["clearing_e8"].values()) <= {"0"}, page["clearing_e8"]
    assert not any(each["count"] for each in page["unmatched"].values()), page["unmatched"]
    return sum(page["matched"].values())


# --- tables --------------------------------------------------------------------------------------


async def _judge_tables(settings: Settings, journals: Journals) -> None:
    async with open_dynamodb(settings) as client:
        store = DynamoTable(client, settings)
        for each in projections(READ_MODELS):
            await _projected(store, each, journals)
            expected = await _folded(each, journals)
            for spec in each.tables:
                name = settings.table(f"{spec.name}-g{await store.generation(spec.name)}")
                rows = await _rows(client, name, spec)
                _compare(spec.name, rows, expected.rows(spec.name))


async def _projected(
    store: DynamoTable, projection: Projection, journals: Journals, *, limit_s: float = 60.0
) -> None:
    """Wait until each checkpoint is the journal's end, which takes `QUIET_S` without rows."""
    spec = projection.tables[0]
    places = [place for place in journals.records if place[0] in projection.journals]
    ends = [journals.end(place) for place in places]
    deadline = time.monotonic() + limit_s
    while True:
        rows = await store.batch_get(spec.name, [checkpoint_key(spec, *each) for each in places])
        reached = [0 if row is None else row["offset"] for row in rows]
        if reached == ends:
            return
        assert time.monotonic() < deadline, f"{projection.name} is at {reached} of {ends}"
        await asyncio.sleep(_LOOK_S)


async def _folded(projection: Projection, journals: Journals) -> MemoryTable:
    table = MemoryTable(projection.tables)
    for place, records in journals.records.items():
        if place[0] in projection.journals:
            projector = Projector((projection,), *place, table)
            for now_s, new in enumerate((records, (), ())):
                await projector.step(new, now_s=now_s * QUIET_S)
    return table


async def _rows(client: Any, name: str, spec: TableSpec) -> dict[tuple[Any, Any], Row]:
    rows: dict[tuple[Any, Any], Row] = {}
    async for page in client.get_paginator("scan").paginate(TableName=name, ConsistentRead=True):
        for item in page["Items"]:
            row = from_item(cast("dict[str, Any]", item))
            rows[row[spec.partition_key], row[spec.sort_key] if spec.sort_key else None] = row
    return rows


def _compare(name: str, rows: Mapping[Any, Row], expected: Mapping[Any, Row]) -> None:
    assert rows.keys() == expected.keys(), (
        f"{name} has {len(rows)} rows, the fold of the journals {len(expected)}; they differ by "
        f"{list(rows.keys() ^ expected.keys())[:3]}"
    )
    for key, row in rows.items():
        assert row == plain(expected[key]), f"{name}: row {key} is not the fold of the journals"


def plain(value: Any) -> Any:  # any JSON-like value
    """A value as it comes back from a store: tuples as lists, enums as texts."""
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return str(value) if isinstance(value, str) else value
