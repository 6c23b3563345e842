"""What a running stack tells about itself, in files below the state directory."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Literal

import msgspec

from runtime.devstack.errors import CannotStart

State = Literal["starting", "running", "waiting", "ready", "stopping", "failed", "stopped"]


class ProcessStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process: `since` is when its state began, in seconds since 1970; ports 0 mean none."""

    name: str
    state: State
    pid: int | None = None
    restarts: int = 0
    since: float = 0.0
    port: int = 0
    metrics_port: int = 0
    last_exit: int | None = None


class StackStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The whole stack; `step` says what it is doing, `problem` why it could not start."""

    state: State
    step: str = ""
    problem: str | None = None
    kafka_bootstrap: str = ""
    kafka_credentials: str = ""
    """The directory of the passwords for it; empty when nobody signs in there."""
    dynamodb_endpoint: str = ""
    urls: tuple[str, ...] = ()
    processes: tuple[ProcessStatus, ...] = ()

    def process(self, name: str) -> ProcessStatus:
        """The process of this name.

        Raises:
            KeyError: there is none.
        """
        return {each.name: each for each in self.processes}[name]


class StateFiles:
    """Where a stack keeps its things below one state directory."""

    def __init__(self, directory: Path) -> None:
        self.directory: Final = directory.absolute()
        self.logs: Final = self.directory / "logs"
        self.run: Final = self.directory / "run"
        self.kafka: Final = self.directory / "kafka"
        self.dynamodb: Final = self.directory / "dynamodb"
        self.secrets: Final = self.directory / "secrets"

    def ready(self, process: str) -> Path:
        """The file that a process makes when it is ready."""
        return self.run / f"{process}.ready"

    def log(self, process: str) -> Path:
        """Where the process's output goes."""
        return self.logs / f"{process}.log"

    def write(self, status: StackStatus) -> None:
        """Replace the status file in one step."""
        draft = self.run / "status.json.new"
        draft.write_bytes(msgspec.json.encode(status))
        draft.replace(self._status)

    def read(self) -> StackStatus | None:
        """What the running stack last said; None when none runs here."""
        if self.supervisor() is None:
            return None
        with suppress(FileNotFoundError, msgspec.DecodeError):
            return msgspec.json.decode(self._status.read_bytes(), type=StackStatus)
        return None

    def said_last(self) -> StackStatus | None:
        """What the last stack said, whether it runs or not."""
        with suppress(FileNotFoundError, msgspec.DecodeError):
            return msgspec.json.decode(self._status.read_bytes(), type=StackStatus)
        return None

    def forget(self) -> None:
        """Remove what the last stack said."""
        self._status.unlink(missing_ok=True)

    def supervisor(self) -> int | None:
        """The process that holds this directory's lock; None when none does."""
        with suppress(FileNotFoundError, ValueError), self._lock.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return int(lock.read())
        return None

    @contextmanager
    def held(self) -> Generator[None]:
        """Hold the directory as its one supervisor.

        Raises:
            CannotStart: another one runs here.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        with self._lock.open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise CannotStart(
                    f"A stack runs in {self.directory} already; `make down` stops it."
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            self.forget()
            yield

    @property
    def _lock(self) -> Path:
        return self.run / "supervisor.lock"

    @property
    def _status(self) -> Path:
        return self.run / "status.json"
