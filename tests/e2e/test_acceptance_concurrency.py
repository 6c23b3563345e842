"""Many at once on one account, one username, one email: nothing is lost, doubled or shared."""

import asyncio
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

import httpx
import pytest
from traders import Gateways, Json, Trader, order, unique, until

from runtime.devstack.background import Stack

CLIENTS = 64
SECONDS = 20.0
KINDS = ("deposit", "withdraw", "market_buy", "market_sell")
REFUSALS = {
    "deposit": {"deposit-limit"},
    "withdraw": {"insufficient-funds", "withdrawal-limit"},
    "market_buy": {"insufficient-funds"},
    "market_sell": {"insufficient-holdings"},
}
RACERS = 20
ROUNDS = 10


# --- one account ---------------------------------------------------------------------------------


@dataclass
class Ledger:
    """What the answers add up to."""

    cash: Decimal = Decimal(0)
    held: defaultdict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    asked: Counter[str] = field(default_factory=Counter[str])
    succeeded: Counter[str] = field(default_factory=Counter[str])
    others: list[str] = field(default_factory=list)
    movements: int = 0

    def take(self, kind: str, body: Json, answer: httpx.Response) -> None:
        """Book an answer, or keep what it should not have been."""
        self.asked[kind] += 1
        if answer.status_code == 422 and answer.json()["code"] in REFUSALS[kind]:
            return
        if answer.status_code != 201:
            self.others.append(f"{kind} {answer.status_code} {answer.text}")
            return
        if "amount" in body:
            self.cash += Decimal(body["amount"]) * (1 if kind == "deposit" else -1)
            self.succeeded[kind] += 1
            self.movements += 1
        else:
            self._traded(kind, answer.json()["data"])

    def _traded(self, kind: str, order: Json) -> None:
        quantity = Decimal(order["filled_quantity"])
        sign = 1 if kind == "market_buy" else -1
        self.held[order["asset_id"]] += sign * quantity
        self.cash -= sign * Decimal(order["total_amount"])
        self.movements += quantity > 0
        if order["status"] == "FILLED":
            self.succeeded[kind] += 1
        elif order["status"] != "EXPIRED":
            self.others.append(f"{kind} {order}")


def _wish(kind: str, dice: random.Random) -> tuple[str, Json]:
    if kind in ("deposit", "withdraw"):
        cents = dice.randrange(1, 40 if kind == "withdraw" else 60)
        return f"/balance/{kind}", {"amount": f"{Decimal(cents) / 100}"}
    asset = dice.choice(("ETH", "SOL"))
    quantity = "0.001" if asset == "ETH" else dice.choice(("0.02", "0.037"))
    return "/orders", order(asset_id=asset, order_type=kind, quantity=quantity)


async def _client(trader: Trader, number: int, ledger: Ledger) -> None:
    dice = random.Random(number)
    clock = asyncio.get_running_loop()
    end_s = clock.time() + SECONDS
    turn = number
    while clock.time() < end_s:
        kind = KINDS[turn % len(KINDS)]
        path, body = _wish(kind, dice)
        answer = await trader.send("POST", path, through=turn // len(KINDS) + number, json=body)
        ledger.take(kind, body, answer)
        turn += 1


@pytest.mark.timeout(180)
async def test_one_account_adds_up_to_the_last_digit_under_64_clients(stack: Stack) -> None:
    async with Gateways.of(stack) as gateways:
        trader = await gateways.trader()
        ledger = Ledger()
        for path, body in (
            ("/balance/deposit", {"amount": "100"}),
            ("/orders", order(quantity="0.005")),
            ("/orders", order(asset_id="SOL", quantity="0.1")),
        ):
            answer = await trader.send("POST", path, json=body)
            ledger.take("deposit" if "amount" in body else "market_buy", body, answer)
        async with asyncio.TaskGroup() as group:
            for each in range(CLIENTS):
                group.create_task(_client(trader, each, ledger))
        assert ledger.others == []
        for kind in KINDS:
            assert ledger.succeeded[kind] >= max(50, 0.3 * ledger.asked[kind]), ledger
        for through in range(2):
            await _adds_up(trader, ledger, through)


async def _adds_up(trader: Trader, ledger: Ledger, through: int) -> None:
    async def is_fresh() -> bool:
        answer = await trader.send("GET", "/balance", through=through)
        return answer.status_code == 200 and "x-stale" not in answer.headers

    await until(is_fresh, limit_s=30)
    balance = await trader.read("/balance", through=through)
    assert Decimal(balance["current_balance"]) == ledger.cash
    assert Decimal(balance["available"]) == ledger.cash
    assert balance["locked"] == "0"
    for asset, quantity in ledger.held.items():
        held = await trader.read(f"/balance/asset/{asset}", through=through)
        assert Decimal(held["quantity"]) == quantity >= 0
    page = await trader.read("/balance/transactions?limit=1", through=through)
    assert page["total_count"] == ledger.movements


# --- one username, one email ---------------------------------------------------------------------


async def _race(gateways: Gateways, field: str, shared: str) -> list[tuple[str, httpx.Response]]:
    """Registrations that share this field, at once; each with its username and decision."""
    names = [shared if field == "username" else unique("r") for _ in range(RACERS)]
    answers = await asyncio.gather(
        *(
            gateways.register(
                through=number,
                **{"username": name, "email": f"{unique('m')}@example.com"}
                | {field: shared.upper() if number % 3 else shared},
            )
            for number, name in enumerate(names)
        )
    )
    return list(zip(names, answers, strict=True))


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("field", "code"), [("username", "username-taken"), ("email", "email-taken")]
)
async def test_of_20_registrations_of_one_name_or_email_exactly_one_wins(
    stack: Stack, field: str, code: str
) -> None:
    async with Gateways.of(stack) as gateways:
        for each in range(ROUNDS):
            shared = unique("w") if field == "username" else f"{unique('w')}@example.com"
            race = await _race(gateways, field, shared)
            statuses = Counter(answer.status_code for _, answer in race)
            assert statuses == {201: 1, 409: RACERS - 1}, statuses
            assert {x.json()["code"] for _, x in race if x.status_code == 409} == {code}
            (winner,) = (name for name, answer in race if answer.status_code == 201)
            await gateways.signed_in(winner, through=each)
