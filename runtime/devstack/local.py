"""Which kind of local servers this machine can run: JVM processes or containers."""

from pathlib import Path
from typing import Protocol, Self

from runtime.devstack.containers import DynamoContainer, KafkaContainer, docker_answers
from runtime.devstack.jars import have_java, java
from runtime.devstack.servers import DynamoServer, KafkaServer


class Server(Protocol):
    """A server that can be started and stopped."""

    name: str

    @property
    def port(self) -> int:
        """The port on the loopback where it listens."""
        ...

    @property
    def pid(self) -> int | None:
        """Its process, when it is one of this machine."""
        ...

    @property
    def running(self) -> bool:
        """Whether it is there."""
        ...

    def launch(self) -> None:
        """Start it without waiting."""
        ...

    async def wait_ready(self) -> None:
        """Wait until it serves."""
        ...

    async def answers(self) -> bool:
        """Whether it serves now."""
        ...

    def start(self) -> Self:
        """Start it and wait until it serves."""
        ...

    def stop(self) -> None:
        """Stop it; its data stay."""
        ...


class LocalServers:
    """Makes local servers: containers when `containers`, else JVM processes from `jars`.

    Processes that live for minutes only (`short_lived`) are not worth optimizing.
    """

    def __init__(self, jars: Path, *, containers: bool, short_lived: bool) -> None:
        self._jars = jars
        self._containers = containers
        self._short_lived = short_lived

    def kafka(
        self,
        directory: Path,
        *,
        log: Path,
        port: int | None = None,
        credentials: Path | None = None,
    ) -> KafkaServer | KafkaContainer:
        """A broker that keeps its log in `directory`; with `credentials` all have to sign in."""
        if self._containers:
            return KafkaContainer(directory, port=port, credentials=credentials)
        return KafkaServer(
            directory,
            jars=self._jars,
            log=log,
            port=port,
            short_lived=self._short_lived,
            credentials=credentials,
        )

    def dynamodb(
        self, directory: Path | None, *, log: Path, port: int | None = None
    ) -> DynamoServer | DynamoContainer:
        """A DynamoDB that keeps its tables in `directory`, or in memory for None."""
        if self._containers:
            return DynamoContainer(directory, port=port)
        return DynamoServer(
            directory, jars=self._jars, log=log, port=port, short_lived=self._short_lived
        )


def for_use(jars: Path) -> LocalServers:
    """JVM processes when a JDK is there, else containers.

    Raises:
        CannotStart: neither a JDK nor a Docker engine is there.
    """
    containers = not have_java() and docker_answers()
    return _servers(jars, containers=containers, short_lived=False)


def for_tests(jars: Path) -> LocalServers:
    """Containers when a Docker engine answers, else JVM processes that live briefly.

    Raises:
        CannotStart: neither a JDK nor a Docker engine is there.
    """
    return _servers(jars, containers=docker_answers(), short_lived=True)


def _servers(jars: Path, *, containers: bool, short_lived: bool) -> LocalServers:
    if not containers:
        java()
    return LocalServers(jars, containers=containers, short_lived=short_lived)
