"""What is not projected yet is not told to be unknown."""

from collections.abc import AsyncIterator

import pytest
from asgi import Gateway, running_gateway

from gateway.journal_tail import Newest
from gateway.services import ORDERS, PORTFOLIO
from read_models.activity import queries as activity
from read_models.orders import queries as orders
from read_models.portfolio import queries as portfolio
from runtime.memory_table import MemoryTable

ANN = "ann"


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    monkeypatch.setattr("gateway.freshness.WAIT_S", 0.02)
    table = MemoryTable([*activity.TABLES, *orders.TABLES, *portfolio.TABLES])
    async with running_gateway(table, ANN) as gateway:
        yield gateway


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
