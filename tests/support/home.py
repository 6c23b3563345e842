"""A system with a broker of its own behind a wire that can be cut, and faults that happen to it."""

import asyncio
import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

from crowd import Crowd
from wire import Cut, Wire

from runtime.devstack.background import Stack
from runtime.devstack.children import Child
from runtime.devstack.config import StackConfig
from runtime.devstack.ports import free_port
from runtime.devstack.processes import METRICS_PORTS
from runtime.devstack.servers import KafkaServer

_SNAPSHOT_EVERY: Final = "150"
"""Journal records of a partition: so few that every kind of fault meets rounds of snapshots."""
_LOG: Final = logging.getLogger(__name__)


class Home:
    """All processes reach the broker through the wire; faults are counted by kind and process."""

    def __init__(self, directory: Path, jars: Path) -> None:
        port = free_port()
        self.wire: Final = Wire(port)
        self._broker: Final = KafkaServer(
            directory / "broker",
            jars=jars,
            log=directory / "broker.log",
            port=port,
            advertised_port=self.wire.port,
            short_lived=True,
            credentials=directory / "kafka-credentials",
        )
        self._config: Final = StackConfig(
            state_dir=directory,
            kafka_bootstrap=self.wire.address,
            kafka_credentials_dir=directory / "kafka-credentials",
            dynamodb_endpoint=None,
            dynamodb_port=free_port(),
            gateway_ports=(free_port(), free_port()),
            metrics_base=free_port(consecutive=METRICS_PORTS),
        )
        self.faults: Final[Counter[tuple[str, str]]] = Counter()
        self.stack: Stack

    def start(self) -> Self:
        """Start the wire, the broker and the system."""
        self.wire.start()
        self._broker.start()
        self._start_stack()
        return self

    async def restart(self) -> float:
        """Stop everything gracefully and start it again on its data; how long starting took, s.

        It blocks this thread: what it starts dies with the one that started it.
        """
        assert self.stack.stop()
        self._broker.stop()
        since_s = time.monotonic()
        self._broker.launch()
        await self._broker.wait_ready()
        self._start_stack()
        return time.monotonic() - since_s

    def stop(self) -> None:
        """Stop everything."""
        self.stack.stop()
        self._broker.stop()
        self.wire.stop()

    def log(self, process: str) -> str:
        """What a process said."""
        return self._config.files.log(process).read_text()

    def another(self, worker: str) -> Child:
        """One more process of this kind, which the supervisor does not know."""
        command = [sys.executable, "-m", "runtime.cli", "worker", worker]
        log, own = self._config.files.log(f"{worker}-2"), self.stack.environment_of(worker)
        return Child(command, log=log, env=os.environ | own, leashed=True)

    def _start_stack(self) -> None:
        variables = {"CNOP_SNAPSHOT_EVERY_RECORDS": _SNAPSHOT_EVERY}
        self.stack = Stack.start(self._config, variables=variables, leashed=True)

    # --- faults ------------------------------------------------------------------------------

    async def kill(self, name: str, crowd: Crowd) -> None:
        """Kill -9, and wait until the process works again and traders get on."""
        async with self._noted("kill", name, crowd):
            old = self.stack.kill(name)
            await asyncio.to_thread(self.stack.wait_restarted, name, old, 90)

    async def kill_broker(self, crowd: Crowd) -> None:
        """Kill -9 the broker, start it again on its data, and wait until traders get on."""
        async with self._noted("broker kill", "kafka", crowd):
            self._broker.signal(signal.SIGKILL)
            self._broker.stop()
            self._broker.launch()
            await self._broker.wait_ready()

    async def pause(self, name: str, duration_s: float, crowd: Crowd) -> None:
        """Stop a process where it stands; it wakes as a zombie when others went on meanwhile."""
        async with self._noted("pause", name, crowd):
            pid = self.stack.signal(name, signal.SIGSTOP)
            await asyncio.sleep(duration_s)
            os.killpg(pid, signal.SIGCONT)

    async def pause_broker(self, duration_s: float, crowd: Crowd) -> None:
        """Stop the broker where it stands for a while."""
        async with self._noted("pause", "kafka", crowd):
            self._broker.signal(signal.SIGSTOP)
            await asyncio.sleep(duration_s)
            self._broker.signal(signal.SIGCONT)

    async def cut(self, name: str, how: Cut, duration_s: float, crowd: Crowd) -> None:
        """Cut a process off the broker for a while."""
        async with self._noted("cut", name, crowd, how.value):
            pid = self.stack.pid(name)
            assert await self.wire.cut(pid, how, duration_s), f"{name} was not connected"

    @asynccontextmanager
    async def _noted(
        self, kind: str, name: str, crowd: Crowd, detail: str = ""
    ) -> AsyncIterator[None]:
        since_s = time.monotonic()
        yield
        over_s = time.monotonic()
        await crowd.progress(5, limit_s=90)
        self.faults[kind, name] += 1
        _LOG.info(
            "%s %s %s: over after %.1f s, a trader waited %.1f s",
            *(kind, detail, name, over_s - since_s, crowd.longest_wait_s(since_s, over_s)),
        )
