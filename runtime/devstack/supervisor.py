"""Starts everything in order, restarts what dies, and stops everything it started."""

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Callable, Generator
from http import HTTPStatus
from pathlib import Path
from types import FrameType
from typing import Final

from runtime import admin
from runtime.devstack.children import Child
from runtime.devstack.config import StackConfig, environment, settings_in
from runtime.devstack.errors import CannotStart
from runtime.devstack.jars import have_jars
from runtime.devstack.local import LocalServers, Server, for_use
from runtime.devstack.ports import require_free
from runtime.devstack.probe import status_of
from runtime.devstack.processes import Planned
from runtime.devstack.state import ProcessStatus, StackStatus, State
from runtime.security.files import ensure_secrets
from runtime.security.kafka_passwords import credentials_of, kafka_passwords
from runtime.settings import Settings
from schemas.acls import ADMIN

Show = Callable[[StackStatus], None]

_DISK_BYTES_MIN: Final = 1 << 30
_TICK_S: Final = 0.2
_PROBE_EVERY_S: Final = 0.5
_BACKOFF_S: Final = 0.5
_BACKOFF_S_MAX: Final = 10.0
_STEADY_S: Final = 30.0
_STOP_S_MAX: Final = 10.0


class Supervised:
    """One process under supervision: started again with growing pauses when it ends."""

    def __init__(self, plan: Planned, start: Callable[[Planned], Child], ready: Path) -> None:
        self.plan: Final = plan
        self._start: Final = start
        self._ready: Final = ready
        self._child: Child | None = None
        self._restarts = 0
        self._since = time.time()
        self._due = time.monotonic()
        self._backoff_s = _BACKOFF_S
        self._last_exit: int | None = None
        self._state: State = "waiting"

    @property
    def status(self) -> ProcessStatus:
        """How it is now."""
        return ProcessStatus(
            name=self.plan.name,
            state=self._state,
            pid=self._child.pid if self._child else None,
            restarts=self._restarts,
            since=self._since,
            port=self.plan.port,
            metrics_port=self.plan.metrics_port,
            last_exit=self._last_exit,
        )

    def tick(self) -> None:
        """Look after it: note that it is ready, or that it ended, or start it when that is due."""
        if self._child is None:
            if time.monotonic() >= self._due:
                self._launch()
        elif (ended := self._child.returncode) is not None:
            self._ended(ended)
        elif self._state == "starting" and self._ready.exists():
            self._turn("ready")

    def signal(self, number: int) -> None:
        """Send a signal to it, if it runs; it is not started again by that."""
        if self._child is not None:
            self._child.signal(number)

    def wait(self, deadline: float) -> bool:
        """Wait for its end until the deadline (monotonic seconds); whether it came."""
        if self._child is None:
            return True
        return self._child.wait(max(0.0, deadline - time.monotonic())) is not None

    def _launch(self) -> None:
        self._ready.unlink(missing_ok=True)
        self._child = self._start(self.plan)
        self._turn("starting")

    def _ended(self, code: int) -> None:
        self._child = None
        self._last_exit = code
        self._restarts += 1
        steady = time.time() - self._since > _STEADY_S
        self._backoff_s = _BACKOFF_S if steady else min(self._backoff_s * 2, _BACKOFF_S_MAX)
        self._due = time.monotonic() + self._backoff_s
        self._turn("waiting")

    def _turn(self, state: State) -> None:
        self._state = state
        self._since = time.time()


class _SupervisedServer:
    """A local server that is launched now, and again when it is gone."""

    def __init__(self, server: Server) -> None:
        self.server: Final = server
        self._restarts = 0
        self._since = time.time()
        self._due = 0.0
        self._state: State = "starting"
        server.launch()

    @property
    def status(self) -> ProcessStatus:
        """How it is now."""
        return ProcessStatus(
            name=self.server.name,
            state=self._state,
            pid=self.server.pid,
            restarts=self._restarts,
            since=self._since,
            port=self.server.port,
        )

    def tick(self) -> None:
        """Launch it again if it ended, when that is refused try later; note when it answers."""
        if not self.server.running:
            self._turn("waiting")
            if time.monotonic() >= self._due:
                self._due = time.monotonic() + _BACKOFF_S_MAX
                self._launch()
        elif self._state != "ready" and asyncio.run(self.server.answers()):
            self._turn("ready")

    def _launch(self) -> None:
        with contextlib.suppress(CannotStart):
            self.server.launch()
            self._restarts += 1
            self._turn("starting")

    def _turn(self, state: State) -> None:
        if state != self._state:
            self._state = state
            self._since = time.time()


