"""Auth finds signing keys while it runs, and tells of each once."""

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from consumers.auth import app
from consumers.auth.tokens import Tokens
from runtime.security.files import ensure_secrets
from runtime.security.signing import rotate
from schemas.audit import Happened, SecurityEvent
from schemas.envelope import derived_id


class Told:
    """The audit trail in memory."""

    def __init__(self) -> None:
        self.events: list[tuple[SecurityEvent, str]] = []

    def tell(self, event: SecurityEvent, *, event_id: str) -> None:
        self.events.append((event, event_id))


async def test_a_rotated_key_is_told_once_by_the_same_id_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_KEYS_READ_EVERY_S", 0.001)
    tokens, told = Tokens.of(ensure_secrets(tmp_path)), Told()
    reading = asyncio.create_task(app._reading_keys(tokens, cast("Any", told)))
    await asyncio.sleep(0.02)
    assert told.events == []
    kid = rotate(tmp_path, now_ms=1, active_ms=2, token_ms=1_000)
    async with asyncio.timeout(5):
        while not told.events:  # noqa: ASYNC110  # a deadline
            await asyncio.sleep(0.001)
    await asyncio.sleep(0.02)
    reading.cancel()
    assert told.events == [
        (
            SecurityEvent(happened=Happened.KEY_ROTATED, detail=kid),
            derived_id("key-rotated", kid),
        )
    ]
