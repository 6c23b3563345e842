"""The gateway's readers outlive what they cannot read, and end the process when they end."""

import asyncio
from typing import Any, NamedTuple

import pytest
from aiokafka import TopicPartition

from gateway.journal_tail import Followed, JournalTail, _Partition
from gateway.replies import Replies
from gateway.tasks import Tasks
from runtime.projector import Position
from runtime.settings import Settings
from schemas.codec import PoisonMessage
from schemas.envelope import (
    CE_TYPE,
    COMMAND_ID,
    ENTITY_ID,
    ENTITY_VERSION,
    LOGICAL_TIME,
    WRITER_EPOCH,
)
from schemas.journal import WriterClaimed

PLACE = TopicPartition("journal", 0)
GOOD = {
    CE_TYPE: b"type",
    WRITER_EPOCH: b"1",
    ENTITY_ID: b"ann",
    ENTITY_VERSION: b"7",
    LOGICAL_TIME: b"0",
}


class Written(NamedTuple):
    """As much of a consumed record as readers read."""

    offset: int
    headers: list[tuple[str, Any]]
    value: bytes = b""


def tail(watcher: Any = None) -> JournalTail:
    async def unknown(_: Any) -> Any:
        raise AssertionError

    watched = {} if watcher is None else {"type": watcher}
    followed = Followed("journal", {"type": ("users",)}, unknown, watched)
    one = JournalTail(Settings(), [followed], unknown)
    one._partitions = {PLACE: _Partition(Position(0, 0))}
    claim = Written(0, [(CE_TYPE, WriterClaimed.TYPE.encode()), (WRITER_EPOCH, b"1")])
    one._take({PLACE: [claim]})
    return one


@pytest.mark.parametrize(
    "broken",
    [
        {},
        GOOD | {CE_TYPE: b"\xff"},
        GOOD | {WRITER_EPOCH: None},
        GOOD | {ENTITY_VERSION: b"x"},
        {CE_TYPE: b"type", WRITER_EPOCH: b"1", ENTITY_VERSION: b"1"},
    ],
)
def test_a_journal_record_that_cannot_be_read_is_skipped(broken: dict[str, Any]) -> None:
    one = tail()
    one._take({PLACE: [Written(1, list(broken.items())), Written(2, list(GOOD.items()))]})
    newest = one.newest("journal", 0, "ann", "users")
    assert newest is not None
    assert (newest.version, newest.offset) == (7, 2)


def test_what_a_watcher_cannot_read_is_skipped() -> None:
    def watcher(_: bytes) -> None:
        raise PoisonMessage("no session")

    one = tail(watcher)
    one._take({PLACE: [Written(1, list(GOOD.items()))]})
    assert one._partitions[PLACE].position == 2


async def test_who_gave_up_waiting_is_forgotten() -> None:
    partition = _Partition(Position(0, 0))
    loop = asyncio.get_running_loop()
    gone, there = loop.create_future(), loop.create_future()
    gone.cancel()
    partition.waiting = [(9, gone), (9, there)]
    partition.wake()
    assert partition.waiting == [(9, there)]


async def test_a_reply_with_headers_that_are_no_text_is_skipped() -> None:
    replies = Replies(Settings())
    future = replies.waiters.expect("c")
    broken = [(CE_TYPE, None), (COMMAND_ID, b"c")]
    replies._take([Written(0, broken), Written(1, [(COMMAND_ID, None)])])
    assert not future.done()


async def test_a_task_that_fails_ends_the_gateway() -> None:
    ended: list[str] = []
    tasks = Tasks(lambda: ended.append("process"))

    async def fail() -> None:
        await asyncio.sleep(0)
        raise RuntimeError

    async def work() -> None:
        await asyncio.sleep(60)

    sound = tasks.start(work(), name="sound")
    failing = tasks.start(fail(), name="failing")
    await asyncio.wait([failing])
    assert (ended, tasks.has_failed) == (["process"], True)
    await tasks.stop()
    assert sound.cancelled()
    assert ended == ["process"]


async def test_a_gateway_whose_reader_failed_is_not_ready() -> None:
    one = tail()
    one._has_caught_up = True
    assert one.is_caught_up
    one._tasks.has_failed = True
    assert not one.is_caught_up
