"""Who may call which route: every route with every role and scope, through the real router."""

import hashlib
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from gateway.access import ACCESS, table
from gateway.app import ROUTES, _Handled, app
from gateway.auth import Auth
from gateway.docs import document
from gateway.sessions import Sessions
from runtime import metrics
from runtime.security.pseudonyms import Pseudonyms
from runtime.settings import Settings
from schemas.audit import Happened, SecurityEvent
from schemas.auth import Verdict
from schemas.identity import Role, Scope

CALLS = sorted((method, each.path) for each in ROUTES for method in each.methods - {"HEAD"})
OPEN = ("/health", "/.well-known/jwks.json", "/openapi.json", "/docs")
OPEN_IN_API = ("inventory", "markets", "time", "commands")
OPEN_AUTH = ("/api/v1/auth/register", "/api/v1/auth/login", "/api/v1/auth/refresh")
DEAD = ("expired", "revoked", "unknown")


def expected(path: str) -> set[str]:
    """Who may call a path, as http_api.md says it."""
    everybody = {"anonymous", *Role, *DEAD}
    if path.startswith(OPEN) or path in OPEN_AUTH:
        return everybody
    kind = path.split("/")[3]
    if kind in OPEN_IN_API:
        return everybody
    if kind == "auth":
        return set(Role)
    return {Role.OPERATOR} if kind == "ops" else {Role.TRADER}


BOTS = {f"bot-{each}": (each,) for each in Scope} | {"bot-all": tuple(Scope), "bot-none": ()}
"""API keys of a trader with one scope each, with all, and with none."""


def expected_scope(method: str, path: str) -> Scope | None:
    """With which scope a key may call what is a trader's, as docs/roles.md says it."""
    if path.endswith(("/deposit", "/withdraw")):
        return Scope(path.rpartition("/")[2])
    if expected(path) != {Role.TRADER}:
        return None
    return Scope.READ if method == "GET" else Scope.TRADE


class Told:
    """The audit trail in memory."""

    def __init__(self) -> None:
        self.events: list[SecurityEvent] = []

    def tell(self, event: SecurityEvent) -> None:
        self.events.append(event)


def known(
    sessions: Sessions,
    token: str,
    role: str,
    *,
    lives_s: int = 60,
    scopes: tuple[str, ...] | None = None,
) -> None:
    verdict = Verdict(
        user_id=f"user {token}",
        username_hmac=f"hmac {token}",
        session_id=f"session {token}",
        role=role,
        expires_at_ms=round((time.time() + lives_s) * 1_000),
        scopes=scopes,
    )
    sessions.put(hashlib.blake2b(token.encode(), digest_size=32).digest(), verdict)


class Nobody:
    """An auth service that knows no other token."""

    async def ask(self, *_: object, **__: object) -> object:
        from schemas.auth import Verdicts  # noqa: PLC0415

        return SimpleNamespace(event=Verdicts(verdicts=(None,)))


