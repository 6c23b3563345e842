"""What is not projected yet is not told to be unknown."""

import hashlib
import time
from collections.abc import AsyncIterator
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from aiokafka import TopicPartition

from gateway.app import app
from gateway.auth import Auth
from gateway.freshness import Freshness
from gateway.journal_tail import Followed, JournalTail, Newest, _Partition
from gateway.services import ORDERS, PORTFOLIO
from gateway.sessions import Sessions
from read_models.activity import queries as activity
from read_models.orders import queries as orders
from read_models.portfolio import queries as portfolio
from runtime.memory_table import MemoryTable
from runtime.projector import Position
from runtime.settings import Settings
from schemas.auth import Verdict
from schemas.topics import ACCOUNTS_JOURNAL

ANN = "ann"
PLACE = TopicPartition(ACCOUNTS_JOURNAL, 0)


class Gateway:
    """A gateway that has read all of the journal, with read models that hold nothing."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self.partition = _Partition(Position(0, 0))
        self.tail = JournalTail(
            Settings(), [Followed(ACCOUNTS_JOURNAL, {}, cast("Any", None))], cast("Any", None)
        )
        self.tail._partitions = {PLACE: self.partition}
        self.tail._counts = {ACCOUNTS_JOURNAL: 1}
        self.tail._ends.of = self._end  # type: ignore[method-assign]
        table = MemoryTable([*activity.TABLES, *orders.TABLES, *portfolio.TABLES])
        heads = [partial(each.head, table) for each in (orders, portfolio)]
        sessions = Sessions(60.0)
        app.state.services = SimpleNamespace(
            auth=Auth(cast("Any", None), cast("Any", None), sessions),
            table=table,
            freshness=Freshness(self.tail, heads),
        )
        verdict = Verdict(
            user_id=ANN,
            username_hmac="h",
            session_id="s",
            role="trader",
            expires_at_ms=round(time.time() * 1_000) + 60_000,
        )
        sessions.put(hashlib.blake2b(b"token", digest_size=32).digest(), verdict)

    async def _end(self, _: TopicPartition) -> int:
        return self.partition.position

    async def get(self, path: str) -> httpx.Response:
        return await self._client.get(f"/api/v1{path}", headers={"Authorization": "Bearer token"})


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    monkeypatch.setattr("gateway.freshness.WAIT_S", 0.02)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield Gateway(client)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/orders/0123456789", "unknown-order"),
        ("/orders/0123456789/executions", "unknown-order"),
        ("/balance/asset/BTC", "not-found"),
    ],
)
async def test_only_what_the_projection_has_passed_is_unknown(
    gateway: Gateway, path: str, code: str
) -> None:
    gateway.partition.note(ANN, Newest(version=7, offset=3, time_ms=0), (ORDERS, PORTFOLIO))
    behind = await gateway.get(path)
    assert (behind.status_code, behind.json()["code"]) == (503, "version-not-reached")
    assert int(behind.headers["retry-after"]) >= 1
    gateway.partition.forget_before(4)
    there = await gateway.get(path)
    assert (there.status_code, there.json()["code"]) == (404, code)


async def test_nothing_is_unknown_while_nobody_knows_where_the_journal_ends(
    gateway: Gateway,
) -> None:
    gateway.tail._counts.clear()
    answer = await gateway.get("/orders/0123456789")
    assert (answer.status_code, answer.json()["code"]) == (503, "version-not-reached")
