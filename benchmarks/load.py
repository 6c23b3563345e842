"""A closed-loop load generator: so many keep-alive connections, each with one request at a time.

It runs in a process of its own and costs some 40 us a request.
"""

import asyncio
import json
from collections import deque
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Final, NamedTuple

import httptools
import msgspec

from benchmarks.measure import percentile

FILLED: Final = "FILLED"
_CREATED: Final = 201
_ACCEPTED: Final = 202
_UNPROCESSABLE: Final = 422
_ANSWER_S_MAX: Final = 10.0


class Trader(NamedTuple):
    """Somebody with money: a token, and one request each to buy and to sell the same."""

    buy: bytes
    sell: bytes


class Load(NamedTuple):
    """What came back: latencies in ms of every answer, and how many of each kind.

    `unfilled` were accepted and did not trade, `refused` are 422, `pending` 202; `errors` are all
    other answers, broken connections and silence. What was answered after the `seconds` were over
    has its latency here and is not counted as filled or unfilled: answering late gains nothing.
    """

    connections: int
    seconds: float
    latencies_ms: Sequence[float]
    filled: int
    unfilled: int
    refused: int
    pending: int
    errors: int

    @property
    def rate(self) -> float:
        """Filled orders per second; of an echo, answers."""
        return self.filled / self.seconds

    def and_then(self, later: "Load") -> "Load":
        """Both as if they were one."""
        return Load(
            self.connections,
            self.seconds + later.seconds,
            [*self.latencies_ms, *later.latencies_ms],
            *(mine + other for mine, other in zip(self[3:], later[3:], strict=True)),
        )

    def latency_ms(self, share: float) -> float:
        """This percentile."""
        return percentile(self.latencies_ms, share)


async def run(
    port: int, traders: Sequence[Trader], *, connections: int, seconds: float, is_echo: bool
) -> Load:
    """Let the connections trade for that long: each account buys, and sells when it has bought."""
    loop = asyncio.get_running_loop()
    ends = perf_counter() + seconds
    tally = _Tally(ends, is_echo=is_echo)
    opened: list[_Connection] = []
    for n in range(connections):
        own = deque(
            _Account(each) for each in traders[n::connections] or [traders[n % len(traders)]]
        )
        _, connection = await loop.create_connection(
            lambda own=own: _Connection(own, tally, ends), "127.0.0.1", port
        )
        opened.append(connection)
    done, late = await asyncio.wait(
        [each.closed for each in opened], timeout=seconds + _ANSWER_S_MAX
    )
    tally.errors += len(late) + sum(not each.result() for each in done)
    return tally.load(connections, seconds)


class _Account:
    __slots__ = ("holds", "trader")

    def __init__(self, trader: Trader) -> None:
        self.trader = trader
        self.holds = False

    @property
    def request(self) -> bytes:
        return self.trader.sell if self.holds else self.trader.buy


class _Tally:
    def __init__(self, ends: float, *, is_echo: bool) -> None:
        self.ends = ends
        self.is_echo = is_echo
        self.latencies_ms: list[float] = []
        self.filled = self.unfilled = self.refused = self.pending = self.errors = 0

    def add(self, status: int, body: bytes, *, sent: float) -> bool:
        """Count an answer; whether it was a filled order."""
        now = perf_counter()
        self.latencies_ms.append((now - sent) * 1000)
        if status == _CREATED:
            is_filled = self.is_echo or msgspec.json.decode(body)["data"]["status"] == FILLED
            if now <= self.ends:
                self.filled += is_filled
                self.unfilled += not is_filled
            return is_filled
        if status == _UNPROCESSABLE:
            self.refused += 1
        elif status == _ACCEPTED:
            self.pending += 1
        else:
            self.errors += 1
        return False

    def load(self, connections: int, seconds: float) -> Load:
        return Load(
            connections,
            seconds,
            self.latencies_ms,
            self.filled,
            self.unfilled,
            self.refused,
            self.pending,
            self.errors,
        )


class _Connection(asyncio.Protocol):
    """One connection; `closed` says whether it ended between two requests."""

    def __init__(self, accounts: deque[_Account], tally: _Tally, ends: float) -> None:
        self.closed: Final = asyncio.get_running_loop().create_future()
        self._accounts = accounts
        self._tally = tally
        self._ends = ends
        self._sent = 0.0
        self._body: list[bytes] = []
        self._waits = False

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401  # asyncio's
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(not self._waits)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        account = self._accounts[0]
        status = self._parser.get_status_code()
        if self._tally.add(status, b"".join(self._body), sent=self._sent):
            account.holds = not account.holds
        self._waits = False
        self._accounts.rotate(-1)
        self._ask()

    def _ask(self) -> None:
        self._sent = perf_counter()
        if self._sent >= self._ends:
            self._transport.close()
            return
        self._waits = True
        self._body = []
        self._parser = httptools.HttpResponseParser(self)
        self._transport.write(self._accounts[0].request)


def order_request(token: str, asset: str, quantity: str, side: str) -> bytes:
    """A market order as it goes over the wire."""
    order = {"asset_id": asset, "order_type": f"market_{side}", "quantity": quantity}
    body = json.dumps(order).encode()
    head = (
        "POST /api/v1/orders HTTP/1.1\r\n"
        "Host: 127.0.0.1\r\n"
        f"Authorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