@pytest.fixture
async def client(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    """The gateway's routes, of which each only says that its handler was reached."""

    async def reached(_: Request) -> Response:
        return Response(status_code=299)

    for route in ROUTES:
        assert isinstance(route.app, _Handled)
        monkeypatch.setattr(route.app, "_handler", reached)
    sessions = Sessions(60.0)
    for role in Role:
        known(sessions, role, role)
    for bot, scopes in BOTS.items():
        known(sessions, bot, "trader", scopes=scopes)
    known(sessions, "bot-operator", "operator", scopes=tuple(Scope))
    known(sessions, "expired", "operator", lives_s=-1)
    known(sessions, "revoked", "operator")
    sessions.end("session revoked")
    sealing = SimpleNamespace(seal=lambda _: None)
    pseudonyms = Pseudonyms(b"k" * 32)
    today = datetime.now(UTC).date()
    pseudonyms.take({today: b"d" * 32, today + timedelta(days=1): b"n" * 32})
    app.state.services = SimpleNamespace(
        auth=Auth(cast("Any", Nobody()), cast("Any", sealing), sessions),
        settings=Settings(),
        pseudonyms=pseudonyms,
        audit=Told(),
    )
    monkeypatch.setattr("gateway.questions.Validate", lambda **_: None)
    transport = httpx.ASGITransport(app, client=("203.0.113.7", 1), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as asking:
        yield asking


async def answered(client: httpx.AsyncClient, method: str, path: str, who: str) -> httpx.Response:
    headers = {} if who == "anonymous" else {"Authorization": f"Bearer {who}"}
    filled = path.replace("{", "").replace("}", "")
    return await client.request(method, filled, headers=headers)


def test_every_route_is_in_the_table_and_nothing_else() -> None:
    assert set(CALLS) == set(ACCESS)
    assert len(CALLS) > 30


def test_the_page_has_the_table() -> None:
    assert table() in (Path(__file__).parents[3] / "docs" / "roles.md").read_text()


@pytest.mark.parametrize(("method", "path"), CALLS, ids=" ".join)
async def test_each_role_gets_where_it_may_and_nowhere_else(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    allowed = expected(path)
    for who in ("anonymous", *Role, *DEAD):
        answer = await answered(client, method, path, who)
        if who in allowed:
            assert answer.status_code == 299, who
        else:
            is_known = who in set(Role)
            assert answer.status_code == (403 if is_known else 401), who
            assert answer.json()["code"] == ("role-not-allowed" if is_known else "invalid-token")


@pytest.mark.parametrize(("method", "path"), CALLS, ids=" ".join)
async def test_an_api_key_gets_where_its_scopes_lead_and_nowhere_else(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    allowed, scope = expected(path), expected_scope(method, path)
    for bot, scopes in BOTS.items():
        answer = await answered(client, method, path, bot)
        if "anonymous" in allowed or scope in scopes:
            assert answer.status_code == 299, bot
        else:
            is_traders = Role.TRADER in allowed
            assert answer.status_code == 403, bot
            assert answer.json()["code"] == (
                "scope-not-granted" if is_traders else "role-not-allowed"
            )
    as_operator = await answered(client, method, path, "bot-operator")
    assert as_operator.status_code == (299 if "anonymous" in allowed else 403)


def test_the_document_says_what_opens_each_call_to_api_keys() -> None:
    for path, calls in document()["paths"].items():
        for method, call in calls.items():
            opened = [each["api_key"] for each in call["security"] if "api_key" in each]
            scope = expected_scope(method.upper(), path)
            assert opened == ([] if scope is None else [[scope]]), (method, path)
            assert ("403" in call["responses"]) >= bool(call["security"])
    schemes = document()["components"]["securitySchemes"]
    assert {each["scheme"] for each in schemes.values()} == {"bearer"}
    assert set(schemes) == {"token", "api_key"}


async def test_a_refused_scope_is_told_with_the_key_and_counted(client: httpx.AsyncClient) -> None:
    counter = metrics.UNAUTHORISED.labels("scope")
    before = counter._value.get()
    for method, path in (
        ("POST", "/api/v1/balance/withdraw"),
        ("DELETE", "/api/v1/auth/api-keys/x"),
    ):
        await answered(client, method, path, "bot-read")
    withdrawal, deletion = app.state.services.audit.events
    assert withdrawal.happened is Happened.SCOPE_REFUSED
    assert (withdrawal.user, withdrawal.api_key) == ("hmac bot-read", "session bot-read")
    assert (withdrawal.call, withdrawal.detail) == ("POST /api/v1/balance/withdraw", "withdraw")
    assert deletion.detail == "none"
    assert counter._value.get() == before + 2


async def test_a_refused_role_is_told_with_pseudonyms_and_counted(
    client: httpx.AsyncClient,
) -> None:
    counter = metrics.UNAUTHORISED.labels("role")
    before = counter._value.get()
    await client.post(
        "/api/v1/ops/users/somebody/lock",
        headers={"Authorization": "Bearer trader", "X-Request-ID": "r1"},
    )
    (event,) = app.state.services.audit.events
    assert event.happened is Happened.ROLE_REFUSED
    assert (event.user, event.request_id, event.detail) == ("hmac trader", "r1", "trader")
    assert event.call == "POST /api/v1/ops/users/{username}/lock"
    assert event.api_key is None
    assert len(event.address or "") == 32
    assert "203.0.113" not in str(event)
    assert counter._value.get() == before + 1


async def test_a_refusal_is_told_without_an_address_while_the_days_key_is_not_known(
    client: httpx.AsyncClient,
) -> None:
    app.state.services.pseudonyms.take({})
    headers = {"Authorization": "Bearer trader"}
    answer = await client.post("/api/v1/ops/users/somebody/lock", headers=headers)
    assert answer.status_code == 403
    (event,) = app.state.services.audit.events
    assert (event.user, event.address) == ("hmac trader", None)


async def test_a_request_without_a_good_token_is_counted(client: httpx.AsyncClient) -> None:
    counter = metrics.UNAUTHORISED.labels("token")
    before = counter._value.get()
    await answered(client, "GET", "/api/v1/balance", "anonymous")
    await answered(client, "GET", "/api/v1/balance", "revoked")
    assert counter._value.get() == before + 2


@pytest.mark.parametrize("name", ["X-Source", "X-Auth-Service", "X-User-ID", "X-User-Role"])
async def test_what_a_request_says_of_itself_opens_nothing(
    client: httpx.AsyncClient, name: str
) -> None:
    for value in ("gateway", "auth-service", "operators", "operator", "user operator"):
        path, forged = "/api/v1/ops/markets/BTC-USD/halt", {name: value}
        assert (await client.post(path, headers=forged)).status_code == 401
        as_trader = forged | {"Authorization": "Bearer trader"}
        assert (await client.post(path, headers=as_trader)).status_code == 403
