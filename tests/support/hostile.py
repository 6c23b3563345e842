"""Hostile clients at fixed rates, in a process of its own: `python hostile.py '{"port": ...}'`.

Each kind of attack is due so many times a second and is sent when due, however slow the answers
are. What came back is printed as JSON: {kind: {status or "closed": count}}.
"""

import asyncio
import itertools
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final

HOST: Final = "127.0.0.1"
ANSWER_S: Final = 10.0
RATES: Final = {"malformed": 200, "sign-in": 50, "token": 50, "forged": 50, "refresh": 20}
"""Attacks per second."""
SLOW_SOCKETS: Final = 200
_DRIP_S: Final = 1.0
_STAGGER_S: Final = 5.0
"""Slow clients do not come all at one moment."""
_ADDRESSES: Final = 40

Attack = Callable[[], Awaitable[str]]


def request(method: str, path: str, body: Any = None, **headers: str) -> bytes:
    """A whole HTTP/1.1 request that asks for the connection's end."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [
        f"{method} /api/v1{path} HTTP/1.1",
        "Host: gateway",
        "Connection: close",
        f"Content-Length: {len(content)}",
        *(["Content-Type: application/json"] if content else []),
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def malformed() -> Sequence[bytes]:
    """Bytes that are no request, or one that no honest client sends."""
    deep = "[" * 5_000
    return (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  /api/v1/time\r\n\r\n",
        b"POST /api/v1/orders HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST /api/v1/orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api/v1/time HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /api/v1/time HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 4_000 + b"\r\n",
        request("POST", "/auth/login").replace(b"Content-Length: 0", b"Content-Length: 99999999"),
        request("POST", "/auth/login", {"username": deep}),
        request("POST", "/auth/login").replace(b"Content-Length: 0\r\n", b"") + f"{deep}".encode(),
        request("POST", "/auth/register", {"username": "\ud800", "password": None, "x": 1e308}),
        request("GET", "/markets/%00%ff%2e%2e/book"),
        request("DELETE", "/../../etc/passwd"),
        request("GET", "/orders?limit=99999999999999999999&offset=-1"),
    )


class Mix:
    """All attacks against one gateway; `config` has its port and what attackers got hold of."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._port: Final[int] = config["port"]
        self._victim: Final[str] = config["victim"]
        self._mutants: Final = itertools.cycle(config["mutants"])
        self._replayed: Final[str] = config["replayed"]
        self._attacker: Final[str] = config["attacker_token"]
        self._garbage: Final = itertools.cycle(malformed())
        self._random: Final = random.Random(7)
        self._addresses: Final = [f"127.66.{config['network']}.{1 + n}" for n in range(_ADDRESSES)]
        self.came: Final[dict[str, Counter[str]]] = defaultdict(Counter)

    async def run(self, seconds: float) -> None:
        """Attack for so long, then wait for the last answers."""
        attacks: dict[str, Attack] = {
            "malformed": lambda: self._sent(next(self._garbage)),
            "sign-in": self._sign_in,
            "token": self._token,
            "forged": self._forged,
            "refresh": self._refresh,
        }
        until_s = time.monotonic() + seconds
        async with asyncio.TaskGroup() as group:
            for kind, attack in attacks.items():
                group.create_task(self._at_rate(kind, attack, until_s))
            for _ in range(SLOW_SOCKETS):
                group.create_task(self._slow(until_s))

    async def _at_rate(self, kind: str, attack: Attack, until_s: float) -> None:
        due_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            while due_s < until_s:
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                group.create_task(self._counted(kind, attack))
                due_s += 1 / RATES[kind]

    async def _counted(self, kind: str, attack: Attack) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                self.came[kind][await attack()] += 1
        except TimeoutError:
            self.came[kind]["late"] += 1
        except OSError:
            self.came[kind]["closed"] += 1

    def _sign_in(self) -> Awaitable[str]:
        username = self._random.choice((self._victim, f"nobody_{self._random.randrange(9_999)}"))
        body = {"username": username, "password": "Wr0ng!Wr0ng!Wr0ng"}
        return self._sent(request("POST", "/auth/login", body))

    def _token(self) -> Awaitable[str]:
        path = self._random.choice(("/portfolio", "/orders", "/balance", "/auth/profile"))
        return self._sent(request("GET", path, Authorization=f"Bearer {next(self._mutants)}"))

    def _forged(self) -> Awaitable[str]:
        method, path, body = self._random.choice(
            (
                ("POST", "/ops/markets/BTC-USD/halt", {"reason": "mine"}),
                ("POST", f"/ops/users/{self._victim}/lock", {}),
                ("POST", "/orders", {"asset_id": "BTC", "quantity": "1"}),
            )
        )
        forged = {
            "X_User_ID": "0" * 32,
            "X_User_Role": "operator",
            "X_Source": "gateway",
            "X_Auth_Service": "auth",
            "X_Forwarded_For": f"10.0.0.{self._random.randrange(250)}",
        }
        token = self._random.choice(({}, {"Authorization": f"Bearer {self._attacker}"}))
        return self._sent(request(method, path, body, **forged, **token))

    def _refresh(self) -> Awaitable[str]:
        return self._sent(request("POST", "/auth/refresh", {"refresh_token": self._replayed}))

    async def _sent(self, content: bytes) -> str:
        reader, writer = await self._connected()
        try:
            writer.write(content)
            if content.endswith(b"a\r\n\r\n"):
                writer.write_eof()
            line = await reader.readline()
            return line.split(b" ")[1].decode() if line.count(b" ") else "closed"
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _slow(self, until_s: float) -> None:
        """Send a request a byte at a time; when the gateway ends it, begin again."""
        await asyncio.sleep(self._random.random() * _STAGGER_S)
        while time.monotonic() < until_s:
            try:
                reader, writer = await self._connected()
            except OSError:
                self.came["slow"]["closed"] += 1
                await asyncio.sleep(_DRIP_S)
                continue
            try:
                for byte in itertools.cycle(request("POST", "/orders", {"asset_id": "BTC"})):
                    if reader.at_eof() or time.monotonic() >= until_s:
                        break
                    writer.write(bytes([byte]))
                    await writer.drain()
                    await asyncio.sleep(_DRIP_S)
            except OSError:
                pass
            finally:
                self.came["slow"]["ended"] += 1
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        address = self._random.choice(self._addresses)
        return await asyncio.open_connection(HOST, self._port, local_addr=(address, 0))


def main() -> None:
    """Attack as the argument says, for its `seconds`."""
    config = json.loads(sys.argv[1])
    mix = Mix(config)
    print("attacking", flush=True)  # noqa: T201  # the caller waits for it
    asyncio.run(mix.run(config["seconds"]))
    print(json.dumps(mix.came))  # noqa: T201  # the caller reads it


if __name__ == "__main__":
    main()
