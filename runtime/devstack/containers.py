"""Kafka and DynamoDB Local as containers, where a Docker engine answers."""

import asyncio
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Final, Self, cast

import docker
from docker.errors import DockerException
from testcontainers.core.container import DockerContainer

from runtime.devstack.broker_security import (
    CLIENTS,
    CONTROLLER,
    INTERNAL,
    as_environment,
    broker_security,
)
from runtime.devstack.errors import CannotStart
from runtime.devstack.ports import LOOPBACK, free_port
from runtime.devstack.servers import (
    BROKER_HEARTBEAT_MS,
    BROKER_SESSION_MS,
    admit,
    as_broker,
    dynamodb_answers,
    kafka_answers,
    wait_until,
)
from runtime.security.kafka_passwords import BROKER, ensure_passwords
from runtime.settings import Settings

_KAFKA_IMAGE: Final = "apache/kafka:4.1.1"
_DYNAMODB_IMAGE: Final = "amazon/dynamodb-local:3.1.0"
_KAFKA_PORT: Final = 9092
_INTERNAL_PORT: Final = 9094
_CREDENTIALS: Final = "/credentials"
_DYNAMODB_PORT: Final = 8000
_DATA: Final = "/data"
_SOCKET: Final = Path("/var/run/docker.sock")


def docker_answers() -> bool:
    """Whether a Docker engine is there."""
    if "DOCKER_HOST" not in os.environ and not _SOCKET.exists():
        return False  # docker would leave the socket open that it tried in vain
    try:
        client = docker.from_env(timeout=3)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except (DockerException, OSError):
        return False
    finally:
        client.close()


def kafka_environment(port: int, internal_port: int | None = None) -> dict[str, str]:
    """The broker's settings as the Apache image reads them; `port` is where clients connect.

    With an `internal_port`, where its keeper connects, everybody has to sign in.
    """
    listeners, advertised = f"PLAINTEXT://:{_KAFKA_PORT}", f"PLAINTEXT://{LOOPBACK}:{port}"
    security = {"KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"}
    if internal_port is not None:
        listeners = f"{CLIENTS}://:{_KAFKA_PORT},{INTERNAL}://:{_INTERNAL_PORT}"
        at = (f"{CLIENTS}://{LOOPBACK}:{port}", f"{INTERNAL}://{LOOPBACK}:{internal_port}")
        advertised = ",".join(at)
        properties = broker_security(_CREDENTIALS).items()
        security = {as_environment(name): value for name, value in properties}
    return security | {
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_NODE_ID": "1",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_LISTENERS": f"{listeners},{CONTROLLER}://:9093",
        "KAFKA_ADVERTISED_LISTENERS": advertised,
        "KAFKA_CONTROLLER_LISTENER_NAMES": CONTROLLER,
        "KAFKA_LOG_DIRS": _DATA,
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS": "4",
        "KAFKA_OFFSETS_RETENTION_MINUTES": "525600",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS": "1000",
        "KAFKA_BROKER_SESSION_TIMEOUT_MS": str(BROKER_SESSION_MS),
        "KAFKA_BROKER_HEARTBEAT_INTERVAL_MS": str(BROKER_HEARTBEAT_MS),
        "KAFKA_HEAP_OPTS": "-Xmx512m",
    }


class ContainerServer(ABC):
    """A server in a container, published on one port of the loopback."""

    name: str

    def __init__(self, container: DockerContainer, port: int) -> None:
        self.port: Final = port
        self._container: Final = container

    @property
    def pid(self) -> int | None:
        """None: its process belongs to the engine."""
        return None

    @property
    def running(self) -> bool:
        """Whether the engine says that it runs."""
        try:
            container = self._container.get_wrapped_container()
            container.reload()
        except DockerException:
            return False
        return container.status == "running"

    def start(self) -> Self:
        """Start and wait until it serves.

        Raises:
            CannotStart: the engine refuses, or it was not ready in time.
        """
        self.launch()
        asyncio.run(self.wait_ready())
        return self

    def launch(self) -> None:
        """Start the container without waiting for its server.

        Raises:
            CannotStart: the engine refuses.
        """
        try:
            self._container.start()
        except DockerException as error:
            raise CannotStart(f"Docker could not start {self.name}: {error}") from error

    async def wait_ready(self) -> None:
        """Wait until it serves.

        Raises:
            CannotStart: it took too long.
        """
        await wait_until(self.name, self.answers)

    def stop(self) -> None:
        """Stop and remove the container; its data stay."""
        self._container.stop()

    @abstractmethod
    async def answers(self) -> bool:
        """Whether it serves now."""


class KafkaContainer(ContainerServer):
    """A broker that keeps its log in `directory` of this machine.

    With a directory of `credentials` everybody has to sign in with the passwords that are there.
    """

    name = "kafka"

    def __init__(
        self, directory: Path, *, port: int | None = None, credentials: Path | None = None
    ) -> None:
        port = port or free_port()
        internal = free_port() if credentials else None
        ports = {_KAFKA_PORT: port} | ({_INTERNAL_PORT: internal} if internal else {})
        container = _container(_KAFKA_IMAGE, directory, ports)
        if credentials:
            own = ensure_passwords(credentials).absolute() / BROKER
            container.with_volume_mapping(str(own), _CREDENTIALS, "ro")
        for name, value in kafka_environment(port, internal).items():
            container.with_env(name, value)
        super().__init__(container, port)
        self._credentials: Final = credentials
        self._internal_port: Final = internal

    @property
    def bootstrap(self) -> str:
        """Where clients connect."""
        return f"{LOOPBACK}:{self.port}"

    async def wait_ready(self) -> None:
        """Wait until it serves, and everybody can sign in whose password is there.

        Raises:
            CannotStart: it took too long.
        """
        await super().wait_ready()
        if self._credentials:
            await admit(self._own_settings, self._credentials)

    async def answers(self) -> bool:
        """Whether it makes topics and finds group coordinators now."""
        return await kafka_answers(self._own_settings)

    @property
    def _own_settings(self) -> Settings:
        """How the broker's keeper reaches it."""
        if self._credentials is None:
            return Settings(kafka_bootstrap=self.bootstrap)
        return as_broker(f"{LOOPBACK}:{self._internal_port}", self._credentials)


class DynamoContainer(ContainerServer):
    """A DynamoDB Local; its tables in `directory` of this machine, or in memory for None."""

    name = "dynamodb"

    def __init__(self, directory: Path | None, *, port: int | None = None) -> None:
        port = port or free_port()
        storage = "-inMemory" if directory is None else f"-dbPath {_DATA}"
        container = _container(_DYNAMODB_IMAGE, directory, {_DYNAMODB_PORT: port})
        container.with_command(f"-jar DynamoDBLocal.jar -sharedDb {storage}")
        super().__init__(container, port)

    @property
    def endpoint(self) -> str:
        """Where clients connect."""
        return f"http://{LOOPBACK}:{self.port}"

    async def answers(self) -> bool:
        """Whether it answers HTTP now."""
        return await dynamodb_answers(self.endpoint)


def _container(image: str, directory: Path | None, ports: dict[int, int]) -> DockerContainer:
    container = DockerContainer(image).with_kwargs(user=f"{os.getuid()}:{os.getgid()}")
    published = cast("dict[str, Any]", container.ports)  # docker-py takes (address, port) as well
    published |= {f"{inside}/tcp": (LOOPBACK, at) for inside, at in ports.items()}
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        container.with_volume_mapping(str(directory.absolute()), _DATA, "rw")
    return container
