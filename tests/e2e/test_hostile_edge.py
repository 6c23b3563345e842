"""The edge keeps what it promises while clients are hostile and the store is down.

Two more gateways join the shared system, with limits on: one speaks HTTP and reaches DynamoDB
through a wire that can be cut, the other speaks HTTPS. They count together.
"""

import asyncio
import json
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from gateways import started, wait_ready
from operators import cnop
from traders import Gateways, Trader, loopback, order, until
from wire import Cut, Wire

from runtime.devstack.background import Stack
from runtime.devstack.children import Child
from runtime.devstack.ports import LOOPBACK, free_port

RATE, BURST = 50, 100
ORDERS_RATE, ORDERS_BURST = 5, 20
ARRIVAL_S: Final = 2.0
CONNECTIONS: Final = 60
ORIGIN: Final = "https://trade.example"
COUNTED: Final = {
    "CNOP_PROFILE": "standard",
    "CNOP_RATE_ADDRESS_PER_S": str(RATE),
    "CNOP_RATE_ADDRESS_BURST": str(BURST),
    "CNOP_RATE_ORDERS_PER_S": str(ORDERS_RATE),
    "CNOP_RATE_ORDERS_BURST": str(ORDERS_BURST),
    "CNOP_CONNECTIONS_PER_ADDRESS": str(CONNECTIONS),
    "CNOP_REQUEST_ARRIVAL_S": str(ARRIVAL_S),
    "CNOP_CORS_ORIGINS": ORIGIN,
}


@dataclass
class Edges:
    """The two gateways, and the wire of the first."""

    plain: Child
    wire: Wire
    url: str
    secure_url: str
    metrics_url: str
    trust: ssl.SSLContext

    async def metric(self, name: str, **labels: str) -> float:
        """A sample that the first gateway exports; 0 when there is none."""
        wanted = name + "{" + ",".join(f'{key}="{each}"' for key, each in labels.items()) + "} "
        async with httpx.AsyncClient() as client:
            lines = (await client.get(self.metrics_url)).text.splitlines()
        return float(next((each[len(wanted) :] for each in lines if each.startswith(wanted)), 0))

    @asynccontextmanager
    async def client(self, url: str, address: str) -> AsyncIterator[httpx.AsyncClient]:
        """A client at this address."""
        transport = httpx.AsyncHTTPTransport(
            verify=self.trust, local_address=address, limits=httpx.Limits(max_connections=20)
        )
        async with httpx.AsyncClient(base_url=url, transport=transport, timeout=20) as client:
            yield client


@pytest.fixture(scope="module")
def edges(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edges]:
    place = tmp_path_factory.mktemp("edges")
    key, chain = _certificate(place)
    wire = Wire(urlsplit(stack.settings.dynamodb_endpoint or "").port or 0)
    wire.start()
    ports = free_port(), free_port(), free_port()
    own = {
        "CNOP_DYNAMODB_ENDPOINT": f"http://{wire.address}",
        "CNOP_METRICS_PORT": str(ports[2]),
    }
    tls = {"CNOP_TLS_CERTIFICATE_FILE": str(chain), "CNOP_TLS_KEY_FILE": str(key)}
    plain = started(stack, ports[0], place / "plain.log", COUNTED | own)
    secure = started(stack, ports[1], place / "secure.log", COUNTED | tls)
    trust = ssl.create_default_context(cafile=chain)
    made = Edges(
        plain,
        wire,
        f"http://{LOOPBACK}:{ports[0]}",
        f"https://{LOOPBACK}:{ports[1]}",
        f"http://{LOOPBACK}:{ports[2]}/metrics",
        trust,
    )
    try:
        for child, url in ((plain, made.url), (secure, made.secure_url)):
            wait_ready(child, url, trust=trust)
        yield made
    finally:
        for child in (plain, secure):
            child.stop()
        wire.stop()


