"""Seeded histories of the whole system: whatever crashes, nothing is lost and nothing doubled."""

import os
from collections import Counter

import pytest

from consumers.markets import triggering
from tests.simulation.judge import judge
from tests.simulation.system import System

SEEDS = int(os.environ.get("CNOP_SIMULATION_SEEDS", "200"))
COMMANDS = int(os.environ.get("CNOP_SIMULATION_COMMANDS", "100"))
FIRST = int(os.environ.get("CNOP_SIMULATION_FIRST", "0"))


def run(seed: int, commands: int = COMMANDS) -> Counter[str]:
    with System(seed, commands=commands) as system:
        try:
            system.run()
            return judge(system)
        except BaseException as error:
            error.add_note(f"CNOP_SIMULATION_FIRST={seed} replays it with {commands} commands")
            raise


def test_no_history_loses_or_doubles_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triggering, "TRIGGERS_MAX", 1)  # so that most triggers go on
    happened: Counter[str] = Counter()
    for seed in range(FIRST, FIRST + SEEDS):
        happened += run(seed)
    for each in (
        "accounts.order-filled.v1",
        "accounts.order-canceled.v1",
        "accounts.order-expired.v1",
        "accounts.house-traded.v1",
        "markets.stop-armed.v1",
        "markets.stops-triggered.v1",
        "identity.user-registered.v1",
        "identity.email-taken.v1",
        "journal.command-duplicate.v1",
        "journal.command-discarded.v1",
        "journal.checkpoint.v1",
    ):
        assert happened[each] >= SEEDS // 6, f"{each} happened only {happened[each]} times"
