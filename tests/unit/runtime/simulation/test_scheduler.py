"""Who runs when: every task that can, none that is stopped or dead."""

from collections import Counter
from random import Random

from runtime.simulation.scheduler import Process, Scheduler, turn


async def _count(counted: Counter[str], name: str, turns: int) -> None:
    for _ in range(turns):
        counted[name] += 1
        await turn()


def _counted(**turns: int) -> tuple[Scheduler, Counter[str], dict[str, Process]]:
    scheduler, counted = Scheduler(Random(1)), Counter[str]()
    processes = {name: scheduler.process(name) for name in turns}
    for name, process in processes.items():
        scheduler.spawn(process, _count(counted, name, turns[name]))
    return scheduler, counted, processes


def test_a_stopped_process_goes_on_when_its_time_is_over() -> None:
    scheduler, counted, processes = _counted(a=1_000, b=1_000)
    scheduler.step()
    scheduler.pause(processes["a"], 100)
    stopped_at = counted["a"]
    for _ in range(99):
        scheduler.step()
    assert (counted["a"], counted["b"]) == (stopped_at, 100 - stopped_at)
    for _ in range(100):
        scheduler.step()
    assert counted["a"] > stopped_at


def test_stopped_processes_can_be_woken_at_once() -> None:
    scheduler, counted, processes = _counted(a=1_000)
    scheduler.pause(processes["a"], 100)
    assert not scheduler.step()
    scheduler.resume()
    assert scheduler.step()
    assert counted["a"] == 1


def test_what_ends_dies_or_starts_changes_who_can_run() -> None:
    scheduler, counted, processes = _counted(a=2, b=1_000)
    for _ in range(100):
        scheduler.step()
    assert counted["a"] == 2
    scheduler.crash(processes["b"])
    assert not scheduler.step()
    scheduler.spawn(processes["a"], _count(counted, "c", 1))
    assert scheduler.step()
    assert counted["c"] == 1
