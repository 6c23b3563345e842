"""What uvicorn's parser refuses, and what is too large, too slow or too many, ends in a problem."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import ValidationError
from uvicorn.server import ServerState

from gateway.problems import KINDS
from runtime.http_protocol import (
    HEAD_BYTES_MAX,
    LINGER_S,
    REFUSALS,
    REQUEST_BYTES_MAX,
    UNREAD_S_MAX,
    Bounds,
    Protocol,
    sweep,
)
from runtime.http_server import _config
from runtime.security.proxies import Proxies
from runtime.settings import Settings

ADDRESS = "192.0.2.7"


class Wire(asyncio.Transport):
    """A connection that keeps what is written to it; `is_closed` is our side's end."""

    def __init__(self, address: str = ADDRESS) -> None:
        super().__init__({"peername": (address, 4711)})
        self.written = b""
        self.is_closed = False
        self.is_aborted = False
        self._is_closing = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = self._is_closing = True

    def abort(self) -> None:
        self.is_aborted = self._is_closing = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self._is_closing

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError


async def patient(_scope: Any, receive: Any, send: Any) -> None:
    """Read the whole request before answering."""
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


@pytest.fixture(autouse=True)
def bounds() -> Iterator[None]:
    before = Protocol.bounds
    yield
    Protocol.bounds = before
    Protocol._open.clear()


def connected(app: Any = nothing, address: str = ADDRESS) -> tuple[Protocol, Wire]:
    config = uvicorn.Config(app, http=Protocol, lifespan="off", log_config=None)
    protocol, wire = Protocol(config, ServerState(), {}), Wire(address)
    protocol.connection_made(wire)
    return protocol, wire


def code_of(wire: Wire) -> str:
    """The code of the one problem that was written, which has all its members."""
    head, _, body = wire.written.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ") for line in lines)
    problem = json.loads(body)
    assert status.startswith(f"HTTP/1.1 {problem['status']} ")
    assert headers["content-type"] == "application/problem+json"
    assert headers["x-content-type-options"] == "nosniff"
    assert int(headers["content-length"]) == len(body)
    assert problem["type"].endswith(f"/errors/{problem['code']}")
    assert problem["request_id"] == headers["x-request-id"]
    assert ("retry-after" in headers) == (problem["status"] == 429)
    assert wire.is_closed
    return problem["code"]


@pytest.mark.parametrize(
    "sent",
    [
        b"FOO / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"\x16\x03\x01\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_problem(sent: bytes) -> None:
    protocol, wire = connected()
    protocol.data_received(sent)
    assert code_of(wire) == "bad-request"


CHUNKED = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        b"transfer-encoding: gzip, chunked",
        b"transfer-encoding: identity, chunked",
        b"transfer-encoding: identity",
        b"transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked\r\ncontent-length: 4",
        b"content-length: 4\r\ncontent-length: 5",
        b"host: b",
    ],
)
async def test_a_head_that_others_may_read_otherwise_is_refused(lines: bytes) -> None:
    protocol, wire = connected(patient)
    protocol.data_received(b"POST / HTTP/1.1\r\nhost: a\r\n" + lines + b"\r\n\r\n0\r\n\r\n")
    assert code_of(wire) == "bad-request"


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n",
    ],
    ids=["0.9", "2.0", "1.0 in chunks"],
)
async def test_what_its_version_of_http_does_not_have_is_refused(sent: bytes) -> None:
    protocol, wire = connected(patient)
    protocol.data_received(sent)
    assert code_of(wire) == "bad-request"


async def test_a_trailer_is_no_header() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await patient(scope, receive, send)
        seen.extend(name for name, _ in scope["headers"])

    protocol, wire = connected(app)
    protocol.data_received(CHUNKED + b"1\r\nx\r\n0\r\nauthorization: Bearer x\r\n\r\n")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert wire.written.startswith(b"HTTP/1.1 204")
    assert seen == [b"host", b"transfer-encoding"]


@pytest.mark.parametrize("framing", [b"0\r\n" + b"a: b\r\n" * 5_000, b"1;" + b"a" * 30_000])
@pytest.mark.parametrize("is_answered", [True, False])
async def test_framing_without_end_is_cut_off(framing: bytes, *, is_answered: bool) -> None:
    async def hasty(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 401, "headers": []})
        await send({"type": "http.response.body"})

    protocol, wire = connected(hasty if is_answered else patient)
    protocol.data_received(CHUNKED)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    answered, wire.written = wire.written, b""
    protocol.data_received(framing)
    sent = len(framing)
    while not wire.is_closed:
        more = framing.removeprefix(b"0\r\n").removeprefix(b"1;")
        protocol.data_received(more)
        sent += len(more)
        assert sent < 2 * REQUEST_BYTES_MAX
    if is_answered:  # nobody takes a second answer for that of the next request
        assert answered.startswith(b"HTTP/1.1 401")
        assert wire.written == b""
    else:
        assert code_of(wire) == "body-too-large"
    protocol.connection_lost(None)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\na: " + b"b" * HEAD_BYTES_MAX,
        b"GET / HTTP/1.1\r\na: " + b"b" * HEAD_BYTES_MAX + b"\r\n\r\n",
        b"GET /" + b"b" * HEAD_BYTES_MAX + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 101 + b"\r\n",
    ],
    ids=["unfinished", "whole", "path", "many"],
)
@pytest.mark.parametrize("piece_bytes", [1_000, 100_000])
async def test_a_head_that_is_too_large_is_refused(sent: bytes, piece_bytes: int) -> None:
    protocol, wire = connected()
    for start in range(0, len(sent), piece_bytes):
        protocol.data_received(sent[start : start + piece_bytes])
    assert code_of(wire) == "headers-too-large"


