"""Seeded histories: run, judged, and told line by line when somebody wants to see one."""

import gc
import logging
import multiprocessing
import os
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Final, NamedTuple

from runtime.log import Place, Record
from runtime.process import collect_rarely
from schemas.envelope import CE_TYPE, SOURCE, rfc3339
from schemas.topics import CONTEXTS, inbox_of, journal_of
from simulation.judge import judge
from simulation.system import System, Trace

_TOLD: Final = frozenset({name(each) for each in CONTEXTS for name in (inbox_of, journal_of)})
_AT_ONCE: Final = 5
_BODY_CHARACTERS_MAX: Final = 300


class History(NamedTuple):
    """How often what happened in one seeded run; `problem` is why it does not hold, if so."""

    seed: int
    happened: Counter[str]
    problem: str | None = None


def run(seed: int, commands: int, trace: Trace | None = None) -> Counter[str]:
    """One history of so many commands, judged; how often what happened.

    Raises:
        AssertionError: an invariant does not hold.
    """
    with System(seed, commands=commands, trace=trace) as system:
        system.run()
        return judge(system)


def run_all(seeds: Iterable[int], commands: int) -> Iterator[History]:
    """Each seed's history, over all cores, in the order of the seeds."""
    spawn = multiprocessing.get_context("spawn")
    cores = os.cpu_count()
    with ProcessPoolExecutor(cores, mp_context=spawn, initializer=prepare) as pool:
        yield from pool.map(partial(_judged, commands=commands), seeds, chunksize=_AT_ONCE)


def prepare() -> None:
    """Make this process one that runs histories and nothing else.

    Writers start again hundreds of times in each; nobody reads of it in a log. Hardly anything is
    garbage before a history ends, and then nearly all is.
    """
    collect_rarely()
    gc.disable()
    logging.disable(logging.WARNING)


def _judged(seed: int, commands: int) -> History:
    try:
        return History(seed, run(seed, commands))
    except Exception:  # noqa: BLE001  # the one who asked wants to know, whatever it is
        return History(seed, Counter(), traceback.format_exc())
    finally:
        gc.collect()


class Told:
    """Writes a line for each command, event and fault."""

    def __init__(self, write: Callable[[str], object]) -> None:
        self._write: Final = write

    def appended(self, place: Place, records: Sequence[Record]) -> None:
        """Commands and events; a fact is marked with where it comes from."""
        topic, partition = place
        if topic not in _TOLD:
            return
        for record in records:
            headers = record.by_name()
            source = headers.get(SOURCE, b"").decode() if topic.endswith(".commands") else ""
            kind = headers.get(CE_TYPE, b"?").decode()
            body = (record.value or b"").decode("utf-8", "replace")[:_BODY_CHARACTERS_MAX]
            at = f"{topic}/{partition}@{record.offset}"
            came = f" from {source}" if source else ""
            self._write(f"{rfc3339(record.timestamp_ms)} {at}{came} {kind} {body}")

    def happened(self, what: str) -> None:
        """A fault, or the end of all faults."""
        self._write(f"--- {what}")