def _certificate(place: Path) -> tuple[Path, Path]:
    """A key and a certificate for the loopback that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(LOOPBACK))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    files = place / "key.pem", place / "chain.pem"
    files[0].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    files[1].write_bytes(certificate.public_bytes(pem))
    return files


@pytest.fixture
async def trader(stack: Stack, edges: Edges) -> AsyncIterator[Trader]:
    """Somebody with money, who asks through the first gateway."""
    async with Gateways.of(stack) as gateways:
        somebody = await gateways.funded()
    through = Gateways([edges.url], address=loopback())
    yield Trader(through, somebody.username, somebody.token)
    await through._clients[0].aclose()


async def test_both_gateways_count_an_address_together(edges: Edges) -> None:
    address, began_s = loopback(), time.monotonic()
    async with (
        edges.client(edges.url, address) as plain,
        edges.client(edges.secure_url, address) as secure,
    ):
        first = [(await secure.get("/api/v1/time")).status_code for _ in range(BURST // 2)]
        assert set(first) == {200}
        asked = [plain.get("/api/v1/time") for _ in range(2 * BURST)]
        answers = await asyncio.gather(*asked)
        elapsed_s = time.monotonic() - began_s
        statuses = Counter([*first, *(each.status_code for each in answers)])
        assert statuses[200] + statuses[429] == len(first) + len(answers)
        assert BURST <= statuses[200] <= BURST + RATE * elapsed_s + 2
        refused = next(each for each in answers if each.status_code == 429)
        assert refused.headers["ratelimit-policy"] == f'"address";q={BURST};w={BURST // RATE}'
        async with edges.client(edges.url, loopback()) as other:
            assert (await other.get("/api/v1/time")).status_code == 200

        async def is_served_again() -> bool:
            return (await plain.get("/api/v1/time")).status_code == 200

        await until(is_served_again, limit_s=3 + int(refused.headers["retry-after"]))
    limited = await edges.metric("cnop_gateway_rate_limited_total", limit="address")
    assert limited >= statuses[429]


async def test_a_user_may_place_so_many_orders(stack: Stack, trader: Trader) -> None:
    began_s = time.monotonic()
    body = order(asset_id="BTC", order_type="limit_buy", quantity="0.001", price="1000")
    asked = [trader.send("POST", "/orders", json=body) for _ in range(ORDERS_BURST + 20)]
    answers = await asyncio.gather(*asked)
    elapsed_s = time.monotonic() - began_s
    placed = [each for each in answers if each.status_code == 201]
    refused = [each for each in answers if each.status_code == 429]
    assert len(placed) + len(refused) == len(answers)
    assert ORDERS_BURST <= len(placed) <= ORDERS_BURST + ORDERS_RATE * elapsed_s + 2
    assert refused
    for each in refused:
        assert each.json()["code"] == "rate-limited"
        assert int(each.headers["retry-after"]) >= 1
        assert '"orders";r=0' in each.headers["ratelimit"]
    canceled = await trader.send("DELETE", "/orders")
    assert canceled.status_code == 200, "cancels are never limited as orders"

    async def is_told_once() -> bool:
        said = await cnop(stack, "audit", "--user", trader.username, "--happened", "rate-limited")
        return [json.loads(each)["detail"] for each in said.stdout.splitlines()] == ["orders"]

    await until(is_told_once, limit_s=20)


async def test_200_slow_clients_hold_nobody_up_and_are_given_up(
    edges: Edges, trader: Trader
) -> None:
    before = await edges.metric("cnop_gateway_connections_refused_total", reason="request-timeout")
    quiet_s = await _slowest_s(trader, 30)
    hosts = [loopback() for _ in range(5)]
    slow = [asyncio.create_task(_drip(edges.url, hosts[each % 5])) for each in range(200)]
    await asyncio.sleep(0.5)
    busy_s = await _slowest_s(trader, 30)
    endings = await asyncio.gather(*slow)
    assert all(b"408 Request Timeout" in each for each, _ in endings)
    assert max(took_s for _, took_s in endings) < ARRIVAL_S + 3
    assert busy_s < max(1.0, 5 * quiet_s)
    after = await edges.metric("cnop_gateway_connections_refused_total", reason="request-timeout")
    assert after - before == 200


async def _slowest_s(trader: Trader, times: int) -> float:
    slowest_s = 0.0
    for _ in range(times):
        began_s = time.monotonic()
        answer = await trader.send("POST", "/balance/deposit", json={"amount": "0.01"})
        slowest_s = max(slowest_s, time.monotonic() - began_s)
        assert answer.status_code == 201, answer.text
        await asyncio.sleep(1 / RATE)
    return slowest_s


async def _drip(url: str, address: str) -> tuple[bytes, float]:
    """Send a request byte by byte for as long as somebody listens: what came back, and when."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(
        place.hostname, place.port, local_addr=(address, 0)
    )
    began_s = time.monotonic()
    writer.write(b"POST /api/v1/auth/login HTTP/1.1\r\nhost: here\r\ncontent-length: 60000\r\n")
    answer = asyncio.create_task(reader.read())
    while not answer.done():
        writer.write(b"a")
        await asyncio.wait([answer], timeout=0.2)
    writer.close()
    return answer.result(), time.monotonic() - began_s


