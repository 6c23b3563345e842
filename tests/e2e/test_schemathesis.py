"""What /openapi.json says, asked in every way that schemathesis can think of."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest
from operators import somebody
from traders import Gateways, Trader

from runtime.devstack.background import Stack
from schemas.identity import Role

SECONDS = 30
CASES_LEAST = 500
"""Of a run; a quiet machine asks some thousands."""
CHECKS = (
    "not_a_server_error,ignored_auth,status_code_conformance,content_type_conformance,"
    "response_schema_conformance"
)
ENDS_THE_SESSION = r"/auth/(logout|password|sessions/)|/ops/users/"
"""Asked in a run of its own: after one success everything is 401 (an operator locks itself)."""


def ask_everything(url: str, token: str, *chosen: str) -> str:
    """Run all phases against the gateway; what schemathesis printed."""
    ran = subprocess.run(  # noqa: S603  # the environment's own
        [
            str(Path(sys.executable).with_name("schemathesis")),
            f"--config-file={Path(__file__).with_name('schemathesis.toml')}",
            "run",
            f"{url}/openapi.json",
            f"--header=Authorization: Bearer {token}",
            f"--checks={CHECKS}",
            f"--max-time={SECONDS}",
            "--continue-on-failure",
            "--suppress-health-check=all",
            "--request-timeout=30",
            "--seed=1",
            "--no-shrink",
            *chosen,
        ],
        capture_output=True,
        text=True,
        timeout=10 * SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-8_000:]
    return ran.stdout


async def resume_all(operator: Trader) -> None:
    """Operators are allowed to halt markets, and schemathesis may have asked for some."""
    for each in (await operator.ask("GET", "/markets"))["data"]:
        await operator.write_ok(f"/ops/markets/{each['symbol']}/resume")


@pytest.mark.parametrize("role", [Role.TRADER, Role.OPERATOR])
async def test_no_request_makes_a_server_error(stack: Stack, role: Role) -> None:
    async with Gateways.of(stack) as gateways:
        caller = await somebody(stack, gateways, role)
        chosen = f"--exclude-path-regex={ENDS_THE_SESSION}"

        said = await asyncio.to_thread(ask_everything, stack.urls[0], caller.token, chosen)

        assert (await caller.send("GET", "/auth/profile")).status_code == 200
        if role is Role.OPERATOR:
            await resume_all(caller)
    cases = re.search(r"(\d+) generated", said)
    assert cases is not None
    assert int(cases[1]) >= CASES_LEAST


@pytest.mark.parametrize("role", [Role.TRADER, Role.OPERATOR])
async def test_no_end_of_a_session_makes_a_server_error(stack: Stack, role: Role) -> None:
    async with Gateways.of(stack) as gateways:
        caller = await somebody(stack, gateways, role)
        chosen = f"--include-path-regex={ENDS_THE_SESSION}"
        await asyncio.to_thread(ask_everything, stack.urls[0], caller.token, chosen)
