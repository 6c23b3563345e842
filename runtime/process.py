"""Runs one process: a FastStream application or an async main, under uvloop, until told to stop."""

import asyncio
import gc
import importlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import uvloop
from faststream import FastStream

from runtime import logs, metrics
from runtime.errors import InvariantBroken
from runtime.kafka_clients import survive_lost_connections
from runtime.settings import settings

EXIT_INVARIANT: Final = 70
"""EX_SOFTWARE: an invariant is broken; a restart replays the journal and may well find it again."""
EXIT_STUCK: Final = 75
"""EX_TEMPFAIL: it was told to stop and did not in time."""

_STOP_S_MAX: Final = 8.0
_READY_FILE: Final = "CNOP_READY_FILE"
_log: Final = logging.getLogger(__name__)

Main = Callable[[], Coroutine[Any, Any, None]]


def load(reference: str) -> Any:  # noqa: ANN401  # whatever stands there
    """The object that `module:attribute` names."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


def run(name: str, reference: str) -> int:
    """Run what `reference` names, a FastStream application or an async function; the exit code.

    SIGTERM and SIGINT stop it; what does not stop within seconds is ended.
    """
    logs.configure(name, settings().log_level)
    metrics.serve(settings().metrics_port, host=settings().metrics_host)
    try:
        target = load(reference)
        collect_rarely()
        survive_lost_connections()
        main = _application(target) if isinstance(target, FastStream) else _function(target)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main)
    except InvariantBroken:
        _log.critical("an invariant is broken", exc_info=True)
        return EXIT_INVARIANT
    except Exception:  # noqa: BLE001  # the outermost frame: log it and end non-zero
        _log.exception("the process failed")
        return 1
    return 0


def collect_rarely(*, new_objects: int = 50_000) -> None:
    """Look for cycles after so many new objects, not 700, and never among those of the start.

    Deciding makes many objects and no cycles; at Python's own threshold looking through them
    is a worker's largest single cost, and finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(new_objects, 20, 100)


def mark_ready() -> None:
    """Tell the supervisor, where there is one, that this process works."""
    if path := os.environ.get(_READY_FILE):
        Path(path).touch()


def end_if_stuck() -> None:
    """End this process if it is still there after the time that stopping may take."""
    watchdog = threading.Timer(_STOP_S_MAX, os._exit, [EXIT_STUCK])
    watchdog.daemon = True
    watchdog.start()


async def _application(app: FastStream) -> None:
    app.after_startup(mark_ready)
    app.on_shutdown(end_if_stuck)
    await app.run()


async def _function(main: Main) -> None:
    task = asyncio.ensure_future(main())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, task)
    mark_ready()
    with suppress(asyncio.CancelledError):
        await task


def _stop(task: "asyncio.Future[None]") -> None:
    end_if_stuck()
    task.cancel()
