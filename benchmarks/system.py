"""The whole system, and processes that serve beside it, for as long as something is measured."""

import multiprocessing
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from time import monotonic, sleep
from typing import Final, NamedTuple

import psutil

from runtime.devstack.background import Stack
from runtime.devstack.config import StackConfig
from runtime.devstack.ports import free_port
from runtime.settings import Settings

SERVERS: Final = "broker and store"
_LISTENING_S_MAX: Final = 60.0


class System(NamedTuple):
    """A running system with one gateway."""

    stack: Stack
    settings: Settings
    port: int

    def cpu_s(self) -> Mapping[str, float]:
        """CPU that each of its processes has used so far, and servers that run for this alone."""
        used: dict[str, float] = {}
        for name, pid in self.stack.pids.items():
            with suppress(psutil.NoSuchProcess):
                used[name] = _cpu_s(psutil.Process(pid))
        servers = [each for each in psutil.Process().children() if _is_java(each)]
        return used | {SERVERS: sum(map(_cpu_s, servers))}

    def memory_mib(self, name: str) -> float:
        """What a process holds, and those below it."""
        process = psutil.Process(self.stack.pid(name))
        held = [each.memory_info().rss for each in (process, *process.children(recursive=True))]
        return sum(held) / 2**20


@contextmanager
def running(settings: Settings) -> Iterator[System]:
    """Start the whole system on the servers of the settings, in their namespace.

    Raises:
        CannotStart: see runtime.devstack.
    """
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="cnop-bench-") as place:
        config = StackConfig(
            state_dir=Path(place),
            kafka_bootstrap=settings.kafka_bootstrap,
            kafka_credentials_dir=_credentials(settings),
            dynamodb_endpoint=settings.dynamodb_endpoint,
            gateway_ports=(port,),
            metrics_base=0,
        )
        variables = {
            "CNOP_NAMESPACE": settings.namespace,
            "CNOP_JARS_DIR": str(settings.jars.absolute()),
            "CNOP_PROFILE": "test",
            "CNOP_TRUSTED_PROXIES": "127.0.0.1",
            "CNOP_LOG_LEVEL": "WARNING",
        }
        stack = Stack.start(config, variables=variables, leashed=True)
        try:
            yield System(stack, stack.settings, port)
        finally:
            stack.stop()


def _credentials(settings: Settings) -> Path | None:
    """The directory beside the password with which this process signs in."""
    own = settings.kafka_password_file
    return own and own.parent.parent


@contextmanager
def serving(serve: Callable[..., None], *args: object, port: int | None = None) -> Iterator[None]:
    """Let a process serve; it is ready when it listens to the port, where there is one."""
    process = multiprocessing.get_context("spawn").Process(target=serve, args=args, daemon=True)
    process.start()
    try:
        if port is not None:
            _wait_listening(process, port)
        yield
    finally:
        process.terminate()
        process.join()


def _wait_listening(process: BaseProcess, port: int) -> None:
    ends = monotonic() + _LISTENING_S_MAX
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if monotonic() > ends or not process.is_alive():
                raise
            sleep(0.05)
        else:
            return


def _cpu_s(process: psutil.Process) -> float:
    """Of the process and of those below it: the supervisor starts each on a leash."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def _is_java(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        return process.name() == "java"
    return False
