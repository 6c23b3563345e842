"""HTTP/1.1 as uvicorn reads it, with bounds on what a client may send and how long it may take.

What ends before it is a request is answered as every other failure is: with a problem.
"""

import asyncio
import json
import secrets
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from runtime import metrics
from runtime.security.headers import SECURITY_HEADERS
from runtime.security.proxies import Proxies

HEAD_BYTES_MAX: Final = 16 * 1024
"""Request line and headers; an access token of 4 KiB fits."""
HEADERS_MAX: Final = 100
VERSIONS: Final = ("1.0", "1.1")
"""The parser reads others too: HTTP/0.9 has no headers, and 2.0 is another protocol."""
REQUEST_BYTES_MAX: Final = 1024 * 1024
"""A request with its framing: sizes and extensions of chunks, and trailers."""
CONNECTIONS_MAX: Final = 10_000
"""Of one gateway process."""
UNREAD_S_MAX: Final = 30.0
"""How long a client may leave an answer unread."""
LINGER_S: Final = 2.0
"""How long what a refused client still sends is taken and thrown away (RFC 9112, 9.6)."""


class Bounds(NamedTuple):
    """What one client may take; `free` are addresses with as many connections as they like."""

    arrival_s: float = 10.0
    connections: int | None = None
    free: Proxies = Proxies("")


class Refusal(NamedTuple):
    """An answer to what is no request."""

    status: str
    code: str
    title: str
    detail: str


BAD: Final = Refusal(
    "400 Bad Request", "bad-request", "Bad request", "Invalid HTTP request received."
)
TOO_LARGE: Final = Refusal(
    "431 Request Header Fields Too Large",
    "headers-too-large",
    "Headers too large",
    "The request line and headers are over 16 KiB or 100 headers.",
)
TOO_LONG: Final = Refusal(
    "413 Content Too Large", "body-too-large", "Body too large", "The body is over 64 KiB."
)
TOO_SLOW: Final = Refusal(
    "408 Request Timeout",
    "request-timeout",
    "Request timeout",
    "The request did not arrive whole in time.",
)
TOO_MANY: Final = Refusal(
    "429 Too Many Requests",
    "rate-limited",
    "Too many requests",
    "Too many connections from this address.",
)
REFUSALS: Final = (BAD, TOO_LARGE, TOO_LONG, TOO_SLOW, TOO_MANY)


