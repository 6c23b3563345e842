"""The writers' log against a real broker: what each request does, and what each failure becomes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from runtime.errors import Halted, InvariantBroken, Unavailable
from runtime.kafka_log import BATCH_BYTES_MAX, KafkaLog
from runtime.log import NewRecord, Place, Record
from runtime.settings import Settings

MakeTopics = Callable[..., Awaitable[Settings]]
JOURNAL: Place = ("accounts.journal", 0)
INBOX: Place = ("accounts.commands", 0)
SNAPSHOTS: Place = ("accounts.snapshots", 0)


def numbered(count: int, *, size: int = 10) -> list[NewRecord]:
    return [NewRecord(b"%0*d" % (size, n), [("n", b"%d" % n)], b"key") for n in range(count)]


@asynccontextmanager
async def log_of(settings: Settings) -> AsyncIterator[KafkaLog]:
    log = await KafkaLog.open(settings)
    try:
        yield log
    finally:
        await log.close()


@pytest.fixture
async def log(make_topics: MakeTopics) -> AsyncIterator[KafkaLog]:
    settings = await make_topics(JOURNAL[0], INBOX[0], SNAPSHOTS[0], partitions=1)
    async with log_of(settings) as opened:
        yield opened


async def read_all(log: KafkaLog, place: Place) -> list[Record]:
    records: list[Record] = []
    offset, end = await log.start_offset(place), await log.end_offset(place)
    while offset < end:
        records += await log.read(place, offset, wait_ms=1000)
        offset = records[-1].offset + 1
    return records


async def test_what_is_appended_is_read_in_order_however_large_the_portions(log: KafkaLog) -> None:
    assert await log.append(JOURNAL, numbered(1)) == 0
    assert await log.append(JOURNAL, numbered(1_200, size=2_000)) == 1
    assert await log.append(JOURNAL, numbered(3)) == 1_201
    read = await read_all(log, JOURNAL)
    assert [each.offset for each in read] == list(range(1_204))
    assert [int(each.value or b"") for each in read] == [0, *range(1_200), 0, 1, 2]
    assert (read[7].key, read[7].headers) == (b"key", [("n", b"6")])


async def test_publishing_keeps_the_order_of_each_place(log: KafkaLog) -> None:
    batches = [numbered(2), numbered(3)]
    await log.publish({INBOX: batches, JOURNAL: [numbered(1)]})
    await log.publish({INBOX: batches})
    assert [int(each.value or b"") for each in await read_all(log, INBOX)] == [0, 1, 0, 1, 2] * 2
    assert await log.end_offset(JOURNAL) == 1


async def test_a_place_is_read_again_from_any_offset(log: KafkaLog) -> None:
    await log.append(JOURNAL, numbered(5))
    for offset in (3, 0, 4, 4):
        assert (await log.read(JOURNAL, offset, wait_ms=1000))[0].offset == offset
        assert not await log.read(INBOX, 0)


async def test_reading_at_the_end_waits_for_what_comes(log: KafkaLog) -> None:
    assert not await log.read(JOURNAL, 0, wait_ms=100)
    reading = asyncio.create_task(log.read(JOURNAL, 0, wait_ms=4_000))
    await log.append(JOURNAL, numbered(1))  # a fetch that waits holds no append up
    assert len(await reading) == 1


async def test_an_offset_that_is_not_there_halts(log: KafkaLog) -> None:
    await log.append(JOURNAL, numbered(1))
    with pytest.raises(Halted):
        await log.read(JOURNAL, 2)


async def test_a_topic_that_is_not_there_is_unavailable(log: KafkaLog) -> None:
    for asked in (
        log.partitions("nowhere"),
        log.end_offset(("nowhere", 0)),
        log.read(("nowhere", 0), 0),
        log.append(("nowhere", 0), numbered(1)),
    ):
        with pytest.raises(Unavailable):
            await asked


async def test_a_batch_over_the_bound_is_never_sent(log: KafkaLog) -> None:
    with pytest.raises(InvariantBroken):
        await log.append(JOURNAL, numbered(4, size=BATCH_BYTES_MAX // 3))
    assert await log.end_offset(JOURNAL) == 0


async def test_a_batch_out_of_sequence_is_refused_by_the_broker(log: KafkaLog) -> None:
    await log.append(JOURNAL, numbered(2))
    ((partition, _),) = log._sequences.items()
    log._sequences[partition] = 7
    with pytest.raises(Unavailable, match="OutOfOrderSequence"):
        await log.append(JOURNAL, numbered(1))
    assert await log.end_offset(JOURNAL) == 2


async def test_two_lives_append_side_by_side(make_topics: MakeTopics) -> None:
    settings = await make_topics(JOURNAL[0], partitions=1)
    async with log_of(settings) as one, log_of(settings) as other:
        offsets = [await each.append(JOURNAL, numbered(2)) for each in (one, other, one, other)]
    assert offsets == [0, 2, 4, 6]


async def test_no_broker_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        await KafkaLog.open(Settings(kafka_bootstrap="127.0.0.1:1"))
