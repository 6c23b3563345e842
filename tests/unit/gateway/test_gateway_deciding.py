"""What a command's sender is told when the log fails, late, or is asked twice at once."""

import asyncio
from typing import Any

import pytest
from desks import Desk
from starlette.requests import Request

from gateway.deciding import Deciding, Order, Pending
from gateway.problems import Problem
from runtime.errors import Unavailable
from schemas.codec import Message
from schemas.identity import EndSession
from schemas.topics import IDENTITY, IDENTITY_COMMANDS

COMMAND = EndSession(username_hmac="ann", session_id="s")


def request(**headers: str) -> Request:
    given = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return Request({"type": "http", "headers": given, "cnop.request_id": "r"})


def order(command: Message = COMMAND, body: bytes = b"{}", **more: Any) -> Order:
    return Order(
        topic=IDENTITY_COMMANDS,
        key="ann",
        command=command,
        context=IDENTITY,
        subject="u",
        owner="u",
        fingerprinted=body,
        **more,
    )


def twice(deciding: Deciding) -> "asyncio.Future[list[Any]]":
    """Two requests with one Idempotency-Key at the same time."""
    both = (deciding.decide(request(idempotency_key="k"), order()) for _ in range(2))
    return asyncio.gather(*both, return_exceptions=True)


async def test_two_requests_with_one_key_share_one_decision() -> None:
    desk = Desk()
    first, second = await twice(desk.deciding())
    assert (first.reply, first.is_replayed, second.is_replayed) == (second.reply, False, True)
    assert len(desk.published) == 1


async def test_who_shares_a_command_that_cannot_be_published_is_told_so() -> None:
    desk = Desk()
    released = asyncio.Event()

    async def until_released() -> None:
        await released.wait()

    desk.meanwhile, desk.is_down = until_released, True
    both = twice(desk.deciding())
    await asyncio.sleep(0)
    released.set()
    assert [type(each) for each in await both] == [Unavailable, Unavailable]


@pytest.mark.parametrize("prefer", ["respond-async", "wait=1"])
async def test_what_the_log_may_have_is_named(prefer: str) -> None:
    desk = Desk()
    desk.is_lossy = True
    with pytest.raises(Problem) as refused:
        await desk.deciding().decide(request(prefer=prefer), order())
    assert refused.value.kind.status == 503
    assert refused.value.members == {"command_id": desk.published[0]}


async def test_who_shares_what_the_log_may_have_gets_its_name_too() -> None:
    desk = Desk()
    desk.is_lossy = True
    first, second = await twice(desk.deciding())
    named = {"command_id": desk.published[0]}
    assert (first.members, second.members) == (named, named)


@pytest.mark.parametrize("prefer", ["respond-async", "wait=1"])
async def test_what_is_not_acknowledged_by_the_deadline_is_no_202(prefer: str) -> None:
    desk = Desk()
    desk.is_silent = True
    with pytest.raises(Problem) as refused:
        await desk.deciding(deadline_ms=20).decide(request(prefer=prefer), order())
    assert refused.value.members == {"command_id": desk.published[0]}


async def test_what_is_acknowledged_and_not_decided_by_the_deadline_is_a_202() -> None:
    desk = Desk()
    desk.is_idle = True
    with pytest.raises(Pending):
        await desk.deciding(deadline_ms=20).decide(request(), order())
