"""A broker that checks: what `schemas.acls` grants succeeds, everything else is refused."""

# What aiokafka leaves untyped:
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.group import HeartbeatRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from principals import Broker, as_principal
from pydantic import SecretStr

from runtime.errors import Unavailable
from runtime.kafka_access import (
    Binding,
    _create,
    _ours,
    apply_grants,
    set_passwords,
    wanted_bindings,
)
from runtime.kafka_log import KafkaLog
from runtime.kafka_options import kafka_options
from runtime.security.kafka_passwords import BROKER, password_file
from runtime.settings import Settings
from schemas.acls import ADMIN, GROUPS, PRINCIPALS, grants
from schemas.topics import ACCOUNTS_COMMANDS, ACCOUNTS_JOURNAL, REGISTRY, TOPICS

MakeTopics = Callable[..., Any]

TOPIC_REFUSED = TopicAuthorizationFailedError.errno
GROUP_REFUSED = GroupAuthorizationFailedError.errno
GROUPS_OF_ALL = tuple(dict.fromkeys(group for each in GROUPS.values() for group, _ in each))
Allowed = Mapping[str, set[str]]


@pytest.fixture
def secured(broker: Broker) -> Broker:
    """The tests' broker, where it checks anything."""
    if broker.credentials is None:
        pytest.skip("the broker that CNOP_KAFKA_BOOTSTRAP names lets everybody do everything")
    return broker


@pytest.fixture
async def settings(secured: Broker, make_topics: MakeTopics) -> Settings:
    """An administrator's, with every topic of the registry."""
    assert secured.credentials
    return await make_topics(partitions=1)


@asynccontextmanager
async def client_of(settings: Settings, principal: str) -> AsyncIterator[Any]:
    client = AIOKafkaClient(**kafka_options(as_principal(settings, principal)))
    try:
        await client.bootstrap()
        yield client
    finally:
        await client.close()


async def asked(client: Any, request: Any) -> Any:
    return await client.send(client.get_random_node(), request)


def a_record() -> bytes:
    builder: Any = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1_024,
    )
    builder.append(0, 0, b"key", b"{}", [])
    return bytes(builder.build())


def granted(principal: str, kind: str, *operations: str) -> set[str]:
    return {
        each.name
        for each in grants()
        if (each.principal, each.kind) == (principal, kind) and each.operation in operations
    }


# --- topics -----------------------------------------------------------------------------------


def outcomes(names: Iterable[str], codes: Mapping[str, int], refusal: int) -> set[str]:
    """The names that were let through; nothing but that and the refusal may have come back."""
    assert set(codes.values()) <= {0, refusal}, codes
    return {each for each in names if codes[each] == 0}


async def writable(client: Any, settings: Settings) -> set[str]:
    """Try to write every topic; those that took a record."""
    topics = [(settings.topic(each.name), [(0, a_record())]) for each in TOPICS]
    answer = await asked(
        client,
        ProduceRequest(transactional_id=None, required_acks=-1, timeout=5_000, topics=topics),
    )
    codes = {topic: partitions[0][1] for topic, partitions in answer.topics}
    by_name = {each.name: codes[settings.topic(each.name)] for each in TOPICS}
    return outcomes(REGISTRY, by_name, TOPIC_REFUSED)


async def readable(client: Any, settings: Settings) -> set[str]:
    """Try to read every topic; those that gave their records."""
    topics = [(settings.topic(each.name), [(0, 0, 65_536)]) for each in TOPICS]
    answer = await asked(client, FetchRequest(0, 0, 1_048_576, 0, topics))
    codes = {topic: partitions[0][1] for topic, partitions in answer.topics}
    by_name = {each.name: codes[settings.topic(each.name)] for each in TOPICS}
    return outcomes(REGISTRY, by_name, TOPIC_REFUSED)


async def test_every_principal_writes_what_it_is_granted_and_is_refused_everything_else(
    settings: Settings,
) -> None:
    for principal in PRINCIPALS:
        async with client_of(settings, principal) as client:
            assert await writable(client, settings) == granted(principal, "topic", "write")
    async with client_of(settings, ADMIN) as client:
        assert await writable(client, settings) == set(REGISTRY)


async def test_every_principal_reads_what_it_is_granted_and_is_refused_everything_else(
    settings: Settings,
) -> None:
    for principal in PRINCIPALS:
        async with client_of(settings, principal) as client:
            assert await readable(client, settings) == granted(principal, "topic", "read")
    async with client_of(settings, ADMIN) as client:
        assert await readable(client, settings) == set(REGISTRY)


async def test_a_gateway_s_producer_writes_commands_and_cannot_forge_a_decision(
    settings: Settings,
) -> None:
    options = kafka_options(as_principal(settings, "gateway"))
    async with AIOKafkaProducer(**options, enable_idempotence=True) as producer:
        sent = await producer.send_and_wait(settings.topic(ACCOUNTS_COMMANDS), b"{}", partition=0)
        assert sent.offset == 0
        with pytest.raises(TopicAuthorizationFailedError):
            await producer.send_and_wait(settings.topic(ACCOUNTS_JOURNAL), b"{}", partition=0)
    async with AIOKafkaConsumer(**kafka_options(settings)) as consumer:
        journal = TopicPartition(settings.topic(ACCOUNTS_JOURNAL), 0)
        assert await consumer.end_offsets([journal]) == {journal: 0}


# --- groups and the rest ----------------------------------------------------------------------