class Supervisor:
    """A stack from its first check to its end; `show` gets every new status."""

    def __init__(self, config: StackConfig, show: Show) -> None:
        self._config: Final = config
        self._files: Final = config.files
        self._show: Final = show
        self._servers: list[_SupervisedServer] = []
        self._processes: list[Supervised] = []
        self._status = StackStatus(state="starting", urls=config.urls)
        self._environment: dict[str, str] = {}
        self._credentials: Path | None = config.kafka_credentials_dir

    def run(self) -> None:
        """Run the stack until SIGINT or SIGTERM.

        Raises:
            CannotStart: something outside is missing or in the way; nothing is left running.
        """
        with self._files.held(), _interrupted():
            try:
                self._prepare()
                self._supervise()
            except KeyboardInterrupt:
                self._say("asking every process to end", state="stopping")
            except Exception as problem:
                self._say("asking every process to end", state="failed", problem=str(problem))
                raise
            finally:
                self._stop()

    def _prepare(self) -> None:
        self._say("checking disk and ports")
        self._check()
        self._start_servers()
        settings = settings_in(self._environment | credentials_of(self._credentials, ADMIN))
        self._say("creating keys, topics and tables")
        ensure_secrets(settings.secrets)
        asyncio.run(_create(settings))

    def _check(self) -> None:
        free = shutil.disk_usage(self._files.directory).free
        if free < _DISK_BYTES_MIN:
            raise CannotStart(
                f"The disk of {self._files.directory} has {free >> 20} MiB left; the stack needs "
                f"{_DISK_BYTES_MIN >> 20} MiB: free some, or choose another place by "
                "CNOP_STATE_DIR."
            )
        for port in dict.fromkeys(self._config.ports):
            remedy = "stop that one, or choose another port by CNOP_GATEWAY_PORT"
            require_free(port, purpose="gateway", remedy=remedy)
        for planned in self._config.processes():
            if planned.metrics_port:
                remedy = "stop that one, or move all of them by CNOP_METRICS_BASE"
                purpose = f"metrics of {planned.name}"
                require_free(planned.metrics_port, purpose=purpose, remedy=remedy)

    def _start_servers(self) -> None:
        config, files = self._config, self._files
        bootstrap, endpoint = config.kafka_bootstrap, config.dynamodb_endpoint
        if bootstrap is None or endpoint is None:
            settings = settings_in({"CNOP_STATE_DIR": str(files.directory)})
            make = for_use(settings.jars)
            self._announce_fetch(settings.jars)
            if endpoint is None:
                endpoint = self._launch_dynamodb(make)
            if bootstrap is None:
                self._credentials = kafka_passwords(settings)
                bootstrap = self._launch_kafka(make)
        self._say("waiting for Kafka and DynamoDB", bootstrap=bootstrap, endpoint=endpoint)
        asyncio.run(_wait_ready(self._servers))
        self._environment = environment(config, bootstrap=bootstrap, endpoint=endpoint)

    def _announce_fetch(self, jars: Path) -> None:
        if all(have_jars(name, jars) for name in ("kafka", "dynamodb")):
            self._say("starting Kafka and DynamoDB Local")
        else:
            self._say("fetching Kafka and DynamoDB Local from Maven Central (100 MB, once)")

    def _launch_dynamodb(self, make: LocalServers) -> str:
        log = self._files.log("dynamodb")
        server = make.dynamodb(self._files.dynamodb, log=log, port=self._config.dynamodb_port)
        self._servers.append(_SupervisedServer(server))
        return server.endpoint

    def _launch_kafka(self, make: LocalServers) -> str:
        log = self._files.log("kafka")
        server = make.kafka(
            self._files.kafka,
            log=log,
            port=self._config.kafka_port,
            credentials=self._credentials,
        )
        self._servers.append(_SupervisedServer(server))
        return server.bootstrap

    def _supervise(self) -> None:
        self._processes = [
            Supervised(each, self._start, self._files.ready(each.name))
            for each in self._config.processes()
        ]
        probe = _Probe(self._config.urls)
        while True:
            for server in self._servers:
                server.tick()
            for process in self._processes:
                process.tick()
            self._report(reachable=probe.reachable())
            time.sleep(_TICK_S)

    def _start(self, planned: Planned) -> Child:
        own = {
            "CNOP_INSTANCE": planned.name,
            "CNOP_METRICS_PORT": str(planned.metrics_port),
            "CNOP_READY_FILE": str(self._files.ready(planned.name)),
        }
        return Child(
            planned.command,
            log=self._files.log(planned.name),
            env=self._environment | credentials_of(self._credentials, planned.principal) | own,
            niceness=planned.niceness,
        )

    def _report(self, *, reachable: bool) -> None:
        statuses = [each.status for each in (*self._servers, *self._processes)]
        missing = [each.name for each in statuses if each.state != "ready"]
        if missing:
            self._say(f"waiting for {', '.join(missing)}")
        elif not reachable:
            self._say("waiting for the gateway to be ready")
        else:
            self._say("", state="ready")

    def _say(
        self,
        step: str,
        *,
        state: State = "starting",
        problem: str | None = None,
        bootstrap: str | None = None,
        endpoint: str | None = None,
    ) -> None:
        if state == "starting" and self._status.state in {"ready", "running"}:
            state = "running"  # it was ready once: something is being restarted
        new = StackStatus(
            state=state,
            step=step,
            problem=problem,
            kafka_bootstrap=bootstrap or self._status.kafka_bootstrap,
            kafka_credentials=str(self._credentials.absolute()) if self._credentials else "",
            dynamodb_endpoint=endpoint or self._status.dynamodb_endpoint,
            urls=self._config.urls,
            processes=tuple(each.status for each in (*self._servers, *self._processes)),
        )
        if new != self._status:
            self._status = new
            self._files.write(new)
        self._show(new)

    def _stop(self) -> None:
        """The way in first, then what works behind it, the servers last."""
        order = ("gateway", "feed", "clock")
        first = [each for each in self._processes if each.plan.name.startswith(order)]
        rest = [each for each in self._processes if each not in first]
        for group in (first, rest):
            _stop_all(group)
        for each in self._servers:
            each.server.stop()
        problem = self._status.problem
        self._servers, self._processes = [], []
        self._say("", state="failed" if problem else "stopped", problem=problem)


class _Probe:
    """Asks the gateways for their readiness, at most every half second."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        self._urls: Final = urls
        self._next = 0.0
        self._reachable = False

    def reachable(self) -> bool:
        """Whether all gateways said lately that they are ready."""
        if time.monotonic() >= self._next:
            self._reachable = all(
                status_of(f"{each}/health/ready") == HTTPStatus.OK for each in self._urls
            )
            self._next = time.monotonic() + _PROBE_EVERY_S * (4 if self._reachable else 1)
        return self._reachable


async def _create(settings: Settings) -> None:
    await asyncio.gather(admin.create_topics(settings), admin.create_all_tables(settings))


async def _wait_ready(servers: list[_SupervisedServer]) -> None:
    await asyncio.gather(*(each.server.wait_ready() for each in servers))


def _stop_all(processes: list[Supervised]) -> None:
    for each in processes:
        each.signal(signal.SIGTERM)
    deadline = time.monotonic() + _STOP_S_MAX
    late = [each for each in processes if not each.wait(deadline)]
    for each in late:
        each.signal(signal.SIGKILL)
    for each in late:
        each.wait(time.monotonic() + _STOP_S_MAX)


@contextlib.contextmanager
def _interrupted() -> Generator[None]:
    """Let SIGTERM do what Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
