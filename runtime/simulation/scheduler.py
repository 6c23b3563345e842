"""Runs coroutines one step at a time in an order drawn from a seed; crashes and pauses them.

Production code awaits only what the in-memory shells give it, so one seed is one history.
"""

from collections.abc import Awaitable, Callable, Coroutine, Generator
from random import Random
from typing import Any, Final

Step = Callable[[], object]


class _Turn:
    def __await__(self) -> Generator[None, None, None]:
        yield


_TURN: Final = _Turn()


def turn() -> Awaitable[None]:
    """Let the scheduler choose who goes on."""
    return _TURN


def below(random: Random, bound: int) -> int:
    """What `random.randrange(bound)` draws, in a third of its time."""
    getrandbits, bits = random.getrandbits, bound.bit_length()
    while (drawn := getrandbits(bits)) >= bound:
        pass
    return drawn


class Task:
    """A coroutine of a process; `error` is what it ended with."""

    def __init__(
        self, process: "Process", coroutine: Coroutine[Any, Any, None], *, is_joined: bool
    ) -> None:
        self.process: Final = process
        self.is_joined: Final = is_joined
        self._coroutine: Final = coroutine
        self.done = False
        self.error: Exception | None = None

    def step(self) -> None:
        """Run to the next turn."""
        try:
            self._coroutine.send(None)
        except StopIteration:
            self.done = True
        except Exception as error:  # noqa: BLE001  # whoever joins the task gets it
            self.done, self.error = True, error

    def kill(self) -> None:
        """End it where it stands, as SIGKILL does."""
        self.done = True
        self._coroutine.close()

    async def join(self) -> None:
        """Wait for the end and raise what it raised."""
        while not self.done:
            await turn()
        if self.error is not None:
            raise self.error


class Process:
    """Tasks that crash and pause together."""

    def __init__(self, name: str) -> None:
        self.name: Final = name
        self.tasks: list[Task] = []
        self.paused_until = 0
        self.alive = True


class Scheduler:
    """Takes one step of one runnable task at a time; `now_ms` is the broker's clock."""

    def __init__(self, random: Random, *, start_ms: int = 1_800_000_000_000) -> None:
        self.random: Final = random
        self.now_ms = start_ms
        self.steps = 0
        self.processes: list[Process] = []
        self._later: list[tuple[int, Step]] = []
        self._runnable: list[Task] | None = None
        """What can run as long as nothing starts, ends or pauses."""

    def process(self, name: str) -> Process:
        """A new process."""
        started = Process(name)
        self.processes.append(started)
        return started

    def spawn(
        self, process: Process, coroutine: Coroutine[Any, Any, None], *, is_joined: bool = False
    ) -> Task:
        """A new task of a process; one that nobody joins ends the run with its error."""
        task = Task(process, coroutine, is_joined=is_joined)
        process.tasks.append(task)
        self._runnable = None
        return task

    def later(self, steps: int, action: Step) -> None:
        """Do something that belongs to no process after so many steps."""
        self._later.append((self.steps + steps, action))

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is due later."""
        return not self._later

    def pause(self, process: Process, steps: int) -> None:
        """SIGSTOP now, SIGCONT after so many steps."""
        process.paused_until = self.steps + steps
        self._runnable = None

    def resume(self) -> None:
        """SIGCONT to everybody."""
        for process in self.processes:
            process.paused_until = 0
        self._runnable = None

    def crash(self, process: Process) -> None:
        """SIGKILL."""
        process.alive = False
        for task in process.tasks:
            if not task.done:
                task.kill()
        process.tasks.clear()
        self.processes.remove(process)
        self._runnable = None

    def step(self) -> bool:
        """Run one task to its next turn; False when nothing can run."""
        self.steps += 1
        self.now_ms += below(self.random, 3)
        if self._later:
            self._run_due()
        runnable = self._runnable or self._find_runnable()
        if not runnable:
            return False
        task = runnable[below(self.random, len(runnable))]
        task.step()
        if task.done:
            task.process.tasks.remove(task)
            self._runnable = None
            if task.error is not None and not task.is_joined:
                raise task.error
        return True

    def _run_due(self) -> None:
        due = [action for at, action in self._later if at <= self.steps]
        if due:
            self._later = [each for each in self._later if each[0] > self.steps]
            for action in due:
                action()

    def _find_runnable(self) -> list[Task]:
        awake = [each for each in self.processes if each.paused_until <= self.steps]
        runnable = [task for process in awake for task in process.tasks]
        self._runnable = runnable if len(awake) == len(self.processes) else None
        return runnable
