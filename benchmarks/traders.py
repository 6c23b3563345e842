"""Makes funded accounts through the API, as many as the time allows."""

import asyncio
from collections.abc import Sequence
from time import monotonic
from typing import Any, Final

import httpx

from benchmarks.load import Trader, order_request

_PASSWORD: Final = "Benchmark-2026!"  # noqa: S105  # of accounts that live for minutes
_AT_ONCE: Final = 8
_ORDER_USD: Final = 10
_DEPOSIT_USD: Final = "5000"
_QUANTITY_MIN: Final = 0.001
_FAILURES_MAX: Final = 20
_PATIENCE_S: Final = 30.0


class NotMade(Exception):  # noqa: N818  # says what happened
    """The system refused what a trader needs."""


async def fund(url: str, count: int, *, seconds: float) -> list[Trader]:
    """Register, sign in and fund traders, up to `count` of them within `seconds`.

    Raises:
        NotMade: too many could not be made, or nothing is traded.
    """
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=20.0) as client:
        quantities = await _quantities(client)
        made: list[Trader] = []
        failures: list[str] = []
        waiting = iter(range(count))
        ends = monotonic() + seconds

        async def make() -> None:
            for n in waiting:
                if monotonic() > ends or len(failures) > _FAILURES_MAX:
                    return
                try:
                    made.append(await _trader(client, n, quantities[n % len(quantities)]))
                except (NotMade, httpx.HTTPError) as problem:
                    failures.append(repr(problem))

        await asyncio.gather(*(make() for _ in range(_AT_ONCE)))
    if len(failures) > _FAILURES_MAX or not made:
        raise NotMade(f"{len(made)} traders made, then {failures[-1:]}")
    return made


async def _trader(client: httpx.AsyncClient, n: int, quantity: tuple[str, str]) -> Trader:
    name, headers = f"bench_{n:05}", {"X-Forwarded-For": f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"}
    person = {"email": f"{name}@example.com", "first_name": "Bench", "last_name": "Mark"}
    secret = {"username": name, "password": _PASSWORD}
    await _post(client, "/auth/register", secret | person, headers)
    token = (await _post(client, "/auth/login", secret, headers))["access_token"]
    bearer = headers | {"Authorization": f"Bearer {token}"}
    await _post(client, "/balance/deposit", {"amount": _DEPOSIT_USD}, bearer)
    buy, sell = (order_request(token, *quantity, side) for side in ("buy", "sell"))
    return Trader(buy, sell)


async def _post(
    client: httpx.AsyncClient, path: str, body: dict[str, str], headers: dict[str, str]
) -> dict[str, Any]:
    answer = await client.post(path, json=body, headers=headers)
    if answer.status_code not in (200, 201):
        raise NotMade(f"{path}: {answer.status_code} {answer.text[:200]}")
    return answer.json()


async def _quantities(client: httpx.AsyncClient) -> Sequence[tuple[str, str]]:
    """Asset and quantity of an order of about ten dollars, for each market that has a price."""
    ends = monotonic() + _PATIENCE_S
    while True:
        assets = (await client.get("/inventory/assets")).json()["data"]
        priced = [each for each in assets if each["price_usd"]]
        if priced and (len(priced) == len(assets) or monotonic() > ends):
            return [(each["asset_id"], _quantity(each["price_usd"])) for each in priced]
        if monotonic() > ends:
            raise NotMade(f"no market has a price after {_PATIENCE_S:.0f} s")
        await asyncio.sleep(0.5)


def _quantity(price_usd: float) -> str:
    return f"{max(_QUANTITY_MIN, round(_ORDER_USD / price_usd, 3)):.3f}"
