"""How an operator sets the fees by tier: in every partition of accounts, each by a command."""

import asyncio
import uuid
from typing import Final

from producers.commands import CommandPublisher
from runtime.errors import Unavailable
from runtime.kafka_log import KafkaLog
from runtime.log import Place
from runtime.settings import Settings
from schemas.accounts import SetFees
from schemas.envelope import COMMAND_ID
from schemas.fees import Tiers
from schemas.topics import ACCOUNTS_COMMANDS, ACCOUNTS_JOURNAL

_DECIDED_S_MAX: Final = 10.0
_WAIT_MS: Final = 200


async def set_fees(settings: Settings, tiers: Tiers) -> int:
    """Set them and wait until each partition has decided; returns how many there are.

    Raises:
        ValueError: they are no schedule.
        Unavailable: the broker or a partition's decider did not answer in time; asking for the
            same again does no harm.
    """
    command = SetFees(tiers=tiers)
    publisher = CommandPublisher(settings, producer="operator")
    await publisher.start()
    try:
        log = await KafkaLog.open(settings)
        try:
            partitions = await publisher.partitions(ACCOUNTS_COMMANDS)
            for partition in range(partitions):
                await _set(publisher, log, command, partition)
        finally:
            await log.close()
    finally:
        await publisher.stop()
    return partitions


async def _set(
    publisher: CommandPublisher, log: KafkaLog, command: SetFees, partition: int
) -> None:
    journal = (ACCOUNTS_JOURNAL, partition)
    seen = await log.end_offset(journal)
    command_id = uuid.uuid4().hex
    lives_ms = round(_DECIDED_S_MAX * 1000)
    acknowledged = await publisher.publish(
        ACCOUNTS_COMMANDS,
        None,
        command,
        command_id=command_id,
        expires_at_ms=publisher.clock.now_ms() + lives_ms,
        partition=partition,
    )
    await acknowledged
    try:
        async with asyncio.timeout(_DECIDED_S_MAX):
            await _decided(log, journal, seen, command_id)
    except TimeoutError:
        raise Unavailable(
            f"Partition {partition} of accounts has not decided: is its worker running?"
        ) from None


async def _decided(log: KafkaLog, journal: Place, offset: int, command_id: str) -> None:
    """Read the journal from there on until the command is in it."""
    wanted = (COMMAND_ID, command_id.encode())
    while True:
        records = await log.read(journal, offset, wait_ms=_WAIT_MS)
        if any(wanted in each.headers for each in records):
            return
        if records:
            offset = records[-1].offset + 1
