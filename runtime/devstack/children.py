"""Child processes in groups of their own, which die with their parent and stop in bounded time."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_LEASH: Final = str(Path(__file__).with_name("leash.py"))


class Child:
    """A running child process; start it from a thread that lives as long as the child should."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        leashed: bool = True,
        niceness: int = 0,
    ) -> None:
        """Start the command; its output is appended to `log`.

        A leashed one may yield the CPU to others by its `niceness` (0 to 19).

        Raises:
            OSError: the log cannot be written, or the interpreter cannot be started.
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        leash = (
            [sys.executable, "-I", "-S", _LEASH, str(os.getpid()), str(niceness)] if leashed else []
        )
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  # our own commands
                [*leash, *command] if leashed else command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
        self.log: Final = log

    @property
    def pid(self) -> int:
        """The process id, which is also its group's."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def signal(self, number: int) -> None:
        """Send a signal to its group, if it still runs."""
        if self.returncode is None:
            os.killpg(self.pid, number)

    def wait(self, timeout_s: float) -> int | None:
        """How it ended, or None when it still runs after `timeout_s`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def stop(self, grace_s: float = 10.0) -> None:
        """Ask it to end, and after `grace_s` end it."""
        self.signal(signal.SIGTERM)
        if self.wait(grace_s) is None:
            self.signal(signal.SIGKILL)
            self.wait(grace_s)


def last_lines(log: Path, count: int = 3) -> str:
    """The end of a log, for an error message."""
    if not log.exists():
        return ""
    with log.open("rb") as output:
        output.seek(max(0, log.stat().st_size - 4_096))
        lines = output.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-count:])
