"""A stack in the background: started, asked, killed in parts and stopped from another process."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Self, TypeVar

from runtime.devstack.children import Child, last_lines
from runtime.devstack.config import StackConfig, environment, settings_in
from runtime.devstack.errors import CannotStart
from runtime.devstack.state import ProcessStatus, StackStatus, StateFiles
from runtime.security.kafka_passwords import credentials_of
from runtime.settings import Settings
from schemas.acls import ADMIN

Show = Callable[[StackStatus], None]

T = TypeVar("T")

_POLL_S: Final = 0.1
_STOP_S_MAX: Final = 60.0


class Stack:
    """A stack that another process runs below a state directory."""

    def __init__(self, files: StateFiles, variables: Mapping[str, str] | None = None) -> None:
        self._files: Final = files
        self._variables: Final = dict(variables or {})
        self._child: Child | None = None

    @classmethod
    def start(
        cls,
        config: StackConfig,
        *,
        variables: Mapping[str, str] | None = None,
        leashed: bool = False,
        timeout_s: float = 180.0,
        show: Show = lambda _status: None,
    ) -> Self:
        """Start one and wait until it is ready; `leashed` lets it die with this process.

        `variables` are more environment for its processes.

        Raises:
            CannotStart: it said why it cannot, or it was not ready in time; nothing is left.
        """
        files = config.files
        if (pid := files.supervisor()) is not None:
            raise CannotStart(f"A stack runs in {files.directory} already (process {pid}).")
        files.forget()
        stack = cls(files, variables)
        child = Child(
            [sys.executable, "-m", "runtime.cli", "supervise"],
            log=files.log("supervisor"),
            env=os.environ | _told(config) | stack._variables,
            leashed=leashed,
        )
        stack._child = child
        try:
            stack._wait_started(child, time.monotonic() + timeout_s, show)
        except BaseException:
            child.stop(_STOP_S_MAX)
            raise
        return stack

    @property
    def status(self) -> StackStatus:
        """What it says now.

        Raises:
            CannotStart: none runs there.
        """
        if (status := self._files.read()) is None:
            raise CannotStart(f"No stack runs in {self._files.directory}; `make up` starts one.")
        return status

    @property
    def urls(self) -> tuple[str, ...]:
        """Where its gateways are."""
        return self.status.urls

    @property
    def pids(self) -> dict[str, int]:
        """Its running processes by name."""
        return {each.name: each.pid for each in self.status.processes if each.pid is not None}

    @property
    def settings(self) -> Settings:
        """Settings with which this process reaches the same topics and tables."""
        return settings_in(self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """Variables that let a process reach the same topics and tables, as administrator."""
        return self.environment_of(ADMIN)

    def environment_of(self, principal: str) -> dict[str, str]:
        """Variables that let a process reach the same topics and tables as this principal."""
        status = self.status
        config = StackConfig(state_dir=self._files.directory)
        where = environment(
            config, bootstrap=status.kafka_bootstrap, endpoint=status.dynamodb_endpoint
        )
        directory = Path(status.kafka_credentials) if status.kafka_credentials else None
        return where | self._variables | credentials_of(directory, principal)

    def pid(self, name: str) -> int:
        """The pid of a running process.

        Raises:
            KeyError: it is not there at this moment.
        """
        return self.pids[name]

    def signal(self, name: str, number: int) -> int:
        """Send a signal to a process's group; returns its pid."""
        pid = self.pid(name)
        os.killpg(pid, number)
        return pid

    def kill(self, name: str) -> int:
        """Kill -9 a process; returns the pid that it had."""
        return self.signal(name, signal.SIGKILL)

    def wait_restarted(self, name: str, old_pid: int, timeout_s: float = 60.0) -> ProcessStatus:
        """Wait until the process runs under another pid and is ready.

        Raises:
            TimeoutError: it did not.
        """
        return self._wait(
            lambda status: (
                found
                if (found := status.process(name)).state == "ready" and found.pid != old_pid
                else None
            ),
            f"{name} was not restarted in {timeout_s:.0f} s",
            timeout_s,
        )

    def wait_ready(self, timeout_s: float = 60.0) -> StackStatus:
        """Wait until every process is ready and the gateways say so.

        Raises:
            TimeoutError: they did not.
        """
        return self._wait(
            lambda status: status if status.state == "ready" else None,
            f"the stack was not ready in {timeout_s:.0f} s",
            timeout_s,
        )

    def stop(self) -> bool:
        """Stop it, cleanly or at least surely; whether one ran."""
        pid = self._files.supervisor()
        if pid is None:
            return False
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_S_MAX
        while self._files.supervisor() == pid:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)  # its children die with it
            time.sleep(_POLL_S)
        if self._child is not None:
            self._child.wait(_STOP_S_MAX)
        return True

    def _wait_started(self, child: Child, deadline: float, show: Show) -> None:
        while True:
            status = self._files.said_last() if self._files.supervisor() == child.pid else None
            if status is not None:
                show(status)
                if status.state == "ready":
                    return
            if child.returncode is not None:
                raise CannotStart(_why(child, self._files.said_last()))
            if time.monotonic() > deadline:
                step = status.step if status else "starting"
                raise CannotStart(f"The stack was not ready in time; it was still {step}.")
            time.sleep(_POLL_S)

    def _wait(
        self, found: Callable[[StackStatus], T | None], otherwise: str, timeout_s: float
    ) -> T:
        deadline = time.monotonic() + timeout_s
        while (result := found(self.status)) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(otherwise)
            time.sleep(_POLL_S)
        return result


def _why(child: Child, status: StackStatus | None) -> str:
    if status is not None and status.problem:
        return status.problem
    return f"The supervisor ended (exit {child.returncode}):\n{last_lines(child.log)}"


def _told(config: StackConfig) -> dict[str, str]:
    """The configuration as environment variables."""
    said = config.model_dump(mode="json", exclude_none=True)
    return {
        f"CNOP_{name}".upper(): value if isinstance(value, str) else json.dumps(value)
        for name, value in said.items()
    }
