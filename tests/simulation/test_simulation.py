"""Seeded histories of the whole system: whatever crashes, nothing is lost and nothing doubled."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from simulation.histories import Told, run, run_all
from simulation.laws import MADE_WAY, STOP_MOVED, TRIGGERS_LEFT

SEEDS = int(os.environ.get("CNOP_SIMULATION_SEEDS", "2000"))
COMMANDS = int(os.environ.get("CNOP_SIMULATION_COMMANDS", "300"))
FIRST = int(os.environ.get("CNOP_SIMULATION_FIRST", "0"))


@pytest.mark.timeout(900)
def test_no_history_loses_or_doubles_anything() -> None:
    happened: Counter[str] = Counter()
    for each in run_all(range(FIRST, FIRST + SEEDS), COMMANDS):
        assert each.problem is None, (
            f"cnop simulate --seed {each.seed} --commands {COMMANDS} replays it:\n{each.problem}"
        )
        happened += each.happened
    for kind in (
        "accounts.order-filled.v1",
        "accounts.order-canceled.v1",
        "accounts.order-expired.v1",
        "accounts.house-traded.v1",
        "accounts.fees-set.v1",
        "accounts.order-checked.v1",
        "markets.stop-armed.v1",
        "markets.stops-triggered.v1",
        "identity.user-registered.v1",
        "identity.email-taken.v1",
        "identity.session-refreshed.v1",
        "identity.password-changed.v1",
        "identity.user-locked.v1",
        "identity.role-changed.v1",
        "identity.user-erased.v1",
        "journal.command-duplicate.v1",
        "journal.command-discarded.v1",
        "journal.checkpoint.v1",
    ):
        assert happened[kind] >= SEEDS // 6, f"{kind} happened only {happened[kind]} times"
    for what, rarely in ((STOP_MOVED, 10), (MADE_WAY, 20), (TRIGGERS_LEFT, 200)):
        assert happened[what] >= SEEDS // rarely, f"{what} only {happened[what]} times"


def test_a_seed_gives_the_same_history_again() -> None:
    told: list[list[str]] = [[], []]
    for lines in told:
        run(8, 100, Told(lines.append))
    assert told[0] == told[1]
    assert any("accounts.order-accepted.v1" in each for each in told[0])
    assert any(each.startswith("---") for each in told[0])


def test_the_command_tells_a_history_and_nothing_else() -> None:
    asked = [sys.executable, "-m", "runtime.cli", "simulate", "--seed", "7", "--commands", "60"]
    told = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=True)  # noqa: S603  # our own command
    assert "\n--- no more faults\n" in told.stdout
    assert told.stdout.splitlines()[-1].startswith("History 7 holds: ")
    assert not told.stderr
