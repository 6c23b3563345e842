"""What uvicorn's parser refuses is answered like everything else that is refused."""

import asyncio
import json
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from runtime.http_server import _Protocol


class Wire(asyncio.Transport):
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def close(self) -> None:
        self.is_closed = True


async def nothing(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError


@pytest.mark.parametrize(
    "sent", [b"FOO / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n", b"\x16\x03\x01\r\n"]
)
async def test_what_is_no_http_is_a_problem(sent: bytes) -> None:
    config = uvicorn.Config(nothing, http=_Protocol, lifespan="off", log_config=None)
    protocol = _Protocol(config, ServerState(), {})
    wire = Wire()
    protocol.connection_made(wire)
    protocol.data_received(sent)
    head, _, body = wire.written.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.split(": ") for line in lines)
    problem = json.loads(body)
    assert status == "HTTP/1.1 400 Bad Request"
    assert headers["content-type"] == "application/problem+json"
    assert int(headers["content-length"]) == len(body)
    assert (problem["status"], problem["code"]) == (400, "bad-request")
    assert problem["type"].endswith("/errors/bad-request")
    assert problem["request_id"] == headers["x-request-id"]
    assert wire.is_closed
