"""Traders at a running system: they register, sign in and ask through any of its gateways."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from itertools import count
from typing import Any, Final, Self

import httpx

from runtime.devstack.background import Stack

API: Final = "/api/v1"
PASSWORD: Final = "Passw0rd!Passw0rd"  # noqa: S105  # everybody's in tests
WRONG: Final = "Wr0ng!Wr0ng!Wr0ng"
UNDECIDED: Final = (202, 409, 503)
"""What a command with a key may answer before its decision."""
_PATIENCE_S: Final = 30.0
_PAUSE_S: Final = 0.05
_SERIAL: Final = count()

Json = dict[str, Any]


def unique(prefix: str = "t") -> str:
    """A word that nobody used before."""
    return f"{prefix}_{next(_SERIAL)}_{uuid.uuid4().hex[:12]}"


def registration(**changes: Any) -> Json:
    """A valid registration of somebody new."""
    username = unique()
    return {
        "username": username,
        "email": f"{username}@example.com",
        "password": PASSWORD,
        "first_name": "Ann",
        "last_name": "O'Neil",
    } | changes


def loopback() -> str:
    """A loopback address of one's own: wrong sign-ins count against an address."""
    return "127." + ".".join(str(1 + each % 250) for each in uuid.uuid4().bytes[:3])


class Gateways:
    """Clients of every gateway, all from one address."""

    def __init__(self, urls: Sequence[str], *, address: str | None = None) -> None:
        self._clients: Final = tuple(
            httpx.AsyncClient(
                base_url=each,
                timeout=30,
                transport=httpx.AsyncHTTPTransport(
                    local_address=address,
                    limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
                ),
            )
            for each in urls
        )

    @classmethod
    @asynccontextmanager
    async def of(cls, stack: Stack, *, address: str | None = None) -> AsyncIterator[Self]:
        """Clients of this system, closed in the end; from a new loopback address if none given."""
        made = cls(stack.urls, address=address or loopback())
        try:
            yield made
        finally:
            for each in made._clients:
                await each.aclose()

    async def send(
        self, method: str, path: str, *, through: int = 0, **rest: Any
    ) -> httpx.Response:
        """One request through the gateway of this number (any number); `rest` as httpx takes it."""
        client = self._clients[through % len(self._clients)]
        return await client.request(method, API + path, **rest)

    async def register(self, *, through: int = 0, **changes: Any) -> httpx.Response:
        """What was decided about a registration."""
        body = registration(**changes)
        return await final(
            lambda key: self.send("POST", "/auth/register", through=through, json=body, headers=key)
        )

    async def sign_in(
        self, username: str, password: str = PASSWORD, *, through: int = 0
    ) -> httpx.Response:
        """Ask for a token."""
        body = {"username": username, "password": password}
        return await self.send("POST", "/auth/login", through=through, json=body)

    async def trader(self, **changes: Any) -> "Trader":
        """Somebody new who is signed in."""
        body = registration(**changes)
        await decided(lambda key: self.send("POST", "/auth/register", json=body, headers=key))
        return await self.signed_in(body["username"], body["password"])

    async def funded(self, amount: str = "1000") -> "Trader":
        """Somebody new who has so many dollars."""
        trader = await self.trader()
        await trader.move("deposit", amount)
        return trader

    async def signed_in(
        self, username: str, password: str = PASSWORD, *, through: int = 0
    ) -> "Trader":
        """This user, signed in."""
        async with asyncio.timeout(_PATIENCE_S):
            while (  # noqa: ASYNC110  # only asking tells
                answer := await self.sign_in(username, password, through=through)
            ).status_code in (429, 503):
                await asyncio.sleep(_PAUSE_S)
        assert answer.status_code == 200, answer.text
        return Trader(self, username, answer.json()["access_token"], answer.json()["refresh_token"])

    async def traders(self, number: int) -> "list[Trader]":
        """Several at once."""
        return list(await asyncio.gather(*(self.trader() for _ in range(number))))


