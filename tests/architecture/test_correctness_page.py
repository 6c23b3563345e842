"""docs/correctness.md names tests and planted faults; each of them has to be there."""

import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "correctness.md").read_text()
TESTS = "\n".join(path.read_text() for path in (REPOSITORY / "tests").rglob("test_*.py"))
RULES = (
    *(f"W{n}" for n in range(1, 9)),
    *(f"S{n}" for n in range(1, 5)),
    *("O1", "O2", "O3", "R1", "R2", "C1", "C2", "T1"),
)


def test_every_rule_has_a_row_with_something_that_fails_without_it() -> None:
    lines = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ")]
    rows = {cells[0].split()[0]: cells[1:] for cells in lines if len(cells) == 3}
    for rule in RULES:
        assert any("_" in each for each in rows[rule]), rule


def test_every_test_and_fault_that_the_page_names_exists() -> None:
    files = {path.stem for path in (REPOSITORY / "tests").rglob("test_*.py")}
    named = set(re.findall(r"\b[a-z0-9]+(?:_[a-z0-9]+)+\b", PAGE)) - files
    assert len(named) > 30
    assert [each for each in sorted(named) if f"def {each}(" not in TESTS] == []
