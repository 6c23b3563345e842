"""The clock: a tick to each partition of markets every second, so that time passes there."""

import asyncio
import logging
from typing import Final

from producers.commands import Acknowledgement, CommandPublisher
from producers.edge import RETRY_S, send, started
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
    on_their_way: dict[int, Acknowledgement] = {}
    try:
        await started(publisher)
        while True:
            try:
                await tick(publisher, on_their_way)
                await asyncio.sleep(_TICK_S)
            except Unavailable as error:
                _LOG.info("waiting for the broker: %s", error)
                await asyncio.sleep(RETRY_S)
    finally:
        await publisher.stop()


async def tick(publisher: CommandPublisher, on_their_way: dict[int, Acknowledgement]) -> None:
    """Send a tick to each partition whose last one arrived.

    Raises:
        Unavailable: one could not be sent.
    """
    for partition in range(await publisher.partitions(MARKETS_COMMANDS)):
        previous = on_their_way.get(partition)
        if previous is None or previous.done():
            on_their_way[partition] = await send(
                publisher, None, TickClock(), lives_ms=_LIVES_MS, partition=partition
            )
