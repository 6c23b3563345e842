"""Traders who never give up and keep books of their own: only of what they were told is decided."""

import asyncio
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Coroutine
from decimal import Decimal
from itertools import count
from random import Random
from typing import Any, Final, NamedTuple

import httpx
from traders import Gateways, Json, registration

from schemas import accounts, identity
from simulation.laws import Told

_TICKS: Final = {"BTC": "0.01", "ETH": "0.01", "XRP": "0.0001", "SOL": "0.0001", "DOGE": "0.0001"}
_SIZES: Final = {"BTC": "0.001", "ETH": "0.004", "XRP": "5", "SOL": "0.02", "DOGE": "20"}
_OPEN: Final = ("NEW", "PARTIALLY_FILLED")
_PATIENCE_S: Final = 240.0
_PAUSE_S: Final = 0.2


class Wait(NamedTuple):
    """How long it took until a command's outcome was known, by the monotonic clock."""

    kind: str
    since_s: float
    until_s: float
    attempts: int


class Crowd:
    """So many traders, each doing one thing after another through whichever gateway answers."""

    def __init__(self, gateways: Gateways, *, number: int, seed: int, pause_s: float = 0.1) -> None:
        self.gateways: Final = gateways
        self.pause_s: Final = pause_s
        self.prices: Final[dict[str, Decimal]] = {}
        self.waits: Final[list[Wait]] = []
        self.answers: Final[Counter[str]] = Counter()
        self.traders: Final = [Busy(self, Random(seed + each)) for each in range(number)]
        self._stopped: Final = asyncio.Event()

    @property
    def orders(self) -> list[Json]:
        """Every accepted order of every trader, as last seen."""
        return [each for trader in self.traders for each in trader.orders.values()]

    @property
    def filled(self) -> int:
        """How many orders are known to be filled."""
        return sum(each["status"] == "FILLED" for each in self.orders)

    async def trade_while(self, disturbing: Coroutine[Any, Any, None]) -> None:
        """Trade as long as that runs; then everybody learns how their orders stand."""
        self._stopped.clear()
        async with asyncio.timeout(_PATIENCE_S):
            while not self.prices:  # the first quotes come seconds after the start
                await self._look_at_prices()
                await asyncio.sleep(_PAUSE_S)
        await asyncio.gather(*(each.arrive() for each in self.traders))
        async with asyncio.TaskGroup() as tasks:
            for each in self.traders:
                tasks.create_task(each.trade_until(self._stopped))
            tasks.create_task(self._follow_prices())
            await disturbing
            self._stopped.set()
        await asyncio.gather(*(each.look_at_orders() for each in self.traders))

    async def progress(self, more: int, *, limit_s: float = 60.0) -> None:
        """Wait until so many more commands have an outcome."""
        since, deadline = len(self.waits), time.monotonic() + limit_s
        while (decided := len(self.waits) - since) < more:
            assert time.monotonic() < deadline, (
                f"{decided} of {more} decided in {limit_s:g} s: {self.answers}"
            )
            await asyncio.sleep(0.05)

    def longest_wait_s(self, since_s: float, until_s: float) -> float:
        """How long the unluckiest trader waited after `since_s`, begun before `until_s`."""
        return max(
            (
                each.until_s - max(each.since_s, since_s)
                for each in self.waits
                if each.until_s > since_s and each.since_s < until_s
            ),
            default=0.0,
        )

    async def check_books(self) -> None:
        """What the traders were told is what they have."""
        await asyncio.gather(*(each.check_books() for each in self.traders))

    def check_journals(self, told: Told) -> None:
        """The journals hold what the traders were told, each once, and nothing else."""
        done = sum((each.done for each in self.traders), Counter[str]())
        for kind, event in (
            ("deposit", accounts.FundsDeposited),
            ("withdraw", accounts.FundsWithdrawn),
            ("profile", identity.ProfileUpdated),
            ("register", identity.UserRegistered),
        ):
            assert told.happened[event.TYPE] == done[kind], f"{kind}: told {done[kind]}"
        known = [each["order_id"] for each in self.orders]
        decided = [
            each.order.order_id
            for each in told.events["accounts"]
            if isinstance(each, accounts.OrderAccepted)
        ]
        assert sorted(known) == sorted(decided), "orders are those that traders were told of"

    async def _follow_prices(self) -> None:
        while not self._stopped.is_set():
            await self._look_at_prices()
            await asyncio.sleep(1)

    async def _look_at_prices(self) -> None:
        assets = (await self.persist("GET", "/inventory/assets", Random(0))).json()["data"]
        for each in assets:
            if each["price_usd"]:
                self.prices[each["asset_id"]] = Decimal(str(each["price_usd"]))

    async def persist(self, method: str, path: str, random: Random, **rest: Any) -> httpx.Response:
        """Ask again and again, through one gateway or the other, until there is an outcome."""
        since_s = time.monotonic()
        async with asyncio.timeout(_PATIENCE_S):
            for attempt in count(1):
                through = random.randrange(2)
                try:
                    answer = await self.gateways.send(method, path, through=through, **rest)
                except httpx.TransportError as error:
                    self.answers[type(error).__name__] += 1
                else:
                    if method == "GET" and answer.is_success and "x-stale" not in answer.headers:
                        return answer
                    if method != "GET" and is_outcome(answer):
                        until_s = time.monotonic()
                        kind = f"{method} {path.split('/')[1]}"
                        self.waits.append(Wait(kind, since_s, until_s, attempt))
                        return answer
                    self.answers[_named(answer)] += 1
                await asyncio.sleep(_PAUSE_S)
        raise AssertionError("unreachable")


