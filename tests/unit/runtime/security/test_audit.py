"""Telling the audit never waits and never fails."""

import asyncio

import pytest

from runtime import metrics
from runtime.errors import Unavailable
from runtime.security import audit
from runtime.security.audit import Audit
from schemas.audit import EVENTS, Happened, SecurityEvent
from schemas.envelope import Headers, header_map

EVENT = SecurityEvent(
    happened=Happened.ROLE_REFUSED, user="u", address="a", request_id="r", detail="trader"
)


class Topic:
    """`security.audit` in memory; `open` lets appends through, `is_down` refuses them."""

    def __init__(self) -> None:
        self.records: list[tuple[str, bytes, Headers]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.is_down = False
        self.is_stopped = False

    async def append(self, key: str, body: bytes, headers: Headers) -> None:
        await self.open.wait()
        if self.is_down:
            raise Unavailable("no broker")
        self.records.append((key, body, headers))

    async def stop(self) -> None:
        self.is_stopped = True


def dropped(reason: str) -> float:
    return metrics.AUDIT_DROPPED.labels(reason)._value.get()


async def test_an_event_stands_under_its_user_with_its_request() -> None:
    topic = Topic()
    trail = Audit("gateway", topic)
    trail.start()
    trail.tell(EVENT)
    await trail.stop()
    ((key, body, headers),) = topic.records
    said = header_map(headers)
    assert (key, EVENTS.decode(said["ce_type"].decode(), body)) == ("u", EVENT)
    assert (said["ce_source"], said["correlation-id"]) == (b"cnop/gateway", b"r")
    assert said["x-source"] == b"gateway"
    assert topic.is_stopped


async def test_what_several_processes_tell_of_has_one_id_and_one_place() -> None:
    topic = Topic()
    for _ in range(2):
        trail = Audit("auth", topic)
        trail.start()
        trail.tell(SecurityEvent(happened=Happened.KEY_ROTATED, detail="k"), event_id="same")
        await trail.stop()
    assert [(key, header_map(headers)["ce_id"]) for key, _, headers in topic.records] == [
        ("same", b"same")
    ] * 2


async def test_what_finds_the_buffer_full_is_dropped_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(audit, "_WAITING_MAX", 10)
    topic = Topic()
    topic.open.clear()
    trail = Audit("gateway", topic)
    trail.start()
    before = dropped("full")
    for _ in range(25):
        trail.tell(EVENT)  # at once, although nothing is taken
    assert dropped("full") == before + 15
    topic.open.set()
    await trail.stop()
    assert len(topic.records) == 10


async def test_a_broker_that_is_down_costs_the_event_and_nothing_else() -> None:
    topic = Topic()
    topic.is_down = True
    trail = Audit("auth", topic)
    trail.start()
    before = dropped("unavailable")
    trail.tell(EVENT)
    async with asyncio.timeout(5):
        while dropped("unavailable") == before:  # noqa: ASYNC110  # a deadline
            await asyncio.sleep(0.001)
    topic.is_down = False
    trail.tell(EVENT)
    await trail.stop()
    assert len(topic.records) == 1


async def test_stopping_does_not_wait_for_a_broker_that_is_silent() -> None:
    topic = Topic()
    topic.open.clear()
    trail = Audit("auth", topic)
    trail.start()
    trail.tell(EVENT)
    async with asyncio.timeout(1):
        await trail.stop(patience_s=0.01)
    assert topic.is_stopped
