"""Who asks too often is told so; headers say what is left; others are not touched by it."""

from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY
from starlette.types import Scope

from gateway.addresses import network_of
from gateway.app import app
from gateway.limits import STATE, Limits, MachineCounts, Tell, count_order, limits_of
from gateway.problems import Problem
from gateway.redis_counts import RedisCounts
from runtime.security.buckets import Buckets, Rate
from runtime.settings import Settings

SMALL = Settings(
    rate_address_per_s=1, rate_address_burst=3, rate_orders_per_s=2, rate_orders_burst=2
)
LIVE = "/health/live"
OPEN = "/openapi.json"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def untold(_: Buckets) -> Tell:
    return lambda *_: None


class Served:
    """The application as a server with limits serves it, to callers of any address."""

    def __init__(self, settings: Settings) -> None:
        self.clock = Clock()
        self.told: list[tuple[str, str]] = []
        counts = MachineCounts(Buckets.private(b"s" * 32, self.clock))
        self.state = {STATE: Limits(settings, counts, self.tell)}

    def tell(self, _: Scope, limit: str, counted: str) -> None:
        self.told.append((limit, counted))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await app(scope | {"state": dict(self.state)}, receive, send)

    async def get(self, path: str, address: str = "192.0.2.1", **headers: str) -> httpx.Response:
        transport = httpx.ASGITransport(self, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.get(path, headers=headers)


@pytest.fixture
def served() -> Served:
    return Served(SMALL)


def hits(limit: str) -> float:
    return REGISTRY.get_sample_value("cnop_gateway_rate_limited_total", {"limit": limit}) or 0.0


async def test_answers_say_what_is_allowed_and_what_is_left(served: Served) -> None:
    answer = await served.get(OPEN)
    assert answer.headers["ratelimit-policy"] == '"address";q=3;w=3'
    assert answer.headers["ratelimit"] == '"address";r=2;t=1'
    assert (await served.get(OPEN)).headers["ratelimit"] == '"address";r=1;t=2'


async def test_a_request_too_many_is_a_429_that_says_when_to_come_back(served: Served) -> None:
    before = hits("address")
    answers = [await served.get(OPEN) for _ in range(4)]
    assert [each.status_code for each in answers] == [200, 200, 200, 429]
    refused = answers[-1]
    assert refused.json()["code"] == "rate-limited"
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["retry-after"] == "1"
    assert refused.headers["ratelimit"] == '"address";r=0;t=3'
    assert refused.headers["x-request-id"] == refused.json()["request_id"]
    assert hits("address") == before + 1
    assert served.told == [("address", "address 192.0.2.1")]
    served.clock.now_s += int(refused.headers["retry-after"])
    assert (await served.get(OPEN)).status_code == 200


async def test_unknown_paths_count_too(served: Served) -> None:
    answers = [await served.get("/nope") for _ in range(4)]
    assert [each.status_code for each in answers] == [404, 404, 404, 429]


async def test_other_addresses_and_probes_of_health_are_not_touched(served: Served) -> None:
    for _ in range(5):
        await served.get(OPEN)
    assert (await served.get(OPEN, "192.0.2.2")).status_code == 200
    assert (await served.get(LIVE)).status_code == 200


async def test_forwarded_addresses_count_only_from_a_trusted_proxy() -> None:
    forged = Served(SMALL)
    answers = [await forged.get(OPEN, **{"X-Forwarded-For": f"198.51.100.{n}"}) for n in range(4)]
    assert answers[-1].status_code == 429
    proxied = Served(SMALL.model_copy(update={"trusted_proxies": "192.0.2.1"}))
    for n in range(8):
        answer = await proxied.get(OPEN, **{"X-Forwarded-For": f"198.51.100.{n}"})
        assert answer.status_code == 200
    others = [await proxied.get(OPEN, **{"X-Forwarded-For": "203.0.113.9"}) for _ in range(4)]
    assert others[-1].status_code == 429


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("unknown", "unknown"),
        (":::", ":::"),
    ],
)
def test_an_ipv6_host_cannot_pick_another_address_of_its_network(
    address: str, network: str
) -> None:
    assert network_of(address) == network


