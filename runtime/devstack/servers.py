"""Kafka (KRaft, one node) and DynamoDB Local as local JVM processes."""

import asyncio
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from runtime.devstack.broker_security import CLIENTS, CONTROLLER, INTERNAL, broker_security
from runtime.devstack.children import Child, last_lines
from runtime.devstack.errors import CannotStart
from runtime.devstack.jars import ensure_jars, java
from runtime.devstack.ports import LOOPBACK, free_port, require_free
from runtime.devstack.probe import status_of
from runtime.devstack.processes import FOLLOWER_NICENESS
from runtime.kafka_access import set_passwords
from runtime.kafka_options import kafka_options
from runtime.security.kafka_passwords import (
    BROKER,
    SIGNED_IN,
    ensure_passwords,
    password_file,
    read_password,
)
from runtime.settings import Settings

_READY_S_MAX: Final = 90.0
_SHORT_LIVED: Final = ("-XX:TieredStopAtLevel=1",)
"""Servers that live for minutes at low rates would spend more on optimizing than they save."""
_FORMAT_S_MAX: Final = 60.0
_POLL_S: Final = 0.1
_CLUSTER_ID: Final = "Y25vcC1sb2NhbC1zdGFjaw"
BROKER_SESSION_MS: Final = 2_000
"""How long a killed broker counts as alive: so long its successor is refused (9 s by default)."""
BROKER_HEARTBEAT_MS: Final = 500
_KAFKA_PROPERTIES: Final = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
controller.listener.names=CONTROLLER
log.dirs={directory}/data
auto.create.topics.enable=false
unclean.leader.election.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
offsets.retention.minutes=525600
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=2
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms={session_ms}
broker.heartbeat.interval.ms={heartbeat_ms}
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=16777216
log.index.size.max.bytes=1048576
log.segment.delete.delay.ms=1000
num.network.threads=1
num.io.threads=2
"""

Answers = Callable[[], Awaitable[bool]]


class JvmServer(ABC):
    """A server in a JVM of its own, on one port of the loopback."""

    name: str
    _niceness = 0

    def __init__(self, *, jars: Path, log: Path, port: int | None, short_lived: bool) -> None:
        self.port: Final = port or free_port()
        self.log: Final = log
        self._jars: Final = jars
        self._short_lived: Final = short_lived
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """Its process, when it was started."""
        return self._child.pid if self._child else None

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._child is not None and self._child.returncode is None

    def start(self) -> Self:
        """Start and wait until it serves.

        Raises:
            CannotStart: it did not get ready; whatever was started is stopped again.
        """
        self.launch()
        try:
            asyncio.run(self.wait_ready())
        except BaseException:
            self.stop()
            raise
        return self

    def launch(self) -> None:
        """Start the process without waiting for it.

        Raises:
            CannotStart: no Java, no jars, or the port is taken.
        """
        variable = self.name.upper()
        remedy = f"stop that one, choose another port by CNOP_{variable}_PORT, or use that one"
        require_free(self.port, purpose=self.name, remedy=f"{remedy} by {self._existing_by}")
        self._child = Child(self._command(), log=self.log, niceness=self._niceness)

    async def wait_ready(self) -> None:
        """Wait until it serves.

        Raises:
            CannotStart: it ended, or took too long.
        """
        await wait_until(self.name, self.answers, self._child)

    def signal(self, number: int) -> None:
        """Send a signal to its process."""
        if self._child is not None:
            self._child.signal(number)

    def stop(self, grace_s: float = 20.0) -> None:
        """Stop it cleanly, or at least surely; its data stay."""
        if self._child is not None:
            self._child.stop(grace_s)

    @abstractmethod
    async def answers(self) -> bool:
        """Whether it serves now."""

    def _java(self) -> list[str]:
        jit = _SHORT_LIVED if self._short_lived else ()
        return [java(), "-XX:+UseSerialGC", *jit]

    @abstractmethod
    def _command(self) -> list[str]: ...

    @property
    @abstractmethod
    def _existing_by(self) -> str: ...


class KafkaServer(JvmServer):
    """A broker that keeps its log in `directory`.

    It tells clients to connect to `advertised_port` when that is not its own: a proxy's. With a
    directory of `credentials` everybody has to sign in with the passwords that are there.
    """

    name = "kafka"

    def __init__(  # noqa: PLR0913  # where it lives, and where clients find it
        self,
        directory: Path,
        *,
        jars: Path,
        log: Path,
        port: int | None = None,
        advertised_port: int | None = None,
        short_lived: bool = False,
        credentials: Path | None = None,
    ) -> None:
        super().__init__(jars=jars, log=log, port=port, short_lived=short_lived)
        self.directory: Final = directory.absolute()
        self.advertised_port: Final = advertised_port or self.port
        self.credentials: Final = credentials.absolute() if credentials else None
        self._internal_port = 0

    @property
    def bootstrap(self) -> str:
        """Where clients connect."""
        return f"{LOOPBACK}:{self.port}"

    async def wait_ready(self) -> None:
        """Wait until it serves, and everybody can sign in whose password is there.

        Raises:
            CannotStart: it ended, or took too long.
        """
        await super().wait_ready()
        if self.credentials:
            await admit(self._own_settings, self.credentials)

    async def answers(self) -> bool:
        """Whether it makes topics and finds group coordinators now."""
        return await kafka_answers(self._own_settings)

    @property
    def _own_settings(self) -> Settings:
        """How the broker's keeper reaches it."""
        if self.credentials is None:
            return Settings(kafka_bootstrap=self.bootstrap)
        return as_broker(f"{LOOPBACK}:{self._internal_port}", self.credentials)

    @property
    def _existing_by(self) -> str:
        return "CNOP_KAFKA_BOOTSTRAP"

    def _command(self) -> list[str]:
        self.directory.mkdir(parents=True, exist_ok=True)
        properties = self.directory / "server.properties"
        if self.credentials:
            ensure_passwords(self.credentials)
        properties.write_text(self._properties())
        if not (self.directory / "data" / "meta.properties").exists():
            self._format(properties)
        return self._kafka("kafka.Kafka", str(properties))

    def _properties(self) -> str:
        controller_port, self._internal_port = free_port(), free_port()
        own = _KAFKA_PROPERTIES.format(
            host=LOOPBACK,
            controller_port=controller_port,
            directory=self.directory,
            session_ms=BROKER_SESSION_MS,
            heartbeat_ms=BROKER_HEARTBEAT_MS,
        )
        secured = self.credentials is not None
        listeners = [(CLIENTS if secured else "PLAINTEXT", self.port, self.advertised_port)]
        if secured:
            listeners.append((INTERNAL, self._internal_port, self._internal_port))
        at = [f"{name}://{LOOPBACK}:{port}" for name, port, _ in listeners]
        more = {
            "listeners": ",".join((*at, f"{CONTROLLER}://{LOOPBACK}:{controller_port}")),
            "advertised.listeners": ",".join(
                f"{name}://{LOOPBACK}:{advertised}" for name, _, advertised in listeners
            ),
        }
        if self.credentials:
            more |= broker_security(self.credentials / BROKER)
        return own + "".join(f"{name}={value}\n" for name, value in more.items())

    def _format(self, properties: Path) -> None:
        options = ["format", "--ignore-formatted", "-t", _CLUSTER_ID, "-c", str(properties)]
        formatting = Child(self._kafka("kafka.tools.StorageTool", *options), log=self.log)
        try:
            ended = formatting.wait(_FORMAT_S_MAX)
        finally:
            formatting.stop()
        if ended != 0:
            raise CannotStart(
                f"Kafka could not prepare its storage, see {self.log}:\n{last_lines(self.log)}"
            )

    def _kafka(self, main: str, *arguments: str) -> list[str]:
        jars = ensure_jars(self.name, self._jars).absolute()
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [*self._java(), "-Xmx512m", quiet, "-cp", f"{jars}/*", main, *arguments]


