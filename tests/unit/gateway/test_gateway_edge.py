"""Real requests to the application, as far as they get without Kafka."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from gateway.app import ROUTES, app
from gateway.auth import Auth
from gateway.bodies import BODY_BYTES_MAX
from gateway.calls import CALLS
from gateway.sessions import Sessions

LOGIN = "/api/v1/auth/login"
REGISTER = "/api/v1/auth/register"
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        yield client


def code_of(answer: httpx.Response) -> str:
    """The code of a problem, which has all its members."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["type"].endswith(body["code"])
    assert body["title"]
    assert body["detail"]
    return body["code"]


@pytest.mark.parametrize(
    "path", ["/", "/nope", "/api/v1", "/api/v1/", "/api/v2/orders", "/health/"]
)
async def test_unknown_paths_are_not_found(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert (answer.status_code, code_of(answer)) == (404, "not-found")


@pytest.mark.parametrize(
    "path",
    [
        *("/api/v1/balance%0a", "/api/v1/time%0A", "/api%2fv1%2Ftime", "/docs%5c", "/health%0a"),
        *("/api/v1/markets/BTC-USD%2fbook", "/api/v1/ops/users/x%2f..%2fy/lock"),
    ],
)
async def test_a_path_that_hides_separators_or_an_end_of_line_is_not_found(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(path)
    assert (answer.status_code, code_of(answer)) == (404, "not-found")


async def test_other_methods_are_named(client: httpx.AsyncClient) -> None:
    answer = await client.patch(LOGIN)
    assert (answer.status_code, code_of(answer)) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "POST"
    both = await client.patch("/api/v1/orders")
    assert set(both.headers["allow"].split(", ")) == {"DELETE", "GET", "HEAD", "POST"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"nope", b"\xff\xfe", b'{"a":NaN}', b"[" * 60_000, b'{"a":"\\ud800"}', b"{}{}"],
)
async def test_what_is_not_json_is_a_400(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(LOGIN, content=body, headers=JSON)
    assert (answer.status_code, code_of(answer)) == (400, "not-json")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "json", ""])
async def test_other_content_types_are_a_415(client: httpx.AsyncClient, kind: str) -> None:
    answer = await client.post(LOGIN, content=b"{}", headers={"Content-Type": kind})
    assert (answer.status_code, code_of(answer)) == (415, "unsupported-media-type")


@pytest.mark.parametrize("kind", ["application/json; charset=utf-8", "Application/JSON", None])
async def test_json_content_types_are_read(client: httpx.AsyncClient, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = await client.post(LOGIN, content=b"{}", headers=headers)
    assert answer.status_code == 422


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "identity, gzip", "x"])
async def test_a_compressed_body_is_a_415(client: httpx.AsyncClient, coding: str) -> None:
    answer = await client.post(LOGIN, content=b"{}", headers=JSON | {"Content-Encoding": coding})
    assert (answer.status_code, code_of(answer)) == (415, "unsupported-media-type")
    plain = await client.post(LOGIN, content=b"{}", headers=JSON | {"Content-Encoding": "Identity"})
    assert plain.status_code == 422


async def test_a_body_over_64_kib_is_a_413(client: httpx.AsyncClient) -> None:
    answer = await client.post(LOGIN, content=b"x" * (BODY_BYTES_MAX + 1), headers=JSON)
    assert (answer.status_code, code_of(answer)) == (413, "body-too-large")