async def test_large_bodies_and_many_requests_are_no_large_heads() -> None:
    protocol, wire = connected(patient)
    body = b"x" * 50_000
    request = b"POST / HTTP/1.1\r\ncontent-length: 50000\r\n\r\n" + body
    for _ in range(3):
        wire.written = b""
        protocol.data_received(request)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert wire.written.startswith(b"HTTP/1.1 204")
    assert not wire.is_closed


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\na: b\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 9\r\n\r\nx",
    ],
    ids=["silence", "request line", "headers", "body"],
)
async def test_a_request_that_does_not_arrive_in_time_is_given_up(sent: bytes) -> None:
    Protocol.bounds = Bounds(arrival_s=10)
    protocol, wire = connected(patient)
    protocol.data_received(sent)
    await asyncio.sleep(0)
    now_s = asyncio.get_running_loop().time()
    sweep([protocol], now_s + 9)
    assert not wire.is_closed
    sweep([protocol], now_s + 11)
    assert code_of(wire) == "request-timeout"
    protocol.connection_lost(None)


async def test_drops_of_a_request_do_not_buy_time() -> None:
    protocol, wire = connected()
    now_s = asyncio.get_running_loop().time()
    for second in range(10):
        protocol.data_received(b"GET / HTTP/1.1\r\n"[second : second + 1])
        sweep([protocol], now_s + second)
    sweep([protocol], now_s + 11)
    assert code_of(wire) == "request-timeout"


async def test_who_waits_for_an_answer_or_between_requests_is_left_alone() -> None:
    protocol, wire = connected(patient)
    protocol.data_received(b"GET / HTTP/1.1\r\n\r\n")
    sweep([protocol], asyncio.get_running_loop().time() + 100)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert wire.written.startswith(b"HTTP/1.1 204")
    sweep([protocol], asyncio.get_running_loop().time() + 100)
    assert not wire.is_closed


async def test_what_a_refused_client_still_sends_resets_nothing_for_a_moment() -> None:
    protocol, wire = connected()
    now_s = asyncio.get_running_loop().time()
    protocol.data_received(b"FOO / HTTP/1.1\r\n\r\n")
    protocol.data_received(b"more")
    sweep([protocol], now_s + LINGER_S - 1)
    assert not wire.is_closing()
    assert code_of(wire) == "bad-request"
    sweep([protocol], now_s + LINGER_S + 1)
    assert wire.is_aborted


async def test_a_handler_that_waits_for_a_body_learns_that_its_client_was_refused() -> None:
    received: asyncio.Queue[str] = asyncio.Queue()

    async def waiting(_scope: Any, receive: Any, send: Any) -> None:
        received.put_nowait((await receive())["type"])
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    protocol, wire = connected(waiting)
    now_s = asyncio.get_running_loop().time()
    protocol.data_received(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n")
    await asyncio.sleep(0)
    sweep([protocol], now_s + protocol.bounds.arrival_s + 1)
    assert await asyncio.wait_for(received.get(), 1) == "http.disconnect"
    await asyncio.sleep(0)
    assert code_of(wire) == "request-timeout"


async def test_who_does_not_read_is_cut_off() -> None:
    protocol, wire = connected(patient)
    protocol.pause_writing()
    now_s = asyncio.get_running_loop().time()
    sweep([protocol], now_s)
    sweep([protocol], now_s + UNREAD_S_MAX - 1)
    assert not wire.is_aborted
    sweep([protocol], now_s + UNREAD_S_MAX + 1)
    assert wire.is_aborted


async def test_an_address_has_so_many_connections_and_gets_them_back() -> None:
    Protocol.bounds = Bounds(connections=2)
    first, _ = connected()
    _, second = connected()
    beyond, refused = connected()
    assert code_of(refused) == "rate-limited"
    assert not second.is_closed
    assert not connected(address="192.0.2.8")[1].is_closed
    for each in (first, beyond):
        each.connection_lost(None)
    assert not connected()[1].is_closed
    assert connected()[1].is_closed


async def test_trusted_proxies_have_as_many_as_they_like() -> None:
    Protocol.bounds = Bounds(connections=1, free=Proxies(ADDRESS))
    assert not any(connected()[1].is_closed for _ in range(5))


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: each.code)
def test_refusals_are_as_the_table_of_problems_says(refusal: Any) -> None:
    assert KINDS[refusal.code][:2] == (int(refusal.status[:3]), refusal.title)


def test_the_server_takes_its_bounds_from_the_settings(tmp_path: Path) -> None:
    settings = Settings(
        profile="standard",
        trusted_proxies="10.0.0.1, 10.0.0.2",
        request_arrival_s=3,
        tls_certificate_file=tmp_path / "chain.pem",
        tls_key_file=tmp_path / "key.pem",
    )
    config = _config(settings)
    assert Protocol.bounds[:2] == (3, 256)
    assert "10.0.0.2" in Protocol.bounds.free
    assert config.is_ssl
    assert not _config(Settings(profile="test")).is_ssl
    assert Protocol.bounds.connections is None


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ValidationError, match="CNOP_TLS_KEY_FILE"):
        Settings(tls_certificate_file=Path("chain.pem"))