async def test_an_address_cannot_have_all_connections(edges: Edges) -> None:
    address, place = loopback(), urlsplit(edges.url)
    pairs = [
        await asyncio.open_connection(place.hostname, place.port, local_addr=(address, 0))
        for _ in range(CONNECTIONS + 10)
    ]
    beyond = [await asyncio.wait_for(reader.read(), 5) for reader, _ in pairs[CONNECTIONS:]]
    assert all(each.startswith(b"HTTP/1.1 429 ") for each in beyond)
    async with edges.client(edges.url, loopback()) as other:
        assert (await other.get("/api/v1/time")).status_code == 200
    for _, writer in pairs:
        writer.close()


async def test_orders_are_placed_while_dynamodb_is_down_and_reads_are_refused_at_once(
    edges: Edges, trader: Trader
) -> None:
    assert (await trader.send("GET", "/balance")).status_code == 200
    answers: Counter[int] = Counter()

    async def is_open() -> bool:
        reads = await asyncio.gather(*(trader.send("GET", "/balance") for _ in range(6)))
        answers.update(each.status_code for each in reads)
        return await _state(edges) == 2

    async with edges.wire.cutting(edges.plain.pid, Cut.REFUSED):
        try:
            await until(is_open, limit_s=20)
        except TimeoutError:
            pytest.fail(f"the breaker stays closed: {answers}")
        began_s = time.monotonic()
        refused = await trader.send("GET", "/orders")
        assert time.monotonic() - began_s < 0.5
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) in (1, 2)
        for _ in range(5):
            placed = await trader.send("POST", "/orders", json=order(quantity="0.001"))
            assert placed.status_code == 201, placed.text
        async with edges.client(edges.url, loopback()) as client:
            ready = await client.get("/health/ready")
            assert (ready.status_code, ready.json()["missing"]) == (200, ["read models"])

    async def is_back() -> bool:
        return (await trader.send("GET", "/balance")).status_code == 200

    await until(is_back, limit_s=10)
    assert await _state(edges) == 0


async def _state(edges: Edges) -> float:
    return await edges.metric("cnop_breaker_state", dependency="dynamodb")


async def test_over_https_browsers_are_told_to_stay_and_http_gets_nothing(edges: Edges) -> None:
    async with edges.client(edges.secure_url, loopback()) as client:
        answer = await client.get("/health/live")
        assert answer.headers["strict-transport-security"]
        with pytest.raises(httpx.TransportError):
            await client.get(edges.secure_url.replace("https", "http"))


async def test_only_a_named_origin_may_read(edges: Edges) -> None:
    async with edges.client(edges.url, loopback()) as client:
        named = await client.get("/api/v1/time", headers={"Origin": ORIGIN})
        other = await client.get("/api/v1/time", headers={"Origin": "https://evil.example"})
    assert named.headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-origin" not in other.headers
