"""The HTTP contract against a running system, call by call."""

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from runtime.devstack.background import Stack

PASSWORD = "Passw0rd!Passw0rd"  # noqa: S105  # of test users
API = "/api/v1"
HEX = re.compile("[0-9a-f]{32}")
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
ASSET_KEYS = {
    *("asset_id", "name", "description", "category", "price_usd", "is_active", "symbol", "image"),
    *("market_cap_rank", "price_change_percentage_24h", "market_cap", "total_volume_24h"),
}
DETAIL_KEYS = ASSET_KEYS | {
    *("availability_status", "price_change_24h", "price_change_percentage_7d", "high_24h"),
    *("price_change_percentage_30d", "low_24h", "circulating_supply", "total_supply"),
    *("max_supply", "ath", "ath_change_percentage", "ath_date", "atl", "atl_change_percentage"),
    *("atl_date", "last_updated"),
}
ORDER_KEYS = {
    *("order_id", "order_type", "asset_id", "quantity", "price", "status", "total_amount"),
    *("created_at", "client_order_id", "time_in_force", "filled_quantity", "remaining_quantity"),
    *("average_price", "fee", "reject_reason", "updated_at", "version"),
    *("expires_at", "post_only", "stop_price", "self_trade_prevention"),
}

NewTrader = Callable[[], Awaitable["Trader"]]


class Trader:
    """Somebody signed in, through either gateway."""

    def __init__(self, username: str, clients: tuple[httpx.AsyncClient, ...], token: str) -> None:
        self.username = username
        self._clients = clients
        self.auth = {"Authorization": f"Bearer {token}"}

    async def ask(
        self,
        method: str,
        path: str,
        *,
        through: int = 0,
        status: int = 200,
        **rest: Any,  # httpx's
    ) -> httpx.Response:
        """Send a request and check its status; `rest` is as httpx takes it."""
        headers = self.auth | rest.pop("headers", {})
        answer = await self._clients[through].request(method, API + path, headers=headers, **rest)
        assert answer.status_code == status, answer.text
        assert answer.headers["x-request-id"]
        return answer

    async def refused(self, method: str, path: str, status: int, code: str, **rest: Any) -> None:
        """Send a request that is refused with this code."""
        check_problem(await self.ask(method, path, status=status, **rest), code)

    async def deposit(self, amount: str = "10000") -> None:
        """Bring money in."""
        await self.ask("POST", "/balance/deposit", status=201, json={"amount": amount})

    async def order(self, *, status: int = 201, **changes: object) -> dict[str, Any]:
        """Place an order; a market buy of 0.001 BTC unless told otherwise."""
        body = {"asset_id": "BTC", "order_type": "market_buy", "quantity": "0.001"} | changes
        return (await self.ask("POST", "/orders", status=status, json=body)).json().get("data", {})