async def test_a_chunked_body_over_64_kib_is_a_413(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(BODY_BYTES_MAX // 1000 + 1):
            yield b" " * 1000

    answer = await client.post(LOGIN, content=chunks(), headers=JSON)
    assert (answer.status_code, code_of(answer)) == (413, "body-too-large")


@pytest.mark.parametrize("body", [b"null", b"[]", b"1", b'"x"', b"true", b"9" * 5000])
async def test_json_that_is_no_object_is_a_422(client: httpx.AsyncClient, body: bytes) -> None:
    answer = await client.post(LOGIN, content=body, headers=JSON)
    assert (answer.status_code, code_of(answer)) == (422, "validation-failed")
    assert answer.json()["errors"]


@pytest.mark.parametrize(
    ("body", "is_too_deep"),
    [
        (b'{"a":' + b"[" * 8 + b"]" * 8 + b"}", True),
        (b'{"a":' * 9 + b"1" + b"}" * 9, True),
        (b'{"a":' + b"[" * 7 + b"]" * 7 + b"}", False),
        (b'{"a":[' + b",".join([b"{}"] * 100) + b"]}", False),
    ],
)
async def test_a_body_has_8_levels_at_most(
    client: httpx.AsyncClient, body: bytes, *, is_too_deep: bool
) -> None:
    answer = await client.post(LOGIN, content=body, headers=JSON)
    assert (answer.status_code, code_of(answer)) == (422, "validation-failed")
    assert ("nested" in answer.text) == is_too_deep


async def test_a_422_names_the_fields_and_never_repeats_what_was_sent(
    client: httpx.AsyncClient,
) -> None:
    sent: dict[str, Any] = {"username": "x!secret", "password": "hunter2-secret"}
    answer = await client.post(REGISTER, json=sent)
    assert (answer.status_code, code_of(answer)) == (422, "validation-failed")
    fields = {each["field"] for each in answer.json()["errors"]}
    assert fields == {"username", "password", "email", "first_name", "last_name"}
    assert "secret" not in answer.text
    assert "Error" not in answer.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/balance"),
        ("POST", "/balance/deposit"),
        ("POST", "/balance/withdraw"),
        ("GET", "/balance/transactions"),
        ("GET", "/balance/asset/BTC"),
        ("GET", "/portfolio"),
        ("POST", "/orders"),
        ("GET", "/orders"),
        ("GET", "/orders/0123456789"),
        ("DELETE", "/orders/0123456789"),
        ("GET", "/assets/BTC/transactions"),
        ("GET", "/auth/profile"),
        ("PUT", "/auth/profile"),
        ("POST", "/auth/logout"),
    ],
)
async def test_without_a_token_nobody_gets_in(
    client: httpx.AsyncClient, method: str, path: str
) -> None:
    app.state.services = _Nobody()
    for given in (None, "Bearer", "Basic abc", "Bearer a b", "Bearer " + "x" * 5000, "Bearer \xe9"):
        headers = [] if given is None else [(b"authorization", given.encode("latin-1"))]
        answer = await client.request(method, f"/api/v1{path}", headers=headers)
        assert (answer.status_code, code_of(answer)) == (401, "invalid-token")
        assert answer.headers["www-authenticate"] == "Bearer"


class _Nobody:
    """Services of a gateway whose auth is never asked: every token here is malformed."""

    def __init__(self) -> None:
        self.auth = Auth(None, None, Sessions(5.0))  # type: ignore[arg-type]


@pytest.mark.parametrize("given", ["abc-123", "01JD.x_y:z", "a" * 64])
async def test_a_sane_request_id_comes_back(client: httpx.AsyncClient, given: str) -> None:
    answer = await client.get("/health/live", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a" * 65, "a b", "<script>", "é"])
async def test_any_other_request_id_is_replaced(client: httpx.AsyncClient, given: str) -> None:
    headers = [(b"x-request-id", given.encode())]
    answer = await client.get("/health/live", headers=headers)
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])


@pytest.mark.parametrize(
    "path",
    [
        "/inventory/assets?limit=0",
        "/inventory/assets?limit=251",
        "/inventory/assets?limit=ten",
        "/inventory/assets?limit=%EF%BC%91",
        "/inventory/assets?active_only=maybe",
        "/inventory/assets/B-T-C",
        "/inventory/assets/%00",
        "/inventory/assets/ELEVENCHARS",
        "/markets/BTC",
        "/markets/BTC_USD/trades",
        "/markets/BTC-USD/trades?limit=0",
        "/markets/BTC-USD/trades?cursor=-1",
        "/markets/BTC-USD/book?depth=101",
        "/markets/BTC-USD/candles?interval=2m",
        "/markets/BTC-USD/candles?source=me",
        "/markets/BTC-USD/candles?from=yesterday",
        "/markets/BTC-USD/candles?to=2026-01-01T00:00:00",
        "/markets/BTC-USD/candles?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z",
    ],
)
async def test_parameters_are_strict(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/api/v1{path}")
    assert (answer.status_code, code_of(answer)) == (422, "validation-failed")


async def test_a_fault_of_ours_is_a_500_without_its_cause(client: httpx.AsyncClient) -> None:
    app.state.services = None
    answer = await client.get("/api/v1/inventory/assets")
    assert (answer.status_code, code_of(answer)) == (500, "internal-error")
    assert "NoneType" not in answer.text


async def test_the_contract_is_served_to_machines_and_people(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    served = {
        (method.upper(), path) for path, calls in document["paths"].items() for method in calls
    }
    assert ("POST", "/api/v1/orders") in served
    page = await client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "src=" not in page.text


async def test_every_route_is_in_the_contract() -> None:
    routes = {
        (method, route.path)
        for route in ROUTES
        for method in route.methods or ()
        if method != "HEAD"
    }
    told = {(call.method.upper(), call.path) for call in CALLS}
    assert routes - told == {("GET", "/openapi.json"), ("GET", "/docs")}
    assert told <= routes