def is_outcome(answer: httpx.Response) -> bool:
    """Whether the answer settles what became of a command with a key."""
    assert answer.status_code not in (400, 401, 404, 500), answer.text
    if answer.status_code == 429:  # no limits here, but auth or the vault may be too slow
        assert answer.json()["code"] == "sign-in-busy", answer.text
        return False
    if answer.status_code == 409:
        return answer.json()["code"] != "command-pending"
    return answer.status_code not in (202, 503)


def _named(answer: httpx.Response) -> str:
    code = answer.json().get("code", "") if answer.status_code >= 400 else ""
    return f"{answer.status_code} {code}".strip()


class Busy:
    """One trader; `done` counts what succeeded, `orders` are the newest views of accepted ones."""

    def __init__(self, crowd: Crowd, random: Random) -> None:
        self._crowd: Final = crowd
        self._random: Final = random
        self._who: Final = registration()
        self._token = ""
        self._cash = Decimal(0)
        self.done: Final[Counter[str]] = Counter()
        self.orders: Final[dict[str, Json]] = {}

    async def arrive(self) -> None:
        """Register, sign in and bring money."""
        if not self._token:
            await self._register(self._who)
            await self._sign_in()
            await self._move("deposit", "4000")

    async def trade_until(self, stopped: asyncio.Event) -> None:
        """Do one thing after another."""
        doings = (
            (30, self._buy),
            (20, self._sell),
            (16, self._limit),
            (8, self._cancel),
            (10, self._deposit),
            (4, self._withdraw),
            (4, self._profile),
            (1, self._sign_in),
            (1, self._newcomer),
        )
        weights, calls = zip(*doings, strict=True)
        while not stopped.is_set():
            await self._random.choices(calls, weights)[0]()
            await asyncio.sleep(self._crowd.pause_s * 2 * self._random.random())

    async def look_at_orders(self) -> None:
        """Learn how the orders stand that were open when last seen."""
        for order_id in self._open_orders():
            await self._look_at(order_id)

    async def check_books(self) -> None:
        """Cash, holdings and name are what the answers said.

        Open orders are canceled first: only an ended order tells exactly what it came to.
        """
        for order_id in self._open_orders():
            await self._cancel_order(order_id)
        held: dict[str, Decimal] = defaultdict(Decimal)
        held["USD"] = self._cash
        for order in self.orders.values():
            filled, total = Decimal(order["filled_quantity"]), Decimal(order["total_amount"])
            buys = order["order_type"].endswith("buy")
            held[order["asset_id"]] += filled if buys else -filled
            held["USD"] += -total if buys else total - Decimal(order["fee"])
        balance = (await self._read("/balance"))["current_balance"]
        portfolio = (await self._read("/portfolio"))["assets"]
        found = {each["asset_id"]: Decimal(each["quantity"]) for each in portfolio}
        found["USD"] = Decimal(balance)
        mine = {asset: amount for asset, amount in held.items() if amount}
        found = {asset: amount for asset, amount in found.items() if amount}
        assert found == mine, f"has {found}, was told {mine}"
        profile = await self._read("/auth/profile")
        assert profile["first_name"] == self._who["first_name"]

    # --- doings ------------------------------------------------------------------------------

    async def _buy(self) -> None:
        await self._order("market_buy")

    async def _sell(self) -> None:
        await self._order("market_sell")

    async def _limit(self) -> None:
        """Far away, so that it rests; at the last price; or a little beyond, so that it trades."""
        side = self._random.choice(("buy", "sell"))
        away = self._random.choice(("0.6", "0.998", "1", "1", "1.002"))
        await self._order(f"limit_{side}", away=Decimal(away))

    async def _order(self, order_type: str, *, away: Decimal | None = None) -> None:
        asset = self._random.choice(tuple(self._crowd.prices))
        size = Decimal(_SIZES[asset]) * self._random.choice((1, 2, 3))
        body = {"asset_id": asset, "order_type": order_type, "quantity": str(size)}
        if away is not None:
            side = away if order_type == "limit_buy" else 2 - away
            price = (self._crowd.prices[asset] * side).quantize(Decimal(_TICKS[asset]))
            body["price"] = str(price)
        answer = await self._write("POST", "/orders", body)
        if answer.status_code == 201:
            order = answer.json()["data"]
            self.orders[order["order_id"]] = order

    async def _cancel(self) -> None:
        if mine := self._open_orders():
            await self._cancel_order(self._random.choice(mine))

    async def _cancel_order(self, order_id: str) -> None:
        answer = await self._write("DELETE", f"/orders/{order_id}")
        if answer.status_code == 200:
            self.orders[order_id] = answer.json()["data"]
        else:
            await self._look_at(order_id)

    async def _deposit(self) -> None:
        await self._move("deposit", str(self._random.randrange(1, 20)))

    async def _withdraw(self) -> None:
        await self._move("withdraw", str(self._random.randrange(1, 10)))

    async def _move(self, verb: str, amount: str) -> None:
        answer = await self._write("POST", f"/balance/{verb}", {"amount": amount})
        if answer.status_code == 201:
            self.done[verb] += 1
            self._cash += Decimal(amount) if verb == "deposit" else -Decimal(amount)

    async def _profile(self) -> None:
        name = self._random.choice(("Ada", "Bob", "Eve", "Kim", "Max", "Zoë"))
        answer = await self._write("PUT", "/auth/profile", {"first_name": name})
        if answer.status_code == 200:
            self.done["profile"] += 1
            self._who["first_name"] = name

    async def _newcomer(self) -> None:
        await self._register(registration())

    async def _register(self, who: Json) -> None:
        answer = await self._write("POST", "/auth/register", who)
        assert answer.status_code == 201, answer.text
        self.done["register"] += 1

    async def _sign_in(self) -> None:
        body = {"username": self._who["username"], "password": self._who["password"]}
        answer = await self._crowd.persist("POST", "/auth/login", self._random, json=body)
        assert answer.status_code == 200, answer.text
        self._token = answer.json()["access_token"]

    # --- asking ------------------------------------------------------------------------------

    def _open_orders(self) -> list[str]:
        return [each["order_id"] for each in self.orders.values() if each["status"] in _OPEN]

    async def _look_at(self, order_id: str) -> None:
        self.orders[order_id] = (await self._read(f"/orders/{order_id}"))["data"]

    async def _write(self, method: str, path: str, body: Json | None = None) -> httpx.Response:
        headers = self._authorization | {"Idempotency-Key": uuid.uuid4().hex}
        return await self._crowd.persist(method, path, self._random, json=body, headers=headers)

    async def _read(self, path: str) -> Json:
        headers = self._authorization
        return (await self._crowd.persist("GET", path, self._random, headers=headers)).json()

    @property
    def _authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}
