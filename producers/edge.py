"""How feeds and the clock put commands into the inbox of markets, without waiting for replies."""

import asyncio
import logging
import uuid
from contextlib import suppress
from typing import Final

from producers.commands import Acknowledgement, CommandPublisher
from runtime.errors import Unavailable
from schemas.codec import Message
from schemas.topics import MARKETS_COMMANDS

RETRY_S: Final = 0.5
_LOG: Final = logging.getLogger(__name__)


async def started(publisher: CommandPublisher) -> None:
    """Connect, however long the broker takes to come up."""
    while True:
        with suppress(Unavailable):
            await publisher.start()
            return
        _LOG.info("waiting for the broker")
        await asyncio.sleep(RETRY_S)


async def send(
    publisher: CommandPublisher,
    symbol: str | None,
    command: Message,
    *,
    lives_ms: int,
    partition: int | None = None,
) -> Acknowledgement:
    """Send a command that nobody waits for; appended after `lives_ms` it is refused (C2).

    Raises:
        Unavailable: it could not be sent.
    """
    return await publisher.publish(
        MARKETS_COMMANDS,
        symbol,
        command,
        command_id=uuid.uuid4().hex,
        expires_at_ms=publisher.clock.now_ms() + lives_ms,
        partition=partition,
    )