def check_problem(answer: httpx.Response, code: str) -> None:
    """The answer is a problem with all its members."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["code"] == code, body
    assert body["status"] == answer.status_code
    assert body["type"] == f"https://cnop.dev/errors/{code}"
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["instance"].startswith("/")


def elsewhere(stack: Stack, *, through: int = 0) -> httpx.AsyncClient:
    """A client at a loopback address of its own: wrong sign-ins count against an address."""
    address = ".".join(str(1 + each % 250) for each in uuid.uuid4().bytes[:3])
    transport = httpx.AsyncHTTPTransport(local_address=f"127.{address}")
    return httpx.AsyncClient(base_url=stack.urls[through], transport=transport, timeout=20)


@pytest.fixture
async def clients(stack: Stack) -> AsyncIterator[tuple[httpx.AsyncClient, ...]]:
    made = tuple(httpx.AsyncClient(base_url=each, timeout=20) for each in stack.urls)
    yield made
    for each in made:
        await each.aclose()


@pytest.fixture
def anybody(clients: tuple[httpx.AsyncClient, ...]) -> httpx.AsyncClient:
    return clients[0]


def registration(**changes: object) -> dict[str, Any]:
    """A valid registration of somebody new."""
    username = f"t_{uuid.uuid4().hex[:20]}"
    return {
        "username": username,
        "email": f"{username}@example.com",
        "password": PASSWORD,
        "first_name": "Ann",
        "last_name": "O'Neil",
    } | changes


async def sign_in(client: httpx.AsyncClient, username: str) -> str:
    answer = await client.post(
        f"{API}/auth/login", json={"username": username, "password": PASSWORD}
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]


@pytest.fixture
def new_trader(clients: tuple[httpx.AsyncClient, ...]) -> NewTrader:
    async def make() -> Trader:
        body = registration()
        answer = await clients[0].post(f"{API}/auth/register", json=body)
        assert answer.status_code == 201, answer.text
        return Trader(body["username"], clients, await sign_in(clients[0], body["username"]))

    return make


@pytest.fixture
async def trader(new_trader: NewTrader) -> Trader:
    return await new_trader()


# --- identity ------------------------------------------------------------------------------------


async def test_a_registration_answers_201_and_signing_in_works_at_once(
    clients: tuple[httpx.AsyncClient, ...],
) -> None:
    body = registration()
    answer = await clients[0].post(f"{API}/auth/register", json=body)
    assert answer.status_code == 201
    assert answer.json() == {"message": "User registered successfully"}
    signed_in = await clients[1].post(
        f"{API}/auth/login", json={"username": body["username"].upper(), "password": PASSWORD}
    )
    assert signed_in.status_code == 200
    assert signed_in.json()["token_type"] == "bearer"  # noqa: S105
    assert signed_in.json()["expires_in"] == 900


@pytest.mark.parametrize(
    ("field", "code"), [("username", "username-taken"), ("email", "email-taken")]
)
async def test_a_username_and_an_email_belong_to_one_user(
    anybody: httpx.AsyncClient, field: str, code: str
) -> None:
    first = registration()
    assert (await anybody.post(f"{API}/auth/register", json=first)).status_code == 201
    again = await anybody.post(
        f"{API}/auth/register", json=registration(**{field: first[field].upper()})
    )
    assert again.status_code == 409
    check_problem(again, code)


async def test_a_registration_with_a_key_happens_once(anybody: httpx.AsyncClient) -> None:
    body, key = registration(), {"Idempotency-Key": uuid.uuid4().hex}
    first = await anybody.post(f"{API}/auth/register", json=body, headers=key)
    again = await anybody.post(f"{API}/auth/register", json=body, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotency-replayed"] == "true"


async def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(
    stack: Stack, trader: Trader
) -> None:
    async with elsewhere(stack) as client:
        answers = [
            await client.post(
                f"{API}/auth/login", json={"username": name, "password": "Wr0ng!Wr0ng!Wr0ng"}
            )
            for name in (trader.username, f"nobody_{uuid.uuid4().hex[:12]}")
        ]
    for each in answers:
        assert each.status_code == 401
        check_problem(each, "invalid-credentials")
    first, second = (each.json() | {"request_id": ""} for each in answers)
    assert first == second


async def test_a_profile_has_all_fields_and_updates(trader: Trader) -> None:
    profile = (await trader.ask("GET", "/auth/profile")).json()
    assert set(profile) == {
        *("username", "email", "first_name", "last_name", "phone", "date_of_birth"),
        *("marketing_emails_consent", "created_at", "updated_at"),
    }
    assert (profile["username"], profile["phone"]) == (trader.username, None)
    changes = {
        "first_name": "Zoë",
        "phone": "+1 (555) 123-4567",
        "date_of_birth": "1990-12-31",
        "marketing_emails_consent": True,
        "email": profile["email"].upper(),
    }
    updated = (await trader.ask("PUT", "/auth/profile", json=changes)).json()
    assert updated["message"] == "Profile updated successfully"
    told = updated["user"]
    assert (told["first_name"], told["phone"]) == ("Zoë", "+15551234567")
    assert (told["email"], told["last_name"]) == (profile["email"], "O'Neil")
    assert (await trader.ask("GET", "/auth/profile", through=1)).json() == told


async def test_a_profile_cannot_take_another_users_email(
    trader: Trader, new_trader: NewTrader
) -> None:
    other = (await (await new_trader()).ask("GET", "/auth/profile")).json()["email"]
    await trader.refused("PUT", "/auth/profile", 409, "email-taken", json={"email": other})


async def test_signing_out_ends_the_session_everywhere(trader: Trader) -> None:
    for through in (0, 1):
        await trader.ask("GET", "/balance", through=through)
    answer = await trader.ask("POST", "/auth/logout", json={"anything": 1})
    assert answer.json() == {"message": "Logged out successfully"}
    await trader.refused("GET", "/balance", 401, "invalid-token")
    await until(lambda: _is_out(trader), limit_s=2)


async def _is_out(trader: Trader) -> bool:
    answer = await trader._clients[1].get(f"{API}/balance", headers=trader.auth)
    return answer.status_code == 401


async def test_signing_out_needs_a_json_body(trader: Trader) -> None:
    await trader.refused("POST", "/auth/logout", 400, "not-json")


async def test_the_sixth_wrong_sign_in_is_blocked_whatever_it_says_of_its_address(
    stack: Stack, trader: Trader
) -> None:
    wrong = {"username": trader.username, "password": "Wr0ng!Wr0ng!Wr0ng"}
    statuses: list[int] = []
    for attempt in range(6):
        async with elsewhere(stack, through=attempt % 2) as client:
            forged = {"X-Forwarded-For": f"10.0.0.{attempt}"}
            blocked = await client.post(f"{API}/auth/login", json=wrong, headers=forged)
            statuses.append(blocked.status_code)
    assert statuses == [401, 401, 401, 401, 401, 403]
    check_problem(blocked, "sign-in-blocked")
    assert 0 < int(blocked.headers["retry-after"]) <= 300


async def test_an_address_is_blocked_after_five_wrong_sign_ins(stack: Stack) -> None:
    async with elsewhere(stack) as client:
        statuses = [
            (
                await client.post(
                    f"{API}/auth/login",
                    json={"username": f"u_{uuid.uuid4().hex[:12]}", "password": PASSWORD},
                    headers={"X-Forwarded-For": f"10.0.0.{attempt}"},
                )
            ).status_code
            for attempt in range(6)
        ]
    assert statuses == [401, 401, 401, 401, 401, 403]


# --- money ---------------------------------------------------------------------------------------


async def test_money_comes_in_and_goes_out(trader: Trader) -> None:
    deposited = (
        await trader.ask("POST", "/balance/deposit", status=201, json={"amount": 500})
    ).json()
    assert deposited["success"] is True
    assert deposited["message"] == "Successfully deposited $500"
    assert HEX.fullmatch(deposited["transaction_id"])
    assert MOMENT.fullmatch(deposited["timestamp"])
    withdrawn = await trader.ask("POST", "/balance/withdraw", status=201, json={"amount": "12.50"})
    assert withdrawn.json()["message"] == "Successfully withdrew $12.50"
    answer = await trader.ask("GET", "/balance", through=1)
    balance = answer.json()
    assert (balance["current_balance"], balance["available"]) == ("487.5", "487.5")
    assert balance["locked"] == "0"
    assert MOMENT.fullmatch(balance["updated_at"])
    assert balance["as_of"]["version"] == int(answer.headers["x-account-version"]) == 2
    assert balance["as_of"]["lag_ms"] == 0
    assert "x-stale" not in answer.headers


async def test_transactions_are_listed_newest_first_with_signs(trader: Trader) -> None:
    await trader.deposit("100")
    await trader.ask("POST", "/balance/withdraw", status=201, json={"amount": "30"})
    first = (await trader.ask("GET", "/balance/transactions?limit=1")).json()
    assert first["total_count"] == 2
    (newest,) = first["transactions"]
    assert (newest["transaction_type"], newest["amount"]) == ("withdraw", "-30")
    assert (newest["status"], set(newest)) == (
        "completed",
        {"transaction_id", "transaction_type", "amount", "status", "created_at"},
    )
    rest = await trader.ask("GET", f"/balance/transactions?cursor={first['next_cursor']}")
    assert [each["amount"] for each in rest.json()["transactions"]] == ["100"]
    assert rest.json()["next_cursor"] is None


@pytest.mark.parametrize("path", ["/balance/deposit", "/balance/withdraw"])
@pytest.mark.parametrize("amount", [0, -1, "1.001", 1_000_001, True, None, "NaN", "x", 1e300])
async def test_amounts_beyond_the_rules_are_a_422(
    trader: Trader, path: str, amount: object
) -> None:
    await trader.refused("POST", path, 422, "validation-failed", json={"amount": amount})


async def test_limits_and_funds_are_kept(trader: Trader) -> None:
    await trader.refused("POST", "/balance/withdraw", 422, "insufficient-funds", json={"amount": 1})
    await trader.deposit("10000")
    await trader.refused("POST", "/balance/deposit", 422, "deposit-limit", json={"amount": "0.01"})
    await trader.refused(
        "POST", "/balance/withdraw", 422, "withdrawal-limit", json={"amount": "5000.01"}
    )
    assert (await trader.ask("GET", "/balance")).json()["current_balance"] == "10000"


async def test_a_new_trader_has_nothing(trader: Trader) -> None:
    assert (await trader.ask("GET", "/balance")).json()["current_balance"] == "0"
    assert (await trader.ask("GET", "/balance/transactions")).json()["transactions"] == []
    assert (await trader.ask("GET", "/portfolio")).json()["assets"] == []
    assert (await trader.ask("GET", "/orders")).json()["data"] == []
    await trader.refused("GET", "/balance/asset/BTC", 404, "not-found")


# --- assets --------------------------------------------------------------------------------------


async def test_assets_are_open_and_complete(anybody: httpx.AsyncClient) -> None:
    listed = (await anybody.get(f"{API}/inventory/assets?limit=2&unknown=1")).json()
    assert len(listed["data"]) == 2
    assert listed["total_count"] >= listed["active_count"] >= 5
    assert all(set(each) == ASSET_KEYS for each in listed["data"])
    ranks = [each["market_cap_rank"] for each in listed["data"]]
    assert ranks == sorted(ranks)
    detail = (await anybody.get(f"{API}/inventory/assets/btc")).json()["data"]
    assert set(detail) == DETAIL_KEYS
    assert (detail["asset_id"], detail["symbol"]) == ("BTC", "BTC-USD")
    assert isinstance(detail["price_usd"], float)
    assert detail["availability_status"] == "available"


async def test_unknown_and_impossible_assets(anybody: httpx.AsyncClient) -> None:
    check_problem(await anybody.get(f"{API}/inventory/assets/NOPE"), "not-found")
    check_problem(await anybody.get(f"{API}/inventory/assets/a-b"), "validation-failed")
    check_problem(await anybody.get(f"{API}/inventory/assets?limit=251"), "validation-failed")


# --- orders --------------------------------------------------------------------------------------


async def test_a_market_buy_is_final_in_its_answer_and_seen_everywhere(trader: Trader) -> None:
    await trader.deposit()
    order = await trader.order(quantity="0.01")
    assert set(order) == ORDER_KEYS
    assert (order["status"], order["filled_quantity"]) == ("FILLED", "0.01")
    assert order["price"] == order["average_price"]
    cash = (await trader.ask("GET", "/balance", through=1)).json()["current_balance"]
    assert float(cash) == pytest.approx(10_000 - float(order["total_amount"]))
    holding = (await trader.ask("GET", "/balance/asset/btc", through=1)).json()
    assert (holding["asset_id"], holding["asset_name"]) == ("BTC", "Bitcoin")
    assert holding["quantity"] == "0.01"
    assert isinstance(holding["current_price"], float)
    assert isinstance(holding["total_value"], float)
    portfolio = (await trader.ask("GET", "/portfolio", through=1)).json()
    (position,) = portfolio["assets"]
    assert (position["asset_id"], position["percentage"]) == ("BTC", 100)
    assert position["cost_basis"] == order["total_amount"]
    (transaction,) = (await trader.ask("GET", "/assets/BTC/transactions", through=1)).json()["data"]
    assert (transaction["transaction_type"], transaction["status"]) == ("BUY", "COMPLETED")
    assert transaction["quantity"] == "0.01"
    (payment, _) = (await trader.ask("GET", "/balance/transactions")).json()["transactions"]
    assert payment["transaction_type"] == "order_payment"
    assert payment["amount"] == f"-{order['total_amount']}"
    (listed,) = (await trader.ask("GET", "/orders", through=1)).json()["data"]
    assert listed == order
    assert (await trader.ask("GET", f"/orders/{order['order_id']}")).json()["data"] == order


async def test_what_was_bought_can_be_sold(trader: Trader) -> None:
    await trader.deposit()
    await trader.order(quantity="0.002")
    sold = await trader.order(order_type="market_sell", quantity="0.002")
    assert sold["status"] == "FILLED"
    assert (await trader.ask("GET", "/balance/asset/BTC")).json()["quantity"] == "0"
    assert (await trader.ask("GET", "/portfolio")).json()["assets"] == []


async def test_a_limit_order_rests_locks_and_cancels_once(trader: Trader) -> None:
    await trader.deposit()
    order = await trader.order(order_type="limit_buy", quantity="0.01", price="1000")
    assert (order["status"], order["total_amount"]) == ("NEW", "10")
    balance = (await trader.ask("GET", "/balance")).json()
    assert (balance["current_balance"], balance["available"], balance["locked"]) == (
        *("10000", "9990", "10"),
    )
    canceled = (await trader.ask("DELETE", f"/orders/{order['order_id']}")).json()["data"]
    assert canceled["status"] == "CANCELED"
    assert (await trader.ask("GET", "/balance", through=1)).json()["available"] == "10000"
    await trader.refused("DELETE", f"/orders/{order['order_id']}", 409, "order-final")


async def test_orders_are_paged_and_filtered(trader: Trader) -> None:
    await trader.deposit()
    placed = [
        (await trader.order(order_type="limit_buy", quantity="0.01", price=f"{each}"))["order_id"]
        for each in (1000, 1001, 1002)
    ]
    page = (await trader.ask("GET", "/orders?limit=2")).json()
    assert [each["order_id"] for each in page["data"]] == placed[:0:-1]
    assert page["has_more"] is True
    rest = (await trader.ask("GET", "/orders?limit=2&offset=2")).json()
    assert [each["order_id"] for each in rest["data"]] == placed[:1]
    assert rest["has_more"] is False
    for query, count in (
        ("asset_id=BTC", 3),
        ("asset_id=ETH", 0),
        ("order_type=limit_buy", 3),
        ("order_type=limit_sell", 0),
        ("status=NEW", 3),
        ("offset=100000", 0),
    ):
        assert len((await trader.ask("GET", f"/orders?{query}")).json()["data"]) == count, query


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"quantity": "0.0001"}, "validation-failed"),
        ({"quantity": 0}, "validation-failed"),
        ({"order_type": "limit_buy"}, "validation-failed"),
        ({"order_type": "limit_buy", "price": "1000001"}, "validation-failed"),
        ({"order_type": "stop"}, "validation-failed"),
        ({"asset_id": "B_C"}, "validation-failed"),
        ({"asset_id": "NOPE"}, "unknown-asset"),
        ({"order_type": "market_sell"}, "insufficient-holdings"),
        ({"order_type": "limit_buy", "price": "20000", "quantity": "0.1"}, "insufficient-funds"),
        ({"quantity": "5", "price": "1"}, "order-value"),
        ({"order_type": "limit_buy", "quantity": "5", "price": "20000"}, "order-value"),
    ],
)
async def test_refused_orders_change_nothing(
    trader: Trader, changes: dict[str, Any], code: str
) -> None:
    await trader.deposit("1000")
    before = (await trader.ask("GET", "/balance")).json()
    body = {"asset_id": "BTC", "order_type": "market_buy", "quantity": "0.001"} | changes
    await trader.refused("POST", "/orders", 422, code, json=body)
    after = (await trader.ask("GET", "/balance")).json()
    assert (after["current_balance"], after["locked"]) == (before["current_balance"], "0")
    assert (await trader.ask("GET", "/orders")).json()["data"] == []
    if code != "validation-failed":
        (kept,) = (await trader.ask("GET", "/orders?status=REJECTED")).json()["data"]
        assert (kept["status"], kept["reject_reason"]) == ("REJECTED", code)


async def test_another_users_order_does_not_exist(trader: Trader, new_trader: NewTrader) -> None:
    await trader.deposit()
    order_id = (await trader.order(order_type="limit_buy", price="1000", quantity="0.01"))[
        "order_id"
    ]
    stranger = await new_trader()
    for method in ("GET", "DELETE"):
        await stranger.refused(method, f"/orders/{order_id}", 404, "unknown-order")
        await stranger.refused(method, f"/orders/{'0' * 32}", 404, "unknown-order")
        await stranger.refused(method, "/orders/short", 422, "validation-failed")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "offset=100001", "order_type=x", "status=x"]
)
async def test_order_queries_beyond_the_rules_are_a_422(trader: Trader, query: str) -> None:
    await trader.refused("GET", f"/orders?{query}", 422, "validation-failed")


# --- commands and freshness ----------------------------------------------------------------------


async def test_a_key_answers_again_and_refuses_another_body(trader: Trader) -> None:
    key = {"Idempotency-Key": "once"}
    body = {"amount": "5"}
    first = await trader.ask("POST", "/balance/deposit", status=201, json=body, headers=key)
    assert "idempotency-replayed" not in first.headers
    for through in (0, 1):
        again = await trader.ask(
            "POST", "/balance/deposit", status=201, json=body, headers=key, through=through
        )
        assert again.json() == first.json()
        assert again.headers["idempotency-replayed"] == "true"
    for path, other in (("/balance/deposit", {"amount": 6}), ("/balance/withdraw", body)):
        await trader.refused("POST", path, 422, "idempotency-key-reused", json=other, headers=key)
    assert (await trader.ask("GET", "/balance")).json()["current_balance"] == "5"


async def test_an_order_and_its_cancel_are_answered_again(trader: Trader) -> None:
    await trader.deposit()
    body = {"asset_id": "BTC", "order_type": "limit_buy", "quantity": "0.01", "price": "1000"}
    key = {"Idempotency-Key": "place"}
    first = await trader.ask("POST", "/orders", status=201, json=body, headers=key)
    again = await trader.ask("POST", "/orders", status=201, json=body, headers=key, through=1)
    assert again.json() == first.json()
    path = f"/orders/{first.json()['data']['order_id']}"
    key = {"Idempotency-Key": "cancel"}
    canceled = await trader.ask("DELETE", path, headers=key)
    replayed = await trader.ask("DELETE", path, headers=key, through=1)
    assert replayed.json() == canceled.json()
    assert replayed.headers["idempotency-replayed"] == "true"


async def test_a_refusal_is_answered_again(trader: Trader) -> None:
    key = {"Idempotency-Key": "poor"}
    for _ in range(2):
        await trader.refused(
            "POST", "/balance/withdraw", 422, "insufficient-funds", json={"amount": 1}, headers=key
        )


@pytest.mark.parametrize("key", ["x" * 65, "a b", "\u00e9"])
async def test_other_keys_are_a_422(trader: Trader, key: str) -> None:
    await trader.refused(
        "POST",
        "/balance/deposit",
        422,
        "validation-failed",
        json={"amount": 1},
        headers={"Idempotency-Key": key.encode("latin-1")},
    )


async def test_who_wants_no_answer_asks_for_the_outcome(
    trader: Trader, new_trader: NewTrader
) -> None:
    answer = await trader.ask(
        "POST",
        "/balance/deposit",
        status=202,
        json={"amount": 7},
        headers={"Prefer": "wait=5, Respond-Async"},
    )
    command_id = answer.json()["command_id"]
    assert answer.json() == {"command_id": command_id, "status": "pending"}
    assert answer.headers["location"] == f"{API}/commands/{command_id}"
    outcome: dict[str, Any] = {}

    async def is_decided() -> bool:
        outcome.update((await trader.ask("GET", f"/commands/{command_id}", through=1)).json())
        return outcome["status"] != "pending"

    await until(is_decided, limit_s=5)
    assert outcome["status"] == "succeeded"
    assert outcome["result"]["message"] == "Successfully deposited $7"
    assert MOMENT.fullmatch(outcome["decided_at"])
    stranger = await new_trader()
    await stranger.refused("GET", f"/commands/{command_id}", 404, "not-found")
    await trader.refused("GET", f"/commands/{'0' * 32}", 404, "not-found")


async def test_a_refused_command_tells_its_problem(trader: Trader) -> None:
    answer = await trader.ask(
        "POST",
        "/balance/withdraw",
        status=202,
        json={"amount": 7},
        headers={"Prefer": "respond-async"},
    )
    outcome: dict[str, Any] = {}

    async def is_decided() -> bool:
        path = answer.headers["location"].removeprefix(API)
        outcome.update((await trader.ask("GET", path)).json())
        return outcome["status"] != "pending"

    await until(is_decided, limit_s=5)
    assert outcome["status"] == "refused"
    assert outcome["problem"]["code"] == "insufficient-funds"


async def test_a_demanded_version_is_waited_for_or_refused(trader: Trader) -> None:
    deposited = await trader.ask("POST", "/balance/deposit", status=201, json={"amount": 1})
    version = deposited.headers["x-account-version"]
    for path in ("/balance", "/orders", "/portfolio", "/balance/transactions"):
        answer = await trader.ask("GET", path, headers={"X-Min-Account-Version": version})
        assert int(answer.headers["x-account-version"]) >= int(version)
    answer = await trader.ask(
        "GET", "/balance", status=503, headers={"X-Min-Account-Version": "999"}
    )
    check_problem(answer, "version-not-reached")
    assert answer.headers["retry-after"]
    await trader.refused(
        "GET", "/balance", 422, "validation-failed", headers={"X-Min-Account-Version": "x"}
    )


async def test_every_write_is_read_through_the_other_gateway(trader: Trader) -> None:
    total = 0
    for each in range(1, 26):
        total += each
        await trader.ask(
            "POST", "/balance/deposit", through=each % 2, status=201, json={"amount": each}
        )
        balance = await trader.ask("GET", "/balance", through=(each + 1) % 2)
        assert balance.json()["current_balance"] == f"{total}"
        listed = await trader.ask("GET", "/balance/transactions", through=(each + 1) % 2)
        assert listed.json()["total_count"] == each


# --- service -------------------------------------------------------------------------------------


async def test_health_says_what_there_is(clients: tuple[httpx.AsyncClient, ...]) -> None:
    for client in clients:
        health = (await client.get("/health")).json()
        assert (health["status"], health["service"]) == ("healthy", "gateway")
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 200
        assert (await client.get("/openapi.json")).json()["openapi"].startswith("3.")
        assert (await client.get("/docs")).status_code == 200


async def until(condition: Callable[[], Awaitable[bool]], *, limit_s: float) -> None:
    """Wait for a condition that is asked for again and again."""

    async with asyncio.timeout(limit_s):
        while not await condition():  # noqa: ASYNC110  # the condition is another process's
            await asyncio.sleep(0.02)
