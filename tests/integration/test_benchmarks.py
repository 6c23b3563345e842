"""A short run of every benchmark: each works, and no ratio fell far below README.md's."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.figures import newest
from benchmarks.measure import Ratio
from benchmarks.report import Report

ROOT = Path(__file__).parents[2]
LEAST = 0.33
"""Of the last whole run's ratio: short runs are cold, and other work shares the machine."""
BEGINS_S_MAX = 900
"""Nothing new begins later; it takes 240 s where nothing else runs."""
RUN_S_MAX = BEGINS_S_MAX + 300


@pytest.mark.timeout(RUN_S_MAX + 60)
def test_no_ratio_fell_far_below_what_the_last_whole_run_found(tmp_path: Path) -> None:
    options = ["--quick", "--budget-s", str(BEGINS_S_MAX), "--results", str(tmp_path)]
    command = [sys.executable, "-m", "benchmarks", *options]
    run = subprocess.run(  # noqa: S603  # fixed arguments
        command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=RUN_S_MAX
    )
    assert run.returncode in {0, 1}, run.stderr  # 1 says that a ratio is not what is asked for
    written = tmp_path / "quick.json"
    assert written.is_file(), run.stderr
    found = msgspec.json.decode(written.read_bytes(), type=Report)
    assert not [each.skipped for each in found.sections if each.skipped]
    pairs = list(zip(newest().ratios, found.ratios, strict=True))
    assert len(pairs) >= 8
    fallen = [now for before, now in pairs if _share(before, now) < LEAST]
    assert not fallen, run.stdout


def _share(before: Ratio, now: Ratio) -> float:
    """How much of what it was a ratio is; of one that should be small, its inverse."""
    is_small_better = before.least is None
    return before.median / now.median if is_small_better else now.median / before.median
