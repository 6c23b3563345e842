"""The pages about security point at tests; each of them has to be there."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGES = ("threat-model.md", "asvs.md", "pentest.md", "correctness.md")
POINTER = re.compile(r"(tests/[\w/]+\.py)(?:::(\w+))?")
LEAST = {"threat-model.md": 60, "asvs.md": 60, "pentest.md": 15}
"""How many tests a page points at, so that a change of form does not blind this test."""
ASVS_ROW = re.compile(
    r"^\| (\d+\.\d+\.\d+) \| [12] \| .+ \| (?:met|not applicable|not met)\b", re.MULTILINE
)


def pointers(page: str) -> list[tuple[str, str]]:
    """Files of tests that a page points at, with the test's name, or "" for the whole file."""
    return POINTER.findall((REPOSITORY / "docs" / page).read_text())


def is_there(file: str, name: str) -> bool:
    path = REPOSITORY / file
    if not path.is_file():
        return False
    text = path.read_text()
    return not name or bool(re.search(rf"^(?:async )?def {name}\(", text, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_a_page_points_at_exists(page: str) -> None:
    found = pointers(page)
    missing = [f"{file}::{name}" for file, name in found if not is_there(file, name)]
    assert missing == []
    assert sum(bool(name) for _, name in found) >= LEAST.get(page, 0)


def test_a_test_that_is_not_there_is_missed() -> None:
    here = f"tests/architecture/{Path(__file__).name}"
    assert is_there(here, "test_a_test_that_is_not_there_is_missed")
    assert not is_there(here, "test_a_test_that")
    assert not is_there("tests/architecture/test_nothing.py", "")


def test_each_requirement_of_the_asvs_has_one_verdict() -> None:
    page = (REPOSITORY / "docs" / "asvs.md").read_text()
    rows = re.findall(r"^\| (\d+\.\d+\.\d+) ", page, re.MULTILINE)
    verdicts = ASVS_ROW.findall(page)
    assert verdicts == rows
    assert len(set(rows)) == len(rows)
