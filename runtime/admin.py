"""Creates what the system needs before it starts: topics and tables."""

import asyncio
import importlib
import pkgutil
import time
from collections.abc import Sequence
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from runtime import dynamodb
from runtime.devstack.errors import CannotStart
from runtime.errors import Unavailable
from runtime.kafka_access import apply_grants, withdraw_grants
from runtime.kafka_options import kafka_options
from runtime.projection import TableSpec
from runtime.security.vault import VAULT
from runtime.settings import Settings
from schemas.topics import TOPICS, Topic

_BY_CONTEXT: Final = (".commands", ".journal", ".snapshots")
_READ_MODELS: Final = "read_models"
_READY_S_MAX: Final = 60.0
_POLL_S: Final = 0.05


def partitions_of(topic: Topic, settings: Settings) -> int:
    """How many partitions the topic gets; `settings.partitions` is for inboxes and journals."""
    if settings.partitions and topic.name.removesuffix(".dlq").endswith(_BY_CONTEXT):
        return settings.partitions
    return topic.partitions


async def create_topics(settings: Settings, topics: Sequence[Topic] = TOPICS) -> tuple[str, ...]:
    """Create the registry's topics that are missing, and wait until all can be written.

    Who has signed in grants each principal what it may do there too, no more and no less.

    Returns the names of those it made.

    Raises:
        Unavailable: the broker does not answer or did not elect leaders in time.
        CannotStart: one exists with another number of partitions.
    """
    wanted = {settings.topic(each.name): partitions_of(each, settings) for each in topics}
    admin = AIOKafkaAdminClient(**kafka_options(settings))
    try:
        await admin.start()
        made = await _create(admin, settings, topics)
        if settings.kafka_username:
            await apply_grants(admin, settings, topics)
        await _wait_for_leaders(admin, wanted)
        await _wait_for_offsets(settings, wanted)
    except KafkaError as error:
        raise Unavailable(f"Kafka at {settings.kafka_bootstrap}: {error!r}") from error
    finally:
        await admin.close()
    return made


async def delete_topics(settings: Settings, topics: Sequence[Topic] = TOPICS) -> None:
    """Delete the registry's topics of this namespace, and what was granted there."""
    admin = AIOKafkaAdminClient(**kafka_options(settings))
    try:
        await admin.start()
        await admin.delete_topics([settings.topic(each.name) for each in topics])
        if settings.kafka_username:
            await withdraw_grants(admin, settings, topics)
    finally:
        await admin.close()


def table_specs() -> tuple[TableSpec, ...]:
    """The tables of the vault and of every read model, found by name: `read_models.*.table`."""
    found = {VAULT.name: VAULT}
    package = importlib.import_module(_READ_MODELS)
    for each in pkgutil.iter_modules(package.__path__):
        if each.ispkg:
            module = importlib.import_module(f"{_READ_MODELS}.{each.name}.table")
            specs = (value for value in vars(module).values() if isinstance(value, TableSpec))
            found |= {spec.name: spec for spec in specs}
    return tuple(found.values())


async def create_all_tables(settings: Settings) -> None:
    """Create the tables that are missing; idempotent.

    Raises:
        Unavailable: DynamoDB does not answer.
    """
    async with dynamodb.open_dynamodb(settings) as client:
        await dynamodb.create_tables(client, settings, table_specs())


async def _create(
    admin: AIOKafkaAdminClient, settings: Settings, topics: Sequence[Topic]
) -> tuple[str, ...]:
    answer: Any = await admin.create_topics([_new(each, settings) for each in topics])
    made: list[str] = []
    for name, code, *_ in answer.topic_errors:
        error = for_code(code)
        if code == 0:
            made.append(name)
        elif error is not TopicAlreadyExistsError:
            raise error(name)
    return tuple(made)


def _new(topic: Topic, settings: Settings) -> NewTopic:
    return NewTopic(
        name=settings.topic(topic.name),
        num_partitions=partitions_of(topic, settings),
        replication_factor=-1,  # the broker's default
        replica_assignments={},
        topic_configs=topic.config(),
    )


async def _wait_for_leaders(admin: AIOKafkaAdminClient, wanted: dict[str, int]) -> None:
    deadline = time.monotonic() + _READY_S_MAX
    while missing := _leaderless(await admin.describe_topics(list(wanted)), wanted):
        if time.monotonic() > deadline:
            raise Unavailable(f"no leaders in {_READY_S_MAX:.0f} s for {', '.join(missing)}")
        await asyncio.sleep(_POLL_S)


def _leaderless(described: Sequence[dict[str, Any]], wanted: dict[str, int]) -> list[str]:
    ready: set[str] = set()
    for each in described:
        name, partitions = each["topic"], each["partitions"]
        if partitions and len(partitions) != wanted[name]:
            raise CannotStart(
                f"Topic {name} has {len(partitions)} partitions, {wanted[name]} are asked for; "
                "partitions of a journal cannot change: unset CNOP_PARTITIONS, or drop the data."
            )
        if partitions and all(
            part["leader"] >= 0 and not part["error_code"] for part in partitions
        ):
            ready.add(name)
    return sorted(wanted.keys() - ready)


async def _wait_for_offsets(settings: Settings, wanted: dict[str, int]) -> None:
    """Ask each leader for an end offset: metadata may name it before it knows that it leads."""
    consumer = AIOKafkaConsumer(*wanted, **kafka_options(settings))
    try:
        await consumer.start()
        places = [TopicPartition(name, part) for name in wanted for part in range(wanted[name])]
        await consumer.end_offsets(places)
    finally:
        await consumer.stop()
