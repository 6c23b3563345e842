"""A writer that was overtaken, on a real broker: it writes once more, and nobody reads that."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from consumers.accounts.context import AccountsContext
from producers.envelopes import command_headers
from runtime.errors import Fenced
from runtime.journal.claims import Claims
from runtime.journal.writer import Writer
from runtime.kafka_log import KafkaLog
from runtime.log import NewRecord, Place
from runtime.settings import Settings
from schemas.accounts import DepositFunds
from schemas.codec import encode
from schemas.envelope import CE_TYPE, WRITER_EPOCH
from schemas.identity import Role
from schemas.money import E8

INBOX: Place = ("accounts.commands", 0)
JOURNAL: Place = ("accounts.journal", 0)
ANN = "a" * 32


class System:
    """One partition of accounts and as many writers of it as a test starts."""

    def __init__(self, settings: Settings, logs: AsyncExitStack, log: KafkaLog) -> None:
        self._settings = settings
        self._logs = logs
        self.log = log

    async def writer(self) -> Writer[Any]:
        log = await KafkaLog.open(self._settings)
        self._logs.push_async_callback(log.close)
        writer = Writer(AccountsContext(), 0, log, commit_hint=self._no_group)
        await writer.start()
        return writer

    async def deposit(self, command_id: str) -> None:
        command = DepositFunds(account_id=ANN, amount_e8=5 * E8)
        now_ms = round(time.time() * 1_000)
        headers = command_headers(
            command,
            producer="gateway",
            user_id=ANN,
            user_role=Role.TRADER,
            command_id=command_id,
            time_ms=now_ms,
            expires_at_ms=now_ms + 60_000,
        )
        await self.log.append(INBOX, [NewRecord(encode(command), headers)])

    async def journal(self) -> tuple[list[str], int]:
        """The types of the valid records, and how many are void."""
        claims, valid, void = Claims(), list[str](), 0
        offset, end = 0, await self.log.end_offset(JOURNAL)
        while offset < end:
            for record in await self.log.read(JOURNAL, offset, wait_ms=1_000):
                offset, headers = record.offset + 1, dict(record.headers)
                kind = headers[CE_TYPE].decode()
                if claims.admits(kind, int(headers[WRITER_EPOCH]), record.offset):
                    valid.append(kind)
                else:
                    void += 1
        return valid, void

    async def _no_group(self, _offset: int) -> None:
        pass


@pytest.fixture
async def system(make_topics: Callable[..., Awaitable[Settings]]) -> AsyncIterator[System]:
    settings = await make_topics(partitions=1)
    async with AsyncExitStack() as logs:
        log = await KafkaLog.open(settings)
        logs.push_async_callback(log.close)
        yield System(settings, logs, log)


async def decided(writer: Writer[Any], source_offset: int) -> None:
    while writer.partition.source_offset < source_offset:
        await writer.step(wait_ms=500)


def free_e8(writer: Writer[Any]) -> int:
    return writer.partition.state.accounts[ANN].holdings["USD"].free_e8


async def test_what_an_overtaken_writer_decides_is_void_and_its_life_ends(system: System) -> None:
    zombie = await system.writer()
    await system.deposit("c1")
    await decided(zombie, 0)
    newer = await system.writer()
    await system.deposit("c2")
    await decided(newer, 1)
    with pytest.raises(Fenced):
        await decided(zombie, 1)
    valid, void = await system.journal()
    assert (valid.count("accounts.funds-deposited.v1"), void) == (2, 1)
    assert free_e8(await system.writer()) == 10 * E8


async def test_a_writer_whose_journal_moved_ends_too_and_what_it_decided_stands(
    system: System,
) -> None:
    zombie, newer = await system.writer(), await system.writer()
    await system.deposit("c1")
    await decided(newer, 0)
    with pytest.raises(Fenced):
        await decided(zombie, 0)
    await system.deposit("c2")
    with pytest.raises(Fenced):  # its place is not the one it expected, but nobody overtook it
        await decided(newer, 1)
    again = await system.writer()
    valid, void = await system.journal()
    assert (valid.count("accounts.funds-deposited.v1"), void) == (2, 1)
    assert (again.partition.source_offset, free_e8(again)) == (1, 10 * E8)
