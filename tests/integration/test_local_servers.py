"""The local servers keep their data and can be asked for at once."""

import signal
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from runtime.admin import create_topics
from runtime.devstack.errors import CannotStart
from runtime.devstack.servers import DynamoServer, KafkaServer
from runtime.settings import Settings
from schemas.topics import ACCOUNTS_JOURNAL, REGISTRY


async def _append(bootstrap: str, value: bytes) -> int:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    await producer.start()
    try:
        return (await producer.send_and_wait(ACCOUNTS_JOURNAL, value, partition=1)).offset
    finally:
        await producer.stop()


async def _read(bootstrap: str) -> list[bytes | None]:
    place = TopicPartition(ACCOUNTS_JOURNAL, 1)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        return [record.value for record in (await consumer.getmany(timeout_ms=5_000))[place]]
    finally:
        await consumer.stop()


async def test_what_a_broker_acknowledged_is_there_after_kill_and_restart(
    tmp_path: Path, jars: Path
) -> None:
    server = KafkaServer(tmp_path, jars=jars, log=tmp_path / "kafka.log")
    try:
        server.launch()
        await server.wait_ready()
        settings = Settings(kafka_bootstrap=server.bootstrap)
        assert await create_topics(settings, [REGISTRY[ACCOUNTS_JOURNAL]]) == (ACCOUNTS_JOURNAL,)
        assert await create_topics(settings, [REGISTRY[ACCOUNTS_JOURNAL]]) == ()
        assert await _append(server.bootstrap, b"kept") == 0
        server.signal(signal.SIGKILL)
        server.stop()
        server.launch()
        await server.wait_ready()
        assert await _append(server.bootstrap, b"more") == 1
        assert await _read(server.bootstrap) == [b"kept", b"more"]
    finally:
        server.stop()


def test_a_taken_port_is_said_in_one_sentence(tmp_path: Path, jars: Path) -> None:
    log = tmp_path / "dynamodb.log"
    server = DynamoServer(None, jars=jars, log=log).start()
    try:
        second = DynamoServer(None, jars=jars, log=log, port=server.port)
        with pytest.raises(CannotStart, match=rf"Port {server.port} \(dynamodb\) is taken"):
            second.launch()
    finally:
        server.stop()
    assert not server.running
