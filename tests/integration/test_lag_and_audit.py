"""The operators' and analysts' tools on a real broker."""

import asyncio
import itertools
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from producers.commands import CommandPublisher
from runtime.devstack.ports import free_port
from runtime.devstack.signing_in import principal_of
from runtime.kafka_log import KafkaLog
from runtime.lag import Lag, observer
from runtime.log import NewRecord
from runtime.security.kafka_passwords import credentials_of
from runtime.settings import Settings
from schemas import accounts
from schemas.accounts import (
    DepositFunds,
    FundsDeposited,
    OrderType,
    PlaceOrder,
    Posting,
    Side,
)
from schemas.codec import Message, encode
from schemas.envelope import CE_TYPE, ENTITY_ID, SOURCE_OFFSET, WRITER_EPOCH
from schemas.journal import WriterClaimed
from schemas.money import E8
from schemas.topics import ACCOUNTS_COMMANDS, ACCOUNTS_JOURNAL, MARKETS_JOURNAL

DEADLINE_S = 150.0
MakeTopics = Callable[..., Awaitable[Settings]]
EXAMPLE = FundsDeposited(
    account_id="a",
    transaction_id="t",
    amount_e8=5,
    day_total_e8=5,
    holdings=(),
    postings=(
        Posting("a", accounts.CASH, "free", 5),
        Posting("external", accounts.CASH, "free", -4),
    ),
)


def entry(event: Message, *, epoch: int, source_offset: int = 0) -> NewRecord:
    return NewRecord(
        encode(event),
        [
            (CE_TYPE, event.TYPE.encode()),
            (WRITER_EPOCH, b"%d" % epoch),
            (SOURCE_OFFSET, b"%d" % source_offset),
            (ENTITY_ID, b"a"),
        ],
    )


async def write_journal(settings: Settings) -> None:
    """A deposit, one by a fenced writer, and another deposit."""
    log = await KafkaLog.open(settings)
    try:
        await log.append(
            (ACCOUNTS_JOURNAL, 0),
            [
                entry(WriterClaimed(), epoch=1),
                entry(EXAMPLE, epoch=1),
                entry(WriterClaimed(), epoch=2),
                entry(EXAMPLE, epoch=1),
                entry(EXAMPLE, epoch=2, source_offset=1),
            ],
        )
    finally:
        await log.close()


