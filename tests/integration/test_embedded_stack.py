"""What `make up` does: servers of its own, data that stay, and nothing that is not healed."""

import asyncio
import os
import sys
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from runtime.devstack.background import Stack
from runtime.devstack.config import StackConfig
from runtime.devstack.ports import free_port
from runtime.errors import Unavailable
from runtime.kafka_log import KafkaLog
from runtime.kafka_options import kafka_options
from runtime.settings import Settings
from schemas.topics import MARKETS_JOURNAL, REGISTRY


async def _markets_records(stack: Stack) -> int:
    consumer = AIOKafkaConsumer(**kafka_options(stack.settings))
    await consumer.start()
    try:
        parts = range(REGISTRY[MARKETS_JOURNAL].partitions)
        ends = await consumer.end_offsets([TopicPartition(MARKETS_JOURNAL, n) for n in parts])
        return sum(ends.values())
    finally:
        await consumer.stop()


async def _only_who_signs_in_gets_an_answer(state_dir: Path, bootstrap: str) -> None:
    """A command that is told where the stack is signs in by itself; what is not ours is refused."""
    with pytest.raises(Unavailable):
        await KafkaLog.open(Settings(kafka_bootstrap=bootstrap))
    inherited = {name: each for name, each in os.environ.items() if not name.startswith("CNOP_")}
    told = {"CNOP_STATE_DIR": str(state_dir), "CNOP_KAFKA_BOOTSTRAP": bootstrap}
    for arguments, expected in (
        (("lag", "--json"), b'"read-models-accounts"'),
        (("topics", "create"), b"0 topics created"),
        (("replay", "markets"), b"markets.market-listed"),
    ):
        command = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "runtime.cli", *arguments),
            env=inherited | told,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        said, _ = await asyncio.wait_for(command.communicate(), 60)
        assert command.returncode == 0, arguments
        assert expected in said


async def test_a_stack_with_own_servers_heals_a_killed_broker_and_keeps_its_data(
    tmp_path: Path, jars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CNOP_KAFKA_BOOTSTRAP", raising=False)
    monkeypatch.delenv("CNOP_DYNAMODB_ENDPOINT", raising=False)
    monkeypatch.setenv("CNOP_JARS_DIR", str(jars))
    config = StackConfig(
        state_dir=tmp_path,
        kafka_port=free_port(),
        dynamodb_port=free_port(),
        gateway_ports=(free_port(),),
        metrics_base=0,
    )
    stack = Stack.start(config, leashed=True)
    try:
        old = stack.kill("kafka")
        stack.wait_restarted("kafka", old)
        stack.wait_ready(timeout_s=120)
        before = await _markets_records(stack)
        assert before > 0
        await _only_who_signs_in_gets_an_answer(tmp_path, stack.settings.kafka_bootstrap)
        assert stack.stop()
        stack = Stack.start(config, leashed=True)
        assert await _markets_records(stack) >= before
    finally:
        stack.stop()
