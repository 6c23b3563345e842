"""The clock: a tick to each partition of markets every second, so that time passes there."""

import asyncio
import logging
from collections import defaultdict
from typing import Final

from producers.commands import CommandPublisher
from producers.edge import RETRY_S, Flight, send, started
from runtime.errors import Unavailable
from runtime.settings import Settings
from runtime.settings import settings as settings_of_process
from schemas.markets import TickClock
from schemas.topics import MARKETS_COMMANDS

_LOG: Final = logging.getLogger(__name__)
_TICK_S: Final = 1.0
_LIVES_MS: Final = 2_000


async def main(settings: Settings | None = None) -> None:
    """Tick until cancelled, through whatever the broker does."""
    publisher = CommandPublisher(settings or settings_of_process(), producer="clock")
    flights: defaultdict[int, Flight] = defaultdict(Flight)
    try:
        await started(publisher)
        while True:
            try:
                await tick(publisher, flights)
                await asyncio.sleep(_TICK_S)
            except Unavailable as error:
                _LOG.info("waiting for the broker: %s", error)
                await asyncio.sleep(RETRY_S)
    finally:
        await publisher.stop()


async def tick(publisher: CommandPublisher, flights: defaultdict[int, Flight]) -> None:
    """Send a tick to each partition whose last one arrived.

    Raises:
        Unavailable: one could not be sent.
    """
    for partition in range(await publisher.partitions(MARKETS_COMMANDS)):
        if flights[partition].is_over():
            sent = await send(publisher, None, TickClock(), lives_ms=_LIVES_MS, partition=partition)
            flights[partition].began(sent)