async def test_every_principal_uses_its_own_groups_alone(settings: Settings) -> None:
    for principal in PRINCIPALS:
        async with client_of(settings, principal) as client:
            used: dict[str, int] = {}
            seen: dict[str, int] = {}
            for group in GROUPS_OF_ALL:
                name = settings.topic(group)
                beat = await asked(client, HeartbeatRequest(name, 1, "nobody"))
                used[group] = beat.error_code
                offsets = await asked(client, OffsetFetchRequest(name, None))
                seen[group] = offsets.error_code
        may_use = granted(principal, "group", "read")
        assert {each for each in used if used[each] != GROUP_REFUSED} == may_use
        may_see = may_use | granted(principal, "group", "describe")
        assert {each for each in seen if seen[each] != GROUP_REFUSED} == may_see


async def test_who_writes_something_may_do_so_idempotently_and_nobody_in_a_transaction(
    settings: Settings,
) -> None:
    refusals = {ClusterAuthorizationFailedError.errno}
    for principal in PRINCIPALS:
        async with client_of(settings, principal) as client:
            idempotent = await asked(client, InitProducerIdRequest(None, 5_000))
            in_transaction = await asked(client, InitProducerIdRequest("any", 5_000))
        writes = bool(granted(principal, "topic", "write"))
        assert idempotent.error_code in ({0} if writes else refusals), principal
        assert in_transaction.error_code == TransactionalIdAuthorizationFailed.errno


async def test_no_principal_makes_topics_grants_or_credentials(settings: Settings) -> None:
    topic = NewTopic(settings.topic("mine"), num_partitions=1, replication_factor=1)
    for principal in PRINCIPALS:
        own = as_principal(settings, principal)
        admin = AIOKafkaAdminClient(**kafka_options(own))
        try:
            await admin.start()
            (made,) = (await admin.create_topics([topic])).topic_errors
            assert made[1] == TOPIC_REFUSED
            (deleted, *_) = (
                await admin.delete_topics([settings.topic(ACCOUNTS_JOURNAL)])
            ).topic_error_codes
            assert deleted[1] == TOPIC_REFUSED
            with pytest.raises(ClusterAuthorizationFailedError):
                await apply_grants(admin, own)
        finally:
            await admin.close()
        with pytest.raises(ClusterAuthorizationFailedError):
            await set_passwords(own, {ADMIN: "mine now"})


async def test_what_was_granted_by_hand_beyond_the_table_is_taken_back(
    settings: Settings,
) -> None:
    journal = settings.topic(ACCOUNTS_JOURNAL)
    by_hand = {
        Binding(2, journal, 3, "User:gateway", "*", 4, 3),
        Binding(2, journal[:-3], 4, "User:feed", "*", 4, 3),
    }
    admin = AIOKafkaAdminClient(**kafka_options(settings))
    try:
        await admin.start()
        assert await apply_grants(admin, settings) == (0, 0)
        await _create(admin, by_hand)
        assert await _ours(admin, settings, TOPICS) == wanted_bindings(settings) | by_hand
        assert await apply_grants(admin, settings) == (0, 2)
        assert await _ours(admin, settings, TOPICS) == wanted_bindings(settings)
    finally:
        await admin.close()


# --- signing in -------------------------------------------------------------------------------


async def sign_in(settings: Settings) -> None:
    host, _, port = settings.kafka_bootstrap.partition(":")
    options = kafka_options(settings)
    del options["bootstrap_servers"]
    connection = await create_conn(host, int(port), request_timeout_ms=5_000, **options)
    connection.close()


def signing_in(settings: Settings, username: str, password: str) -> Settings:
    own = {
        "kafka_username": username,
        "kafka_password_file": None,
        "kafka_password": SecretStr(password),
    }
    return settings.model_copy(update=own)


async def test_a_wrong_password_and_an_unknown_name_are_refused(secured: Broker) -> None:
    settings = secured.settings()
    await sign_in(as_principal(settings, "gateway"))
    for username in ("gateway", "nobody", BROKER):
        with pytest.raises(SaslAuthenticationFailed):
            await sign_in(signing_in(settings, username, "guessed"))
    with pytest.raises(Unavailable):
        await KafkaLog.open(signing_in(settings, "accounts", "guessed"))


async def test_without_credentials_nothing_is_answered(secured: Broker) -> None:
    with pytest.raises(Unavailable):
        await KafkaLog.open(Settings(kafka_bootstrap=secured.bootstrap))


async def test_what_the_broker_says_to_itself_lets_nobody_in_where_services_are(
    secured: Broker,
) -> None:
    assert secured.credentials
    own = password_file(secured.credentials, BROKER).read_text()
    settings = signing_in(secured.settings(), BROKER, own)
    with pytest.raises(SaslAuthenticationFailed):
        await sign_in(settings)
    with pytest.raises(UnsupportedSaslMechanismError):
        await sign_in(settings.model_copy(update={"kafka_mechanism": "PLAIN"}))


async def test_a_rotated_password_replaces_the_old_one(secured: Broker) -> None:
    settings = secured.settings()
    await set_passwords(settings, {"rotated": "old"})
    await sign_in(signing_in(settings, "rotated", "old"))
    await set_passwords(settings, {"rotated": "new"})
    await sign_in(signing_in(settings, "rotated", "new"))
    with pytest.raises(SaslAuthenticationFailed):
        await sign_in(signing_in(settings, "rotated", "old"))
