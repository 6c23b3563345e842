"""Supervision, with small stand-in processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from runtime.devstack.children import Child
from runtime.devstack.processes import Planned, plan
from runtime.devstack.state import ProcessStatus
from runtime.devstack.supervisor import Supervised

_READY_THEN_WAIT = "import pathlib, sys, time; pathlib.Path(sys.argv[1]).touch(); time.sleep(60)"
_DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf")
time.sleep(60)
"""
_FAIL = "import sys; sys.exit(70)"


def _until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Callable[[str], Supervised]]:
    made: list[Supervised] = []

    def start(planned: Planned) -> Child:
        return Child(planned.command, log=tmp_path / "out.log")

    def supervised(code: str) -> Supervised:
        ready = tmp_path / "ready"
        command = [sys.executable, "-c", code, str(ready)]
        made.append(Supervised(Planned("stand-in", "nobody", command), start, ready))
        return made[-1]

    yield supervised
    for each in made:
        each.signal(signal.SIGKILL)
        each.wait(time.monotonic() + 5)


def _watch(process: Supervised, condition: Callable[[ProcessStatus], bool]) -> None:
    def looked_after() -> bool:
        process.tick()
        return condition(process.status)

    _until(looked_after)


def test_a_killed_process_is_started_again_under_another_pid_and_counted(
    supervise: Callable[[str], Supervised],
) -> None:
    process = supervise(_READY_THEN_WAIT)
    _watch(process, lambda status: status.state == "ready")
    first = process.status.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    _watch(process, lambda status: status.state == "ready" and status.pid != first)
    assert process.status.restarts == 1
    assert process.status.last_exit == -signal.SIGKILL


def test_a_process_that_keeps_failing_waits_longer_each_time(
    supervise: Callable[[str], Supervised],
) -> None:
    process = supervise(_FAIL)
    starts: list[float] = []

    def note(status: ProcessStatus) -> bool:
        if status.state == "starting" and len(starts) == status.restarts:
            starts.append(time.monotonic())
        return len(starts) == 3

    _watch(process, note)
    assert process.status.last_exit == 70
    assert starts[2] - starts[1] > starts[1] - starts[0] > 0.5


def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = f"""
import pathlib, sys, time
from runtime.devstack.children import Child
log = pathlib.Path({str(tmp_path / "out.log")!r})
child = Child([sys.executable, "-c", "import time; time.sleep(60)"], log=log)
print(child.pid, flush=True)
time.sleep(60)
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:  # noqa: S603  # stand-in
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
        _until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_a_child_that_ignores_the_polite_signal_is_ended(tmp_path: Path) -> None:
    log = tmp_path / "out.log"
    child = Child([sys.executable, "-u", "-c", _DEAF], log=log)
    _until(lambda: "deaf" in log.read_text())
    child.stop(grace_s=0.2)
    assert child.returncode == -signal.SIGKILL


def test_a_nice_child_yields_as_a_process_and_as_a_session(tmp_path: Path) -> None:
    log = tmp_path / "out.log"
    child = Child([sys.executable, "-u", "-c", _DEAF], log=log, niceness=10)
    _until(lambda: "deaf" in log.read_text())
    group = Path(f"/proc/{child.pid}/autogroup")
    try:
        assert psutil.Process(child.pid).nice() == min(19, os.nice(0) + 10)
        assert not group.exists() or group.read_text().endswith("nice 10\n")
    finally:
        child.stop(grace_s=0.1)


def test_what_follows_decisions_yields_to_what_makes_them() -> None:
    assert {each.name for each in plan([8000]) if each.niceness} == {
        *("auditor", "auth", "read-models")
    }
