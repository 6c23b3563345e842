"""The accounts worker against the bare consume-append loop, by CPU per command."""

import asyncio
import gc
import time
from collections.abc import Sequence
from typing import Final, NamedTuple

from aiokafka import AIOKafkaProducer

from benchmarks import denominators
from benchmarks.denominators import Portion
from benchmarks.measure import Cost, Stopwatch
from benchmarks.workload import accounts_inbox
from consumers.accounts.context import AccountsContext
from runtime.admin import partitions_of
from runtime.journal.entries import size_bytes
from runtime.journal.outbound import BATCH_BYTES_MAX
from runtime.journal.partition import Partition
from runtime.journal.writer import Writer
from runtime.kafka_log import KafkaLog
from runtime.kafka_options import kafka_options
from runtime.log import NewRecord, Place, Record
from runtime.settings import Settings
from schemas.topics import ACCOUNTS_COMMANDS, ACCOUNTS_JOURNAL, REGISTRY

INBOX: Final[Place] = (ACCOUNTS_COMMANDS, 0)
BARE_JOURNAL: Final[Place] = ("accounts.commands.dlq", 0)
"""The bare loop writes where nobody reads: a topic of the registry that this run does not use."""
ACCOUNTS: Final = 1_000


class Restart(NamedTuple):
    """How long a writer took to restore, claim and send again, and how long its journal was."""

    journal_records: int
    seconds: float


async def preload(settings: Settings, count: int) -> None:
    """Fill the one partition of the accounts inbox with `count` messages."""
    producer = AIOKafkaProducer(
        **kafka_options(settings), enable_idempotence=True, max_batch_size=1 << 19
    )
    await producer.start()
    topic = settings.topic(INBOX[0])
    try:
        records = accounts_inbox(count, accounts=ACCOUNTS, now_ms=round(time.time() * 1000))
        for each in records:
            await producer.send(topic, each.value, key=each.key, headers=each.headers, partition=0)
        await producer.flush()
    finally:
        await producer.stop()


async def decide_all(settings: Settings, count: int) -> Cost:
    """Run the real writer until it has decided `count` messages and left its checkpoint."""
    log = await KafkaLog.open(settings)
    try:
        writer = Writer(AccountsContext(), INBOX[1], log, commit_hint=no_group)
        await writer.start()
        watch = Stopwatch()
        while writer.partition.source_offset < count - 1:
            await writer.step(wait_ms=200)
        await writer.finish()
        return watch.cost(count)
    finally:
        await log.close()


async def consume_and_append(settings: Settings, count: int) -> Cost:
    """The bare loop over the same inbox, writing what the worker writes for it."""
    portions = await portions_of(settings, count)
    gc.collect()
    gc.freeze()  # what was prepared must not cost the loop anything
    return await denominators.consume_and_append(settings, INBOX, BARE_JOURNAL, portions)


async def restart(settings: Settings, *, with_snapshots: bool) -> Restart:
    """Start a writer over what is there."""
    log = await (KafkaLog if with_snapshots else _WithoutSnapshots).open(settings)
    try:
        journal_records = await log.end_offset((ACCOUNTS_JOURNAL, INBOX[1]))
        watch = Stopwatch()
        writer = Writer(AccountsContext(), INBOX[1], log, commit_hint=no_group)
        await writer.start()
        restart = Restart(journal_records, watch.cost(1).wall_s)
        await writer.finish()
    finally:
        await log.close()
    return restart


async def portions_of(settings: Settings, count: int) -> list[Portion]:
    """What the worker writes for each batch, decided again by the same pure code."""
    partition = Partition(
        AccountsContext(), INBOX[1], lambda topic: partitions_of(REGISTRY[topic], settings)
    )
    partition.claim()
    portions: list[Portion] = []
    for poll in await _polls(settings, count):
        start, journal, size = 0, [], 0
        for n, record in enumerate(poll, start=1):
            written = partition.decide(record)
            journal += written
            size += sum(map(size_bytes, written))
            if size > BATCH_BYTES_MAX or n == len(poll):
                portions.append(_portion(partition, n - start, journal))
                start, journal, size = n, [], 0
    return portions


def _portion(
    partition: Partition[object], inbox_records: int, journal: Sequence[NewRecord]
) -> Portion:
    published = {
        place: [record for batch in batches for record in batch]
        for place, batches in partition.outbound.take().items()
    }
    return Portion(inbox_records, journal, published)


async def _polls(settings: Settings, count: int) -> list[Sequence[Record]]:
    log = await KafkaLog.open(settings)
    try:
        polls: list[Sequence[Record]] = []
        offset = 0
        while offset < count:
            if records := await log.read(INBOX, offset, wait_ms=200):
                polls.append(records)
                offset = records[-1].offset + 1
        return polls
    finally:
        await log.close()


class _WithoutSnapshots(KafkaLog):
    """A log whose snapshots topics seem empty."""

    async def end_offset(self, place: Place) -> int:
        if place[0].endswith(".snapshots"):
            return await self.start_offset(place)
        return await super().end_offset(place)


async def no_group(_offset: int) -> None:
    """Commit nothing."""
    await asyncio.sleep(0)
