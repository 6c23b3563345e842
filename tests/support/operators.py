"""Operators and analysts at a running system, made from its own machine."""

import asyncio
import os
import subprocess
import sys

from traders import PASSWORD, Gateways, Trader

from producers.users import change
from runtime.devstack.background import Stack
from runtime.security.pseudonyms import Pseudonyms
from schemas.acls import OPERATORS
from schemas.identity import ChangeRole, Role


async def somebody(stack: Stack, gateways: Gateways, role: Role, **changes: str) -> Trader:
    """Somebody new with this role, signed in."""
    trader = await gateways.trader(**changes)
    await give_role(stack, trader.username, role)
    return await gateways.signed_in(trader.username, changes.get("password", PASSWORD))


async def give_role(stack: Stack, username: str, role: Role) -> None:
    """What `cnop users role` does, in this process."""
    hmac = Pseudonyms.of(stack.settings.secrets).username(username)
    assert await change(stack.settings, hmac, ChangeRole(username_hmac=hmac, role=role))


async def cnop(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line against the system."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "runtime.cli", *arguments],
        env=os.environ | stack.environment_of(OPERATORS),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