class DynamoServer(JvmServer):
    """A DynamoDB Local that keeps its tables in `directory`, or in memory when that is None."""

    name = "dynamodb"
    _niceness = FOLLOWER_NICENESS

    def __init__(
        self,
        directory: Path | None,
        *,
        jars: Path,
        log: Path,
        port: int | None = None,
        short_lived: bool = False,
    ) -> None:
        super().__init__(jars=jars, log=log, port=port, short_lived=short_lived)
        self.directory: Final = directory.absolute() if directory else None

    @property
    def endpoint(self) -> str:
        """Where clients connect."""
        return f"http://{LOOPBACK}:{self.port}"

    async def answers(self) -> bool:
        """Whether it answers HTTP now."""
        return await dynamodb_answers(self.endpoint)

    @property
    def _existing_by(self) -> str:
        return "CNOP_DYNAMODB_ENDPOINT"

    def _command(self) -> list[str]:
        jars = ensure_jars(self.name, self._jars).absolute()
        libraries = [f"-Djava.library.path={jars}", "-cp", f"{jars}/*"]
        main = "software.amazon.dynamodb.services.local.main.ServerRunner"
        options = ["-sharedDb", "-port", str(self.port), "-disableTelemetry"]
        return [*self._java(), "-Xmx256m", *libraries, main, *options, *self._storage()]

    def _storage(self) -> list[str]:
        if self.directory is None:
            return ["-inMemory"]
        self.directory.mkdir(parents=True, exist_ok=True)
        return ["-dbPath", str(self.directory)]


