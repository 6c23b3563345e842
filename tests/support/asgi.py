"""The gateway's routes over read models in memory, without a broker; one trader is signed in."""

import hashlib
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import httpx
from aiokafka import TopicPartition
from contract import check_answer

from gateway.app import app
from gateway.auth import Auth
from gateway.freshness import Freshness
from gateway.journal_tail import Followed, JournalTail, _Partition
from gateway.sessions import Sessions
from read_models.activity import queries as activity
from read_models.orders import queries as orders
from read_models.portfolio import queries as portfolio
from runtime.memory_table import MemoryTable
from runtime.projector import Position
from runtime.settings import Settings
from schemas.auth import Verdict
from schemas.topics import ACCOUNTS_JOURNAL

_PLACE = TopicPartition(ACCOUNTS_JOURNAL, 0)


class Gateway:
    """A gateway that has read all of the journal; its clock stands where a test puts it."""

    def __init__(self, client: httpx.AsyncClient, table: MemoryTable, user_id: str) -> None:
        self._client = client
        self.now_ms = round(time.time() * 1_000)
        self.partition = _Partition(Position(0, 0))
        self.tail = JournalTail(
            Settings(), [Followed(ACCOUNTS_JOURNAL, {}, cast("Any", None))], cast("Any", None)
        )
        self.tail._partitions = {_PLACE: self.partition}
        self.tail._counts = {ACCOUNTS_JOURNAL: 1}
        self.tail._ends.of = self._end  # type: ignore[method-assign]
        heads = [partial(each.head, table) for each in (orders, portfolio, activity)]
        sessions = Sessions(60.0)
        self.services = SimpleNamespace(
            auth=Auth(cast("Any", None), cast("Any", None), sessions),
            table=table,
            tail=self.tail,
            freshness=Freshness(self.tail, heads),
            narrator=None,
            publisher=SimpleNamespace(clock=SimpleNamespace(now_ms=lambda: self.now_ms)),
        )
        app.state.services = self.services
        verdict = Verdict(
            user_id=user_id,
            username_hmac="h",
            session_id="s",
            role="trader",
            expires_at_ms=round(time.time() * 1_000) + 60_000,
        )
        sessions.put(hashlib.blake2b(b"token", digest_size=32).digest(), verdict)

    async def _end(self, _: TopicPartition) -> int:
        return self.partition.position

    async def get(self, path: str) -> httpx.Response:
        """Ask; what succeeds is as /openapi.json says."""
        full = f"/api/v1{path}"
        answer = await self._client.get(full, headers={"Authorization": "Bearer token"})
        if answer.status_code == 200 and "json" in answer.headers["content-type"]:
            check_answer("get", full, 200, answer.json())
        return answer


@asynccontextmanager
async def running_gateway(table: MemoryTable, user_id: str) -> AsyncGenerator[Gateway]:
    """A gateway that asks these tables."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield Gateway(client, table, user_id)
