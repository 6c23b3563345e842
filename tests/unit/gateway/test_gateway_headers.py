"""Every answer tells browsers what not to do with it; only named origins read answers."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.app import app
from gateway.edge import Edge
from gateway.headers import Origins
from runtime.breaker import BreakerOpen
from runtime.errors import Unavailable

ORIGIN = "https://trade.example"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}


def client_of(application: Any, scheme: str = "http") -> httpx.AsyncClient:
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=f"{scheme}://gateway")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def shared() -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(_inside(Edge(app.router, Origins(f"{ORIGIN}/, https://b.example")))) as it:
        yield it


def _inside(edge: Edge) -> Any:
    async def run(scope: Any, receive: Any, send: Any) -> None:
        await edge(scope | {"app": app}, receive, send)

    return run


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health/live"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/nope"),
        ("PATCH", "/health/live"),
        ("POST", "/api/v1/auth/login"),
        ("GET", "/api/v1/markets/BTC"),
    ],
)
async def test_every_answer_has_the_security_headers(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    headers = (await client.request(method, path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    policies = headers.get_list("content-security-policy")
    assert len(policies) == 1
    assert "default-src 'none'" in policies[0]
    assert "frame-ancestors 'none'" in policies[0]
    assert "strict-transport-security" not in headers
    assert "server" not in headers


async def test_over_tls_browsers_are_told_to_stay_there() -> None:
    async with client_of(app, "https") as client:
        headers = (await client.get("/health/live")).headers
    assert headers["strict-transport-security"].startswith("max-age=31536000")


@pytest.mark.parametrize(
    ("path", "is_private"),
    [
        ("/api/v1/balance", True),
        ("/api/v1/auth/profile", True),
        ("/api/v1/commands/x", True),
        ("/health/live", True),
        ("/openapi.json", False),
        ("/docs", False),
        ("/api/v1/markets/BTC", False),
    ],
)
async def test_what_is_not_for_everybody_is_not_stored(
    client: httpx.AsyncClient, path: str, *, is_private: bool
) -> None:
    answer = await client.get(path)
    assert answer.headers.get_list("cache-control") == (["no-store"] if is_private else [])


async def test_the_docs_page_may_use_its_own_style_and_nothing_else(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get("/docs")
    (style,) = re.findall("<style>(.*?)</style>", answer.text)
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{hashed}'" in answer.headers["content-security-policy"]
    assert "script" not in answer.text


async def test_no_other_origin_is_let_in_unless_it_is_named(
    client: httpx.AsyncClient, shared: httpx.AsyncClient
) -> None:
    for asked, origin in ((client, ORIGIN), (shared, "https://evil.example"), (shared, "null")):
        for answer in (
            await asked.get("/health/live", headers={"Origin": origin}),
            await asked.options("/api/v1/orders", headers={**PREFLIGHT, "Origin": origin}),
        ):
            assert not [each for each in answer.headers if each.startswith("access-control")]
        assert answer.status_code == 405


async def test_a_named_origin_reads_answers_and_problems(shared: httpx.AsyncClient) -> None:
    for path, status in (("/health/live", 200), ("/nope", 404)):
        answer = await shared.get(path, headers={"Origin": ORIGIN})
        assert answer.status_code == status
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert "RateLimit" in answer.headers["access-control-expose-headers"]
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["vary"] == "Origin"


async def test_a_named_origin_may_ask_before_it_sends(shared: httpx.AsyncClient) -> None:
    answer = await shared.options("/api/v1/orders", headers=PREFLIGHT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "PATCH" in answer.headers["access-control-allow-methods"]
    assert "Authorization" in answer.headers["access-control-allow-headers"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize(
    ("error", "retry_after"),
    [
        (BreakerOpen("dynamodb", 1.2), "2"),
        (BreakerOpen("dynamodb", 0), "1"),
        (Unavailable(""), "1"),
    ],
)
async def test_behind_an_open_breaker_a_503_says_when_to_come_back(
    error: Exception, retry_after: str
) -> None:
    async def refusing(_scope: Any, _receive: Any, _send: Any) -> None:
        raise error

    async with client_of(_inside(Edge(refusing, Origins("")))) as client:
        answer = await client.get("/api/v1/balance")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == retry_after
