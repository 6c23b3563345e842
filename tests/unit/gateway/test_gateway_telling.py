"""What the gateway tells of callers above a limit: who, and not how often."""

from types import SimpleNamespace
from typing import Any, cast

from starlette.requests import Request
from starlette.types import Scope

from gateway.callers import set_caller
from gateway.telling import TellsLimits
from runtime.security.buckets import Buckets
from runtime.security.pseudonyms import Pseudonyms
from runtime.settings import Settings
from schemas.audit import Happened, SecurityEvent
from schemas.auth import Verdict


class Told:
    """The audit trail in memory, and a gateway's limits that tell it."""

    def __init__(self) -> None:
        self.events: list[SecurityEvent] = []
        self.now_s = 1_000.0
        services = SimpleNamespace(
            audit=self, settings=Settings(), pseudonyms=Pseudonyms(b"k" * 32)
        )
        buckets = Buckets.private(b"s" * 32, lambda: self.now_s)
        self.limits = TellsLimits(cast("Any", services), buckets)

    def tell(self, event: SecurityEvent) -> None:
        self.events.append(event)


def refused() -> Scope:
    scope = {"type": "http", "client": ("203.0.113.7", 1), "headers": [], "cnop.request_id": "r1"}
    verdict = Verdict(
        user_id="u", username_hmac="ann", session_id="s", role="trader", expires_at_ms=0
    )
    set_caller(Request(scope), verdict)
    return scope


def test_who_is_above_a_limit_is_told_by_pseudonyms() -> None:
    told = Told()
    told.limits(refused(), "orders", "orders u")
    (event,) = told.events
    assert event.happened is Happened.RATE_LIMITED
    assert (event.user, event.request_id, event.detail) == ("ann", "r1", "orders")
    assert "203.0.113" not in str(event)


def test_who_keeps_asking_is_told_once_a_minute() -> None:
    told = Told()
    for _ in range(59 * 10):
        told.limits(refused(), "address", "address a")
        told.now_s += 0.1
    told.limits(refused(), "address", "address b")
    assert len(told.events) == 2
    told.now_s += 1
    told.limits(refused(), "address", "address a")
    assert len(told.events) == 3


def test_a_flood_from_many_addresses_leaves_room_for_other_events() -> None:
    told = Told()
    for each in range(1_000):
        told.limits(refused(), "address", f"address {each}")
    assert len(told.events) == 10
