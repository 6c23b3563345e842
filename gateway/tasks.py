"""Background tasks of the gateway that are started together and end together."""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final

_LOG: Final = logging.getLogger(__name__)


def end_process() -> None:
    """Stop as if told to, so that the supervisor starts a sound process instead."""
    signal.raise_signal(signal.SIGTERM)


class Tasks:
    """Holds its tasks until they end; when one fails, a gateway without it has to end too."""

    def __init__(self, on_failure: Callable[[], None] = end_process) -> None:
        self._on_failure: Final = on_failure
        self.has_failed = False
        self._running: Final[set[asyncio.Task[Any]]] = set()

    def start(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run in the background."""
        task = asyncio.create_task(work, name=name)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def stop(self) -> None:
        """Cancel all and wait for their ends."""
        running = tuple(self._running)
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.critical("the task %s failed", task.get_name(), exc_info=error)
            self.has_failed = True
            self._on_failure()