class Protocol(HttpToolsProtocol):
    """One connection. `sweep` looks after the time of all, so that no request needs a timer."""

    bounds = Bounds()
    _open: Final[Counter[str]] = Counter()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._refusal = BAD
        self._is_head = True
        self._head_bytes = 0
        self._request_bytes = 0
        self._arriving_since_s: float | None = None
        self._unread_since_s: float | None = None
        self._refused_s: float | None = None
        self._counted: str | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]  # as the base does
        """Take a connection, unless its address or everybody has too many."""
        super().connection_made(transport)
        self._arriving_since_s = self.loop.time()
        address = self.client[0] if self.client else ""
        bounds = self.bounds
        if bounds.connections is None:
            return
        if address not in bounds.free:
            self._counted = address
            self._open[address] += 1
            if self._open[address] > bounds.connections:
                self.refuse(TOO_MANY)
                return
        if len(self.connections) > CONNECTIONS_MAX:
            self.refuse(TOO_MANY)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the connection's place back."""
        super().connection_lost(exc)
        if self._counted is not None:
            self._open[self._counted] -= 1
            if not self._open[self._counted]:
                del self._open[self._counted]
            self._counted = None

    def data_received(self, data: bytes) -> None:
        """Parse what came; a head that goes on for too long is refused before it is whole."""
        if self._is_refused():
            return
        if self._is_head:
            self._head_bytes += len(data)
        self._request_bytes += len(data)
        super().data_received(data)
        if self._is_head and self._head_bytes > HEAD_BYTES_MAX:
            self.refuse(TOO_LARGE)
        elif self._request_bytes > REQUEST_BYTES_MAX:
            self.refuse(TOO_LONG)

    def on_message_begin(self) -> None:
        """A request starts."""
        self._is_head = True
        self._request_bytes = 0
        self._arriving_since_s = self.loop.time()
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is none, and proxies have not looked at it (RFC 9110, 6.5.1).

        Raises:
            ValueError: there are too many already; none after it is looked at.
        """
        if not self._is_head:
            return
        super().on_header(name, value)
        if len(self.headers) > HEADERS_MAX:
            self._refusal = TOO_LARGE
            raise ValueError(TOO_LARGE.detail)

    def on_headers_complete(self) -> None:
        """The head is whole.

        Raises:
            ValueError: it is too large, or of no version that we speak, or others could read it
                otherwise; the parser stops and `send_400_response` follows.
        """
        if self._version() not in VERSIONS:
            raise ValueError(BAD.detail)
        if self._is_too_large():
            self._refusal = TOO_LARGE
            raise ValueError(TOO_LARGE.detail)
        if self._is_ambiguous():
            raise ValueError(BAD.detail)
        self._is_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._arriving_since_s = None
        self._request_bytes = 0
        self._is_head = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # the problem says it
        """Answer what the parser refused."""
        self.refuse(self._refusal)

    def refuse(self, refusal: Refusal) -> None:
        """Answer without a request, unless an answer is under way, and hang up.

        The client's side stays open for a moment: a byte that crosses the answer would be met by a
        reset, and a reset overtakes the answer.
        """
        if self._is_refused():
            return
        metrics.CONNECTIONS_REFUSED.labels(refusal.code).inc()
        cycle: Any = self.cycle  # None before the first request
        is_answering = self._is_answering()
        if not is_answering:
            self.transport.write(_answer(refusal))
        is_under_way = is_answering and not cycle.response_complete
        if refusal is TOO_MANY or is_under_way or not self.transport.can_write_eof():
            self.transport.close()
            return
        self._refused_s = self.loop.time()
        self._disconnect()
        self.transport.write_eof()

    def late(self, now_s: float) -> None:
        """Hang up on a client that is too slow to ask or to read, or that was refused."""
        if self._refused_s is not None:
            if now_s - self._refused_s > LINGER_S:
                self.transport.abort()
            return
        if self.flow.write_paused or self.transport.is_closing():
            self._unread_since_s = self._unread_since_s or now_s
            if now_s - self._unread_since_s > UNREAD_S_MAX:
                metrics.CONNECTIONS_REFUSED.labels("unread").inc()
                self.transport.abort()
            return
        self._unread_since_s = None
        since_s = self._arriving_since_s
        if since_s is None or self.flow.read_paused:
            return  # nothing is due from the client
        if now_s - since_s > self.bounds.arrival_s:
            self.refuse(TOO_SLOW)

    def _disconnect(self) -> None:
        """Tell the application, where it waits for the rest of a request, that there is none."""
        cycle: Any = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()

    def _is_refused(self) -> bool:
        return self._refused_s is not None or self.transport.is_closing()

    def _is_answering(self) -> bool:
        """Whether an answer is on its way to the client, or was given before the request's end."""
        cycle: Any = self.cycle  # None before the first request
        if cycle is None or not cycle.response_started:
            return False
        return not (self._is_head and cycle.response_complete)

    def _version(self) -> str:
        parser: Any = self.parser  # None once the connection is gone
        return parser.get_http_version()

    def _is_ambiguous(self) -> bool:
        """Whether a proxy may see another end or host in this head (RFC 9112, 11.2)."""
        hosts = sum(name == b"host" for name, _ in self.headers)
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if hosts > 1:
            return True
        is_old = self._version() == "1.0"
        return bool(codings) and (is_old or codings != [b"chunked"])

    def _is_too_large(self) -> bool:
        if self._head_bytes <= HEAD_BYTES_MAX:
            return False
        size_bytes = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        return size_bytes > HEAD_BYTES_MAX


def sweep(connections: Iterable[object], now_s: float) -> None:
    """Look after the time of all connections; `now_s` is the loop's."""
    for each in tuple(connections):
        if isinstance(each, Protocol):
            each.late(now_s)


def _answer(refusal: Refusal) -> bytes:
    request_id = secrets.token_hex(16)
    problem = {
        "type": f"https://cnop.dev/errors/{refusal.code}",
        "title": refusal.title,
        "status": int(refusal.status[:3]),
        "detail": refusal.detail,
        "code": refusal.code,
        "request_id": request_id,
    }
    body = json.dumps(problem).encode()
    own = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),
    ]
    if refusal.status.startswith("429"):
        own.append((b"retry-after", b"1"))
    lines = [b"%s: %s" % each for each in (*own, *SECURITY_HEADERS)]
    return b"\r\n".join([f"HTTP/1.1 {refusal.status}".encode(), *lines, b"", body])
