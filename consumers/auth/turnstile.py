"""Lets as many sign-ins of one address or username in at a time as identity would reserve."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

WIDTH: Final = 5
"""Identity answers `sign-in-busy` to more; waiting here costs no journal records."""
WAITING_MAX: Final = 64
"""Who waits at one gate, so that one name cannot take everybody's places."""


class Overloaded(Exception):  # noqa: N818  # named by what it means
    """Too many wait already."""


@dataclass(slots=True)
class _Gate:
    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WIDTH))
    users: int = 0


class Turnstile:
    """One gate per key, there only while somebody uses it."""

    def __init__(self) -> None:
        self._gates: Final[dict[str, _Gate]] = {}

    def __len__(self) -> int:
        return len(self._gates)

    @asynccontextmanager
    async def through(self, key: str) -> AsyncGenerator[None]:
        """Wait for a place at this key's gate.

        Raises:
            Overloaded: too many wait there already.
        """
        gate = self._gates.setdefault(key, _Gate())
        if gate.users >= WIDTH + WAITING_MAX:
            raise Overloaded
        gate.users += 1
        try:
            async with gate.places:
                yield
        finally:
            gate.users -= 1
            if not gate.users:
                del self._gates[key]
