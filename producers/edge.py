"""How feeds and the clock put commands into the inbox of markets, without waiting for replies."""

import asyncio
import logging
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from producers.commands import Acknowledgement, CommandPublisher
from runtime.errors import Unavailable
from schemas.codec import Message
from schemas.topics import MARKETS_COMMANDS

RETRY_S: Final = 0.5
_FLIGHT_S_MAX: Final = 5.0
_LOG: Final = logging.getLogger(__name__)


@dataclass(slots=True)
class Flight:
    """The one command of its kind that may be on its way at a time.

    What is newer replaces what waits, so a slow broker gets no backlog. A producer that was
    replaced never acknowledges, so after 5 s a flight counts as over.
    """

    acknowledgement: Acknowledgement | None = None
    sent_s: float = 0.0

    def is_over(self) -> bool:
        """Whether the next command may be sent."""
        if self.acknowledgement is None or self.acknowledgement.done():
            return True
        return time.monotonic() - self.sent_s > _FLIGHT_S_MAX

    def began(self, acknowledgement: Acknowledgement) -> None:
        """A command was sent."""
        self.acknowledgement, self.sent_s = acknowledgement, time.monotonic()


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
