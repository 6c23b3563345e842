"""`?as_of=` over HTTP: the answers of then, and what nobody can answer."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from asgi import Gateway, running_gateway
from journals import History

from gateway.journal_tail import Newest
from gateway.services import ACTIVITY, ORDERS
from read_models.activity.projection import PROJECTION as ACTIVITY_MODEL
from read_models.markets.projection import PROJECTION as MARKETS_MODEL
from read_models.orders.projection import PROJECTION as ORDERS_MODEL
from read_models.portfolio.projection import PROJECTION as PORTFOLIO_MODEL
from runtime.memory_table import MemoryTable
from runtime.projector import Projector
from schemas.envelope import rfc3339
from schemas.topics import ACCOUNTS_JOURNAL

Json = dict[str, Any]
Told = dict[str, dict[int, Json]]
PROJECTIONS = (ORDERS_MODEL, PORTFOLIO_MODEL, ACTIVITY_MODEL)
PATHS = ("/balance", "/portfolio", "/orders?limit=3", "/orders?status=CANCELED")


@pytest.fixture(scope="module")
def history() -> History:
    return History(8, accounts=2, fee_ppm=100).live(120)


@pytest.fixture
async def gateway(history: History, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    monkeypatch.setattr("gateway.freshness.WAIT_S", 0.02)
    table = MemoryTable([spec for each in (*PROJECTIONS, MARKETS_MODEL) for spec in each.tables])
    async with running_gateway(table, history.accounts[0]) as gateway:
        yield gateway


async def project(gateway: Gateway, history: History) -> Told:
    """Project the history, and ask after each of its records; answers by path and version."""
    projector = Projector(PROJECTIONS, ACCOUNTS_JOURNAL, 0, gateway.services.table)
    told: Told = {path: {} for path in PATHS}
    for record in history.records:
        await projector.step([record], now_s=0)
        for path in PATHS:
            body = (await gateway.get(path)).json()
            told[path][body["as_of"]["version"]] = body
    return told


async def test_every_answer_can_be_asked_for_again(gateway: Gateway, history: History) -> None:
    told = await project(gateway, history)
    for path, bodies in told.items():
        assert len(bodies) > 20
        last = {then["as_of"]["time"]: version for version, then in bodies.items() if version}
        moments = {**{str(each): each for each in bodies}, **last}
        moments.pop(None, None)
        for moment, version in moments.items():
            answer = await gateway.get(f"{path}{'&' if '?' in path else '?'}as_of={moment}")
            assert answer.status_code == 200, answer.text
            now, then = answer.json(), bodies[version]
            assert {name: now[name] for name in then if name != "as_of"} == {
                name: each for name, each in then.items() if name != "as_of"
            }
            if moment == str(version):
                assert answer.headers["x-account-version"] == moment


async def test_what_is_beyond_the_account_is_not_decided(
    gateway: Gateway, history: History
) -> None:
    told = await project(gateway, history)
    newest = max(max(each) for each in told.values())
    for path in ("/balance", "/portfolio", "/orders"):
        for moment in (str(newest + 1), rfc3339(gateway.now_ms + 1)):
            answer = await gateway.get(f"{path}?as_of={moment}")
            assert (answer.status_code, answer.json()["code"]) == (409, "as-of-undecided")
        for moment in (str(newest), rfc3339(gateway.now_ms), "0"):
            assert (await gateway.get(f"{path}?as_of={moment}")).status_code == 200
        for moment in ("", "-1", "yesterday", "2026-01-01", "1" * 16, "2026-01-01T00:00:00"):
            answer = await gateway.get(f"{path}?as_of={moment}")
            assert (answer.status_code, answer.json()["code"]) == (422, "validation-failed")


@pytest.mark.parametrize("model", [ORDERS, ACTIVITY])
async def test_what_is_not_projected_yet_is_not_guessed(
    gateway: Gateway, history: History, model: str
) -> None:
    told = await project(gateway, history)
    newest = max(max(each) for each in told.values())
    late_ms = history.time_ms + 5
    behind = Newest(version=newest + 1, offset=len(history.records), time_ms=late_ms)
    gateway.partition.note(history.accounts[0], behind, (model,))
    for path in ("/balance", "/portfolio", "/orders"):
        for moment in (newest + 1, rfc3339(late_ms)):
            answer = await gateway.get(f"{path}?as_of={moment}")
            assert (answer.status_code, answer.json()["code"]) == (503, "version-not-reached")
        assert (await gateway.get(f"{path}?as_of={newest // 2}")).status_code == 200
        assert (await gateway.get(f"{path}?as_of=2020-01-01T00:00:00Z")).status_code == 200
