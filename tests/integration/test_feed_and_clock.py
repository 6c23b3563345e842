"""The feed and the clock on a real broker."""

import asyncio
import logging
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from producers import clock, feed
from runtime.admin import create_topics
from runtime.devstack.servers import KafkaServer
from runtime.kafka_options import kafka_options
from runtime.settings import Settings
from schemas.envelope import header_map
from schemas.markets import COMMANDS, ListMarket, TickClock, UpdateQuote
from schemas.topics import MARKETS_COMMANDS, REGISTRY

MakeTopics = Callable[..., Awaitable[Settings]]
DEADLINE_S = 30.0
PARTITIONS = 3
SYMBOLS = {"BTC-USD", "ETH-USD", "XRP-USD", "SOL-USD", "DOGE-USD"}


@asynccontextmanager
async def running(*mains: Awaitable[None]) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(each) for each in mains]
    try:
        yield
    finally:
        for each in tasks:
            each.cancel()
        for each in tasks:
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(each, 10)


@asynccontextmanager
async def inbox(settings: Settings) -> AsyncIterator[AsyncIterator[ConsumerRecord]]:
    consumer = AIOKafkaConsumer(**kafka_options(settings))
    await consumer.start()
    topic = settings.topic(MARKETS_COMMANDS)
    consumer.assign([TopicPartition(topic, each) for each in range(PARTITIONS)])
    await consumer.seek_to_beginning()
    try:
        yield aiter(consumer)
    finally:
        await consumer.stop()


async def test_the_feed_lists_five_markets_and_quotes_each(make_topics: MakeTopics) -> None:
    settings = await make_topics(MARKETS_COMMANDS, partitions=PARTITIONS, feed_speed=10)
    listed: set[str] = set()
    quoted: Counter[str] = Counter()
    sequences: dict[str, int] = {}
    async with inbox(settings) as records, asyncio.timeout(DEADLINE_S):
        async with running(feed.main(settings)):
            async for record in records:
                headers = header_map(record.headers)
                message = COMMANDS.decode(headers["ce_type"].decode(), record.value)
                assert int(headers["expires-at"]) > record.timestamp
                if isinstance(message, ListMarket):
                    listed.add(message.symbol)
                    assert message.unless_listed
                if isinstance(message, UpdateQuote):
                    assert record.key.decode() == message.symbol
                    assert message.quote.sequence > sequences.get(message.symbol, 0)
                    sequences[message.symbol] = message.quote.sequence
                    quoted[message.symbol] += 1
                    if all(quoted[each] >= 5 for each in SYMBOLS):
                        break
        assert listed == set(quoted) == SYMBOLS
        async with running(feed.main(settings)):  # again: sequences go on
            async for record in records:
                headers = header_map(record.headers)
                message = COMMANDS.decode(headers["ce_type"].decode(), record.value)
                if isinstance(message, ListMarket):
                    listed.discard(message.symbol)
                if isinstance(message, UpdateQuote):
                    assert message.quote.sequence > sequences[message.symbol]
                    if not listed:
                        break


async def test_the_clock_ticks_in_each_partition(make_topics: MakeTopics) -> None:
    settings = await make_topics(MARKETS_COMMANDS, partitions=PARTITIONS)
    ticks: Counter[int] = Counter()
    async with (
        inbox(settings) as records,
        asyncio.timeout(DEADLINE_S),
        running(clock.main(settings)),
    ):
        async for record in records:
            assert header_map(record.headers)["ce_type"] == TickClock.TYPE.encode()
            ticks[record.partition] += 1
            if all(ticks[each] >= 2 for each in range(PARTITIONS)):
                break


@pytest.mark.parametrize("main", [feed.main, clock.main], ids=["feed", "clock"])
async def test_they_wait_for_a_broker_that_is_not_there(
    main: Callable[[Settings], Awaitable[None]],
    unused_port: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, logger="producers.edge")
    settings = Settings(kafka_bootstrap=f"127.0.0.1:{unused_port}")
    async with asyncio.timeout(DEADLINE_S), running(main(settings)):
        while caplog.messages.count("waiting for the broker") < 2:  # noqa: ASYNC110  # logs tell nobody
            await asyncio.sleep(0.05)


async def test_quotes_and_ticks_go_on_after_the_broker_was_killed(
    tmp_path: Path, jars: Path
) -> None:
    server = KafkaServer(tmp_path, jars=jars, log=tmp_path / "kafka.log")
    server.launch()
    settings = Settings(kafka_bootstrap=server.bootstrap, partitions=PARTITIONS)
    try:
        await server.wait_ready()
        await create_topics(settings, [REGISTRY[MARKETS_COMMANDS]])
        async with asyncio.timeout(120), running(feed.main(settings), clock.main(settings)):
            await _seen(settings, await _end(settings))
            server.signal(signal.SIGKILL)
            server.stop()
            server.launch()
            await server.wait_ready()
            await _seen(settings, await _end(settings))
    finally:
        server.stop()


async def _end(settings: Settings) -> int:
    """How many records the inbox holds."""
    consumer = AIOKafkaConsumer(**kafka_options(settings))
    await consumer.start()
    topic = settings.topic(MARKETS_COMMANDS)
    ends = await consumer.end_offsets([TopicPartition(topic, each) for each in range(PARTITIONS)])
    await consumer.stop()
    return sum(ends.values())


async def _seen(settings: Settings, since: int) -> None:
    """Wait until a quote of each market and a tick of each partition came after `since` records."""
    seen: set[object] = set()
    async with inbox(settings) as records:
        async for record in records:
            since -= 1
            if since < 0:
                seen.add(record.key.decode() if record.key else record.partition)
            if seen >= {*SYMBOLS, *range(PARTITIONS)}:
                return


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port that nobody listens on: it is bound, but does not listen."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