@asynccontextmanager
async def cnop(
    settings: Settings, *arguments: str, **environment: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A `cnop` process; it is ended with the test."""
    own = {
        "CNOP_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "CNOP_NAMESPACE": settings.namespace,
    }
    if settings.kafka_password_file:
        directory = settings.kafka_password_file.parents[1]
        own |= credentials_of(directory, principal_of(arguments))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "runtime.cli",
        *arguments,
        env=dict(os.environ) | own | environment,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.communicate(), DEADLINE_S)


async def lines_of(settings: Settings, *arguments: str) -> list[dict[str, object]]:
    async with cnop(settings, *arguments) as process:
        output, _ = await asyncio.wait_for(process.communicate(), DEADLINE_S)
        assert process.returncode == 0
        return [json.loads(each) for each in output.splitlines()]


def market_buy(account_id: str) -> PlaceOrder:
    return PlaceOrder(
        account_id=account_id,
        asset="BTC",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity_e8=E8 // 1_000,
    )


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not await met(condition):  # noqa: ASYNC110  # other processes change it
            await asyncio.sleep(0.2)


async def met(condition: Callable[[], Awaitable[bool]]) -> bool:
    """Whether the condition holds; a process that does not listen yet has not met it."""
    try:
        return await condition()
    except urllib.error.URLError:
        return False


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  # our own loopback
        return answer.read()


async def measured(settings: Settings) -> dict[tuple[str, str, int], Lag]:
    async with observer(settings) as looking:
        return {(each.group, each.topic, each.partition): each for each in await looking.measure()}


@pytest.mark.anyio
async def test_lag_shows_every_expected_group_even_before_it_has_consumed(
    make_topics: MakeTopics,
) -> None:
    settings = await make_topics(ACCOUNTS_COMMANDS, ACCOUNTS_JOURNAL, partitions=2)
    await write_journal(settings)
    lags = await measured(settings)
    groups = {group.removeprefix(settings.namespace) for group, _, _ in lags}
    assert groups == {
        "accounts",
        "auditor",
        "read-models-accounts",
    }
    behind = lags[settings.topic("auditor"), settings.topic(ACCOUNTS_JOURNAL), 0]
    assert (behind.position, behind.messages) == (None, 5)
    assert 0 < behind.seconds < DEADLINE_S
    idle = lags[settings.topic("auditor"), settings.topic(ACCOUNTS_JOURNAL), 1]
    assert (idle.messages, idle.seconds) == (0, 0.0)


@pytest.mark.anyio
async def test_the_auditor_reads_valid_records_and_exports_books_and_lag(
    make_topics: MakeTopics,
) -> None:
    settings = await make_topics(ACCOUNTS_JOURNAL, MARKETS_JOURNAL, partitions=2)
    await write_journal(settings)
    port = free_port()
    async with cnop(settings, "worker", "auditor", CNOP_METRICS_PORT=str(port)):
        group, topic = settings.topic("auditor"), settings.topic(ACCOUNTS_JOURNAL)

        async def has_committed() -> bool:
            return (await measured(settings))[group, topic, 0].position == 5

        await until(has_committed)
        audit = json.loads(await asyncio.to_thread(fetch, f"http://127.0.0.1:{port}/audit"))
        assert audit["imbalance_e8"] == {"USD": "2"}
        assert audit["faults"]["unbalanced-event"] == 2
        sample = (
            f'kafka_consumergroup_lag{{consumergroup="{group}",partition="0",topic="{topic}"}} 0.0'
        )

        async def exports_lag() -> bool:
            page = await asyncio.to_thread(fetch, f"http://127.0.0.1:{port}/metrics")
            return sample in page.decode() and 'cnop_auditor_imbalance_e8{asset="USD"} 2.0' in (
                page.decode()
            )

        await until(exports_lag)


@pytest.mark.anyio
async def test_the_auditor_joins_the_trades_of_real_workers_with_their_legs(
    make_topics: MakeTopics,
) -> None:
    settings = await make_topics(partitions=2)
    port = free_port()
    async with AsyncExitStack() as processes:
        for arguments in (["worker", "accounts"], ["worker", "markets"], ["feed"]):
            await processes.enter_async_context(cnop(settings, *arguments))
        auditor = cnop(settings, "worker", "auditor", CNOP_METRICS_PORT=str(port))
        await processes.enter_async_context(auditor)
        publisher = CommandPublisher(settings)
        await publisher.start()
        processes.push_async_callback(publisher.stop)
        numbers = itertools.count()

        async def send(command: Message, account_id: str) -> None:
            sent = await publisher.publish(
                ACCOUNTS_COMMANDS,
                account_id,
                command,
                command_id=f"c{next(numbers)}",
                expires_at_ms=publisher.clock.now_ms() + 60_000,
                user_id=account_id,
                user_role="trader",
            )
            await sent

        for account_id in ("alice", "bob"):
            await send(DepositFunds(account_id=account_id, amount_e8=9_000 * E8), account_id)

        async def has_matched() -> bool:
            for account_id in ("alice", "bob"):
                await send(market_buy(account_id), account_id)
            audit = json.loads(await asyncio.to_thread(fetch, f"http://127.0.0.1:{port}/audit"))
            return audit.get("matched", {}).get("BTC-USD", 0) >= 4

        await until(has_matched)

        async def is_quiet() -> bool:
            audit = json.loads(await asyncio.to_thread(fetch, f"http://127.0.0.1:{port}/audit"))
            waiting = audit["unmatched"]["trade"]["count"] + audit["unmatched"]["leg"]["count"]
            clearing = [each for each in audit["clearing_e8"].values() if each != "0"]
            assert not any(audit["faults"].values())
            assert set(audit["imbalance_e8"].values()) == {"0"}
            return not waiting and not clearing

        await until(is_quiet)


@pytest.mark.anyio
async def test_cnop_lag_prints_json_lines(make_topics: MakeTopics) -> None:
    settings = await make_topics(ACCOUNTS_COMMANDS, ACCOUNTS_JOURNAL, partitions=1)
    await write_journal(settings)
    lines = await lines_of(settings, "lag", "--json")
    behind = {(each["group"], each["topic"]): each["messages"] for each in lines}
    assert behind[settings.topic("accounts"), settings.topic(ACCOUNTS_COMMANDS)] == 0
    assert behind[settings.topic("read-models-accounts"), settings.topic(ACCOUNTS_JOURNAL)] == 5


@pytest.mark.anyio
async def test_cnop_replay_prints_valid_records_only(make_topics: MakeTopics) -> None:
    settings = await make_topics(ACCOUNTS_JOURNAL, partitions=2)
    await write_journal(settings)
    lines = await lines_of(
        settings, "replay", "accounts", "--type", "accounts.*", "--from", "0:1", "--entity", "a"
    )
    assert [each["offset"] for each in lines] == [1, 4]
    assert [each["writer_epoch"] for each in lines] == [1, 2]
    assert all(each["type"] == EXAMPLE.TYPE for each in lines)
    assert all(each["data"] == json.loads(encode(EXAMPLE)) for each in lines)