async def test_a_user_s_orders_are_limited_from_all_addresses_together(served: Served) -> None:
    def request(address: str) -> Any:
        scope = {"path": "/", "client": (address, 1), "headers": [], "state": served.state}
        return type("Request", (), {"scope": scope})()

    before = hits("orders")
    await count_order(request("192.0.2.1"), "ann")
    await count_order(request("192.0.2.2"), "ann")
    with pytest.raises(Problem) as refused:
        await count_order(request("192.0.2.3"), "ann")
    assert (refused.value.kind.status, refused.value.headers["Retry-After"]) == (429, "1")
    assert hits("orders") == before + 1
    await count_order(request("192.0.2.1"), "ben")


async def test_without_limits_nothing_is_counted_or_said() -> None:
    await count_order(type("Request", (), {"scope": {"state": {STATE: None}}})(), "ann")
    served = Served(SMALL)
    served.state[STATE] = None  # type: ignore[assignment]
    answers = [await served.get(OPEN) for _ in range(5)]
    assert all(each.status_code == 200 for each in answers)
    assert "ratelimit" not in answers[0].headers


def test_the_test_profile_lifts_the_limits() -> None:
    assert limits_of(Settings(profile="test"), untold) is None


async def test_gateways_of_one_state_directory_count_together(tmp_path: Any) -> None:
    here = {
        "profile": "standard",
        "state_dir": tmp_path,
        "rate_address_burst": 3,
        "rate_address_per_s": 0.001,
    }
    first, second = (limits_of(Settings.model_validate(here), untold) for _ in range(2))
    assert first is not None
    assert second is not None
    scope = {"path": "/", "client": ("192.0.2.1", 1), "headers": []}
    for each in (first, second, first):
        await each.count_request(dict(scope))
    with pytest.raises(Problem):
        await second.count_request(dict(scope))


async def test_where_no_file_can_be_shared_each_process_counts_by_itself(tmp_path: Any) -> None:
    (tmp_path / "file").touch()
    limits = limits_of(
        Settings(profile="standard", state_dir=tmp_path / "file", secrets_dir=tmp_path / "secrets"),
        untold,
    )
    assert limits is not None
    await limits.count_request({"path": "/", "client": None, "headers": []})


# --- Redis ---------------------------------------------------------------------------------------


async def test_while_redis_is_away_the_machine_s_own_counts_decide() -> None:
    own = MachineCounts(Buckets.private(b"s" * 32))
    counts = RedisCounts("redis://127.0.0.1:1/0", "test-", own)
    rate = Rate(per_s=0.001, burst=30)
    taken = [await counts.take("a", rate) for _ in range(31)]
    assert [each.is_allowed for each in taken] == [True] * 30 + [False]
    assert counts._breaker.state == "open"


async def test_a_window_counts_as_a_bucket_does(monkeypatch: pytest.MonkeyPatch) -> None:
    from limits.aio.storage import MemoryStorage  # noqa: PLC0415
    from limits.aio.strategies import SlidingWindowCounterRateLimiter  # noqa: PLC0415

    windows = SlidingWindowCounterRateLimiter(MemoryStorage())
    monkeypatch.setattr("gateway.redis_counts._windows", lambda *_: windows)
    counts = RedisCounts("redis://elsewhere/0", "test-", MachineCounts(Buckets.private(b"s" * 32)))
    rate = Rate(per_s=1, burst=3)
    taken = [await counts.take("a", rate) for _ in range(4)]
    assert [each.is_allowed for each in taken] == [True, True, True, False]
    assert [each.left for each in taken] == [2, 1, 0, 0]
    assert 0 < taken[-1].wait_s <= 3
    assert (await counts.take("b", rate)).is_allowed
