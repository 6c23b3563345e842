"""Servers, namespaces and running systems for the tests; shared by all folders."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from principals import Broker

from runtime import admin
from runtime.devstack.background import Stack
from runtime.devstack.config import StackConfig
from runtime.devstack.local import for_tests
from runtime.devstack.ports import free_port
from runtime.settings import Settings
from schemas.topics import TOPICS, Topic

REPOSITORY = Path(__file__).parents[1]
_SERIAL = itertools.count()
os.environ["CNOP_PROFILE"] = "test"  # no limits of rates and connections, in all processes

MakeTopics = Callable[..., Awaitable[Settings]]
StartStack = Callable[..., Stack]


@pytest.fixture(scope="session")
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


@pytest.fixture(scope="session")
def jars() -> Path:
    """Where the local servers' jars are kept between runs."""
    return Path(os.environ.get("CNOP_JARS_DIR", REPOSITORY / ".cnop" / "jars")).absolute()


@pytest.fixture(scope="session")
def broker(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """A broker: CNOP_KAFKA_BOOTSTRAP's, a container's, or a local process's.

    One of ours lets every process do only what `schemas.acls` says; another one does if
    CNOP_KAFKA_CREDENTIALS_DIR has its passwords.
    """
    if existing := os.environ.get("CNOP_KAFKA_BOOTSTRAP"):
        yield Broker(existing, StackConfig().kafka_credentials_dir)
        return
    place = tmp_path_factory.mktemp("kafka")
    credentials = place / "credentials"
    server = for_tests(jars).kafka(place, log=place / "kafka.log", credentials=credentials).start()
    yield Broker(server.bootstrap, credentials)
    server.stop()


@pytest.fixture(scope="session")
def dynamodb_endpoint(jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A DynamoDB: CNOP_DYNAMODB_ENDPOINT's, a container's, or a local process's in memory."""
    if existing := os.environ.get("CNOP_DYNAMODB_ENDPOINT"):
        yield existing
        return
    log = tmp_path_factory.mktemp("dynamodb") / "dynamodb.log"
    server = for_tests(jars).dynamodb(None, log=log).start()
    yield server.endpoint
    server.stop()


def _new_namespace() -> str:
    return f"t{os.getpid():x}{os.urandom(2).hex()}{next(_SERIAL):x}-"


@pytest.fixture
def namespace() -> str:
    """A prefix for topics, groups and tables that no other test has."""
    return _new_namespace()


@pytest.fixture
async def make_topics(broker: Broker, namespace: str) -> AsyncIterator[MakeTopics]:
    """Create topics in the test's namespace by one admin call; they go when the test ends.

    `settings = await make_topics()` makes the whole registry, `make_topics("accounts.commands",
    "accounts.journal", partitions=1)` only those; the settings point at them, as administrator.
    """
    made: list[tuple[Settings, Sequence[Topic]]] = []

    async def make(*names: str, **overrides: object) -> Settings:
        chosen = [each for each in TOPICS if not names or each.name in names]
        settings = broker.settings(namespace=namespace, **overrides)
        await admin.create_topics(settings, chosen)
        made.append((settings, chosen))
        return settings

    yield make
    for settings, chosen in made:
        async with asyncio.timeout(10):
            await admin.delete_topics(settings, chosen)


@pytest.fixture(scope="session")
def start_stack(
    broker: Broker,
    dynamodb_endpoint: str,
    jars: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StartStack]:
    """Start complete systems, each in a namespace of its own, with two gateways on two ports.

    Keywords are settings of its processes: `start_stack(partitions=1)`. They stop with the tests.
    """
    running: list[Stack] = []

    def start(**overrides: object) -> Stack:
        config = StackConfig(
            state_dir=tmp_path_factory.mktemp("stack"),
            kafka_bootstrap=broker.bootstrap,
            kafka_credentials_dir=broker.credentials,
            dynamodb_endpoint=dynamodb_endpoint,
            gateway_ports=(free_port(), free_port()),
            metrics_base=0,
        )
        variables = {f"CNOP_{name}".upper(): str(value) for name, value in overrides.items()}
        own = {"CNOP_NAMESPACE": _new_namespace(), "CNOP_JARS_DIR": str(jars)}
        running.append(Stack.start(config, variables=own | variables, leashed=True))
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture(scope="session")
def stack(start_stack: StartStack) -> Stack:
    """The one running system that tests share when they leave it as they found it."""
    return start_stack()
