"""How an operator's command line has a command decided, and reads what was decided."""

import asyncio
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from producers.commands import CommandPublisher
from runtime.errors import Unavailable
from runtime.journal.outbound import partition_of
from runtime.kafka_log import KafkaLog
from runtime.log import Place, Record
from runtime.settings import Settings
from schemas.codec import Message
from schemas.envelope import COMMAND_ID
from schemas.topics import inbox_of, journal_of

_DECIDED_S_MAX: Final = 10.0
_WAIT_MS: Final = 200


class Operator:
    """Sends commands of one context and waits for each; asking again does no harm."""

    def __init__(self, context: str, publisher: CommandPublisher, log: KafkaLog) -> None:
        self._context: Final = context
        self._publisher: Final = publisher
        self._log: Final = log

    async def partitions(self) -> int:
        """How many partitions the context has."""
        return await self._publisher.partitions(inbox_of(self._context))

    async def decided_for(self, key: str, command: Message) -> Record:
        """The first journal record of this command to the entity with this key; as `decided`."""
        return await self.decided(partition_of(key, await self.partitions()), command)

    async def decided(self, partition: int, command: Message) -> Record:
        """The first journal record of this command.

        Raises:
            Unavailable: the broker or the partition's decider did not answer in time.
        """
        journal = (journal_of(self._context), partition)
        seen = await self._log.end_offset(journal)
        command_id = uuid.uuid4().hex
        acknowledged = await self._publisher.publish(
            inbox_of(self._context),
            None,
            command,
            command_id=command_id,
            expires_at_ms=self._publisher.clock.now_ms() + round(_DECIDED_S_MAX * 1000),
            partition=partition,
        )
        await acknowledged
        try:
            async with asyncio.timeout(_DECIDED_S_MAX):
                return await self._found(journal, seen, command_id)
        except TimeoutError:
            raise Unavailable(
                f"Partition {partition} of {self._context} has not decided: is its worker running?"
            ) from None

    async def _found(self, journal: Place, offset: int, command_id: str) -> Record:
        """Read the journal from there on until the command is in it."""
        wanted = (COMMAND_ID, command_id.encode())
        while True:
            records = await self._log.read(journal, offset, wait_ms=_WAIT_MS)
            for record in records:
                if wanted in record.headers:
                    return record
            if records:
                offset = records[-1].offset + 1


@asynccontextmanager
async def operator(settings: Settings, context: str) -> AsyncGenerator[Operator]:
    """Connect to Kafka for a while.

    Raises:
        Unavailable: the broker does not answer.
    """
    publisher = CommandPublisher(settings, producer="operators")
    await publisher.start()
    try:
        log = await KafkaLog.open(settings)
        try:
            yield Operator(context, publisher, log)
        finally:
            await log.close()
    finally:
        await publisher.stop()
