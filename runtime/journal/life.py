"""A partition's writers one after another: each life begins from the log alone (W5)."""

import logging
from typing import Any, Final, Protocol

from runtime.errors import Fenced, Halted, Unavailable
from runtime.journal.writer import Writer
from runtime.log import Log

_LOG: Final = logging.getLogger(__name__)
_POLL_MS: Final = 500
_BACKOFF_MS_MIN: Final = 100
_BACKOFF_MS_MAX: Final = 5_000


class Life(Protocol):
    """What surrounds the writers of one partition."""

    async def open_log(self) -> Log:
        """A log with clients of its own."""
        ...

    def writer(self, log: Log) -> Writer[Any]:
        """A writer without state."""
        ...

    def is_stopping(self) -> bool:
        """Whether to finish gracefully."""
        ...

    async def sleep(self, duration_ms: int) -> None:
        """Wait before the next life, so that writers do not chase each other."""
        ...

    def halted(self, problem: Halted) -> None:
        """Make the halt loud; only an operator ends it (W8)."""
        ...


async def keep_writing(life: Life) -> None:
    """Live until asked to stop, or until a life halts."""
    backoff = _Backoff()
    while not life.is_stopping():
        try:
            await _live(life, backoff)
        except Halted as problem:
            life.halted(problem)
            return
        except (Fenced, Unavailable) as problem:
            _LOG.warning("writer starts again: %s", problem)
            await life.sleep(backoff.next_ms())


class _Backoff:
    """Waits that double while lives fail without having decided anything."""

    def __init__(self) -> None:
        self._failures = 0

    def next_ms(self) -> int:
        self._failures += 1
        return min(_BACKOFF_MS_MIN << min(self._failures, 10), _BACKOFF_MS_MAX)

    def reset(self) -> None:
        self._failures = 0


async def _live(life: Life, backoff: _Backoff) -> None:
    log = await life.open_log()
    try:
        writer = life.writer(log)
        await writer.start()
        while not life.is_stopping():
            if await writer.step(wait_ms=_POLL_MS):
                backoff.reset()
        await writer.finish()
    finally:
        await log.close()
