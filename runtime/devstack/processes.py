"""Every process of the system: what it runs, and how the local stack runs it.

The targets are names, loaded when a process starts: runtime imports nothing above it.
"""

import sys
from collections.abc import Sequence
from typing import Final, NamedTuple

from schemas.acls import GATEWAY as GATEWAY_PRINCIPAL

METRICS_BASE: Final = 9464
"""The gateway's metrics port; each other process has one of its own above it."""
METRICS_PORTS: Final = 32
"""How many ports from the base on metrics may use."""
_GATEWAYS_MAX: Final = 8
FOLLOWER_NICENESS: Final = 15
"""Where cores are few, what follows decisions yields to what makes them (ADR 10)."""
AUTH_NICENESS: Final = 5
"""Hashing passwords yields to orders, whose callers are mostly known already (ADR 10)."""


class Process(NamedTuple):
    """One kind of process; `target` is a FastStream application or an async function."""

    name: str
    target: str
    command: tuple[str, ...]
    """Arguments of `cnop` that start it."""
    niceness: int = 0


def _worker(name: str, target: str, *, niceness: int = 0) -> Process:
    return Process(name, target, ("worker", name), niceness)


WORKERS: Final = (
    _worker("identity", "consumers.identity.app:app"),
    _worker("accounts", "consumers.accounts.app:app"),
    _worker("markets", "consumers.markets.app:app"),
    _worker("auth", "consumers.auth.app:app", niceness=AUTH_NICENESS),
    _worker("auditor", "consumers.auditor.app:app", niceness=FOLLOWER_NICENESS),
    _worker("read-models", "read_models.app:app", niceness=FOLLOWER_NICENESS),
)
PRODUCERS: Final = (
    Process("feed", "producers.feed:main", ("feed",)),
    Process("clock", "producers.clock:main", ("clock",)),
)
TARGETS: Final = {each.name: each.target for each in (*WORKERS, *PRODUCERS)}
GATEWAY: Final = "gateway.app:app"


class Planned(NamedTuple):
    """A process to be run: its name in this stack, its command, ports (0 means none).

    `principal` is who it is to Kafka.
    """

    name: str
    principal: str
    command: Sequence[str]
    port: int = 0
    metrics_port: int = 0
    niceness: int = 0


def plan(gateway_ports: Sequence[int], *, metrics_base: int = METRICS_BASE) -> tuple[Planned, ...]:
    """What a stack runs, in the order in which it is started; one gateway per given port.

    A port may be named several times: those gateways share it.
    """
    offset = _GATEWAYS_MAX
    others = [
        Planned(
            each.name,
            each.name,
            _cnop(*each.command),
            metrics_port=metrics_base and metrics_base + offset + n,
            niceness=each.niceness,
        )
        for n, each in enumerate((*WORKERS, *PRODUCERS))
    ]
    gateways = [
        Planned(
            f"gateway-{n + 1}",
            GATEWAY_PRINCIPAL,
            _cnop("gateway", "--port", str(port)),
            port=port,
            metrics_port=metrics_base and metrics_base + n,
        )
        for n, port in enumerate(gateway_ports)
    ]
    return (*others, *gateways)


def _cnop(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "runtime.cli", *arguments]
