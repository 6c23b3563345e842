"""Orders that ended so long ago that accounts forgot them have still ended."""

from collections.abc import AsyncIterator

import httpx
import pytest
from asgi import Gateway, running_gateway
from journals import History

from gateway.deciding import Decided, Order
from gateway.replies import Reply
from read_models.orders.projection import PROJECTION
from runtime.memory_table import MemoryTable
from runtime.projector import Projector
from schemas.accounts import CommandRefused, Reason
from schemas.topics import ACCOUNTS_JOURNAL


class Forgetful:
    """Accounts that know of no order."""

    async def decide(self, _: object, _order: Order) -> Decided:
        event = CommandRefused(
            account_id="ann", command="cancel-order", reason=Reason.UNKNOWN_ORDER, order_id="0"
        )
        return Decided("c1", Reply(event, version=1, time_ms=0))


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Gateway]:
    monkeypatch.setattr("gateway.freshness.WAIT_S", 0.02)
    table = MemoryTable(PROJECTION.tables)
    history = History(8, accounts=2).live(60)
    async with running_gateway(table, history.accounts[0]) as gateway:
        projector = Projector((PROJECTION,), ACCOUNTS_JOURNAL, 0, table)
        await projector.step(history.records, now_s=0)
        gateway.services.deciding = Forgetful()
        gateway.services.people = None
        yield gateway


async def change(gateway: Gateway, method: str, order_id: str) -> httpx.Response:
    body = {"json": {"price": "7"}} if method == "PATCH" else {}
    headers = {"Authorization": "Bearer token"}
    return await gateway._client.request(
        method, f"/api/v1/orders/{order_id}", headers=headers, **body
    )


@pytest.mark.parametrize("method", ["DELETE", "PATCH"])
async def test_what_was_forgotten_is_final_and_what_never_was_is_unknown(
    gateway: Gateway, method: str
) -> None:
    (order, *_) = (await gateway.get("/orders?status=FILLED")).json()["data"]
    ended = await change(gateway, method, order["order_id"])
    assert (ended.status_code, ended.json()["code"]) == (409, "order-final")
    nowhere = await change(gateway, method, "0" * 32)
    assert (nowhere.status_code, nowhere.json()["code"]) == (404, "unknown-order")
