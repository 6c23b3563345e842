"""One process: how it starts, stops and ends."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.devstack.children import Child
from runtime.process import EXIT_INVARIANT, EXIT_STUCK

_MODULE = """
import asyncio
from runtime.errors import InvariantBroken

async def wait():
    try:
        await asyncio.Event().wait()
    finally:
        print("stopped cleanly", flush=True)

async def deaf():
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            pass

async def breaks():
    raise InvariantBroken("clearing is not zero")

async def fails():
    raise OSError("no broker")
"""

Start = Callable[[str], Child]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    (tmp_path / "standins.py").write_text(_MODULE)
    code = "import sys; from runtime.process import run; sys.exit(run('stand-in', sys.argv[1]))"
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join((str(tmp_path), str(Path.cwd()))),
        "CNOP_READY_FILE": str(tmp_path / "ready"),
    }

    def started(name: str) -> Child:
        command = [sys.executable, "-c", code, f"standins:{name}"]
        return Child(command, log=tmp_path / "log", env=env)

    return started


def _wait_ready(child: Child) -> None:
    deadline = time.monotonic() + 30
    while not (child.log.parent / "ready").exists():
        assert time.monotonic() < deadline
        assert child.returncode is None, child.log.read_text()
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_is_told_to_stop_cleans_up_and_ends_with_zero(
    start: Start, number: int
) -> None:
    child = start("wait")
    _wait_ready(child)
    child.signal(number)
    assert child.wait(20) == 0
    assert "stopped cleanly" in child.log.read_text()


def test_a_process_that_does_not_stop_in_time_is_ended(start: Start) -> None:
    child = start("deaf")
    _wait_ready(child)
    child.signal(signal.SIGTERM)
    assert child.wait(20) == EXIT_STUCK


def test_a_broken_invariant_ends_the_process_with_its_own_code(start: Start) -> None:
    child = start("breaks")
    assert child.wait(30) == EXIT_INVARIANT
    assert '"level":"CRITICAL"' in child.log.read_text()


def test_any_other_failure_is_logged_and_ends_non_zero(start: Start) -> None:
    child = start("fails")
    assert child.wait(30) == 1
    assert "no broker" in child.log.read_text()