def as_broker(address: str, credentials: Path) -> Settings:
    """Settings with which a broker's keeper reaches it where it talks to itself."""
    return Settings(
        kafka_bootstrap=address,
        kafka_username=BROKER,
        kafka_password_file=password_file(credentials, BROKER),
        kafka_mechanism="PLAIN",
    )


async def admit(settings: Settings, credentials: Path) -> None:
    """Let everybody sign in with the password that is in the directory.

    Raises:
        CannotStart: the broker refuses.
    """
    try:
        await set_passwords(
            settings, {each: read_password(credentials, each) for each in SIGNED_IN}
        )
    except KafkaError as error:
        raise CannotStart(f"Kafka did not take its users' passwords: {error!r}") from error


async def kafka_answers(settings: Settings) -> bool:
    """Whether a broker is there that serves admin requests and finds group coordinators."""
    if not await asyncio.to_thread(_listens, settings.kafka_bootstrap):
        return False
    admin = AIOKafkaAdminClient(**kafka_options(settings), request_timeout_ms=5_000)
    try:
        await admin.start()
        await admin.find_coordinator("cnop-ready")
    except KafkaError:
        return False
    finally:
        await admin.close()
    return True


async def dynamodb_answers(endpoint: str) -> bool:
    """Whether a DynamoDB endpoint answers HTTP; an unsigned request gets a 400 from it."""
    return await asyncio.to_thread(status_of, endpoint) is not None


def _listens(bootstrap: str) -> bool:
    host, _, port = bootstrap.split(",", maxsplit=1)[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
    except OSError:
        return False
    return True


async def wait_until(name: str, answers: Answers, child: Child | None = None) -> None:
    """Wait until the server answers.

    Raises:
        CannotStart: its process ended, or it took too long.
    """
    deadline = time.monotonic() + _READY_S_MAX
    while not await answers():
        if child is not None and child.returncode is not None:
            raise CannotStart(
                f"{name} ended while starting (exit {child.returncode}), see {child.log}:\n"
                f"{last_lines(child.log)}"
            )
        if time.monotonic() > deadline:
            raise CannotStart(f"{name} was not ready in {_READY_S_MAX:.0f} s.")
        await asyncio.sleep(_POLL_S)
