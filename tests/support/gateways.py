"""Gateways of a test's own, beside those of a running system."""

import ssl
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx
import pytest

from runtime.devstack.background import Stack
from runtime.devstack.children import Child, last_lines
from schemas.acls import GATEWAY

_COMMAND: Final = (sys.executable, "-m", "runtime.cli", "gateway", "--port")
_START_S: Final = 60.0
_POLL_S: Final = 0.2


def started(stack: Stack, port: int, log: Path, settings: Mapping[str, str]) -> Child:
    """One more gateway of this system, which may not be ready yet."""
    env = {**stack.environment_of(GATEWAY), **settings}
    return Child([*_COMMAND, str(port)], log=log, env=env)


def wait_ready(gateway: Child, url: str, *, trust: ssl.SSLContext | bool = True) -> None:
    """Wait until it serves; `trust` knows its certificate."""
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s and gateway.returncode is None:
        try:
            if httpx.get(f"{url}/health/ready", verify=trust).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(_POLL_S)
    pytest.fail(f"a gateway did not start: {last_lines(gateway.log, 20)}")