class Trader:
    """Somebody signed in; numbers in answers are read as exact decimals."""

    def __init__(
        self, gateways: Gateways, username: str, token: str, refresh_token: str = ""
    ) -> None:
        self.gateways: Final = gateways
        self.username: Final = username
        self.token: Final = token
        self.refresh_token = refresh_token

    async def send(
        self, method: str, path: str, *, through: int = 0, **rest: Any
    ) -> httpx.Response:
        """One request with one's token."""
        headers = {"Authorization": f"Bearer {self.token}"} | rest.pop("headers", {})
        return await self.gateways.send(method, path, through=through, headers=headers, **rest)

    async def refresh(self, *, through: int = 0) -> httpx.Response:
        """Present one's refresh token, and keep neither of the new tokens."""
        body = {"refresh_token": self.refresh_token}
        return await self.gateways.send("POST", "/auth/refresh", through=through, json=body)

    async def ask(
        self, method: str, path: str, *, through: int = 0, status: int = 200, **rest: Any
    ) -> Json:
        """One request that answers this status; its body."""
        answer = await self.send(method, path, through=through, **rest)
        assert answer.status_code == status, f"{method} {path} {answer.status_code} {answer.text}"
        return answer.json()

    async def read(self, path: str, *, through: int = 0) -> Json:
        """A read that is not stale."""
        answer = await self.send("GET", path, through=through)
        assert answer.status_code == 200, f"{path} {answer.status_code} {answer.text}"
        assert "x-stale" not in answer.headers, path
        return answer.json()

    async def write(self, path: str, body: Json, *, through: int = 0) -> Json:
        """Have a command decided, asking again while a busy machine needs longer than 2 s."""
        answer = await decided(
            lambda key: self.send("POST", path, through=through, json=body, headers=key)
        )
        return answer.json()

    async def write_ok(self, path: str, body: Json | None = None, *, through: int = 0) -> Json:
        """Have a command decided that answers 200, asking again while a busy machine is slow."""
        answer = await final(
            lambda key: self.send("POST", path, through=through, json=body or {}, headers=key)
        )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def move(self, verb: str, amount: str, *, through: int = 0) -> Json:
        """Deposit or withdraw."""
        return await self.write(f"/balance/{verb}", {"amount": amount}, through=through)

    async def cash(self, *, through: int = 0) -> tuple[str, str]:
        """What is free and what is locked, as one gateway tells it."""
        balance = await self.read("/balance", through=through)
        return balance["available"], balance["locked"]

    async def order(self, *, through: int = 0, **changes: Any) -> Json:
        """Place an order; a market buy of 0.001 ETH unless told otherwise."""
        return (await self.write("/orders", order(**changes), through=through))["data"]


async def decided(send: Callable[[dict[str, str]], Awaitable[httpx.Response]]) -> httpx.Response:
    """Send with one Idempotency-Key until the command is decided; it has to succeed."""
    answer = await final(send)
    assert answer.status_code == 201, answer.text
    return answer


async def final(send: Callable[[dict[str, str]], Awaitable[httpx.Response]]) -> httpx.Response:
    """Send with one Idempotency-Key until the answer is a decision, whichever."""
    key = {"Idempotency-Key": uuid.uuid4().hex}
    deadline_s = asyncio.get_running_loop().time() + _PATIENCE_S
    while (answer := await send(key)).status_code in UNDECIDED:
        assert asyncio.get_running_loop().time() < deadline_s, answer.text
        code = answer.json().get("code")
        if answer.status_code == 409 and code != "command-pending":
            break
        await asyncio.sleep(_PAUSE_S)
    return answer


def order(**changes: Any) -> Json:
    """The body of an order."""
    return {"asset_id": "ETH", "order_type": "market_buy", "quantity": "0.001"} | changes


def check_problem(answer: httpx.Response, code: str | None = None) -> None:
    """The answer is a problem with all members that the contract names."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert code is None or body["code"] == code, body
    assert body["status"] == answer.status_code
    assert body["type"] == f"https://cnop.dev/errors/{body['code']}"
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["instance"].startswith("/")
    for each in body.get("errors", ()):
        assert set(each) == {"field", "message"}


async def until(condition: Callable[[], Awaitable[bool]], *, limit_s: float) -> None:
    """Wait for a condition that is asked for again and again."""
    async with asyncio.timeout(limit_s):
        while not await condition():  # noqa: ASYNC110  # only asking tells
            await asyncio.sleep(0.02)


def total(numbers: Sequence[str]) -> Decimal:
    """The exact sum of decimals as they travel."""
    return sum((Decimal(each) for each in numbers), Decimal(0))
