import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from runtime.devstack.ports import LOOPBACK, free_port
from runtime.devstack.probe import status_of


class Busy(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()

    def log_message(self, *_args: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    with HTTPServer((LOOPBACK, 0), Busy) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield f"http://{LOOPBACK}:{server.server_port}/health"
        server.shutdown()
        serving.join()


def test_a_refusal_is_an_answer(url: str) -> None:
    assert status_of(url) == 503


def test_where_nobody_listens_there_is_no_status() -> None:
    assert status_of(f"http://{LOOPBACK}:{free_port()}/") is None
