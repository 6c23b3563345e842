import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

REPOSITORY = Path(__file__).parents[2]
DECISIONS = sorted((REPOSITORY / "docs" / "decisions").glob("*.md"))
PARTS = ["Context", "Decision", "Consequences", "Enforced by"]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")

# Joined here, so that this file does not name them either.
INDEX_HOSTS = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("repo", "maven", "apache", "org"),
        ("repo1", "maven", "org"),
        ("proxy", "golang", "org"),
        ("static", "crates", "io"),
        ("index", "crates", "io"),
        ("deb", "debian", "org"),
    )
)
MACHINE_PATHS = tuple(f"/{name}/" for name in ("work", "root", "Users"))
INDEX_SETTINGS = re.compile(r"(?i)(index|registry|proxy).*(url|registry)$|^GOPROXY$")


def own_hosts() -> set[str]:
    """Hosts of the package indexes that this machine is set up with, if any."""
    urls = [value for name, value in os.environ.items() if INDEX_SETTINGS.search(name)]
    hosts = {urlsplit(each).hostname for value in urls for each in re.split(r"[,|\s]", value)}
    return {each for each in hosts if each and "." in each}


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"],  # noqa: S607  # git as found
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
        text=True,
    )
    names = [REPOSITORY / each for each in listed.stdout.split("\0") if each]
    return [each for each in names if each.is_file()]


def test_no_file_names_a_package_index_or_a_path_of_a_machine() -> None:
    forbidden = [*INDEX_HOSTS, *own_hosts(), *MACHINE_PATHS]
    pattern = re.compile(
        "|".join(rf"(?<![\w.$}}-]){re.escape(each)}" for each in forbidden).encode()
    )
    found = [
        f"{path.relative_to(REPOSITORY)}: {match.group().decode()}"
        for path in tracked()
        if (match := pattern.search(path.read_bytes()))
    ]
    assert found == []


def test_there_are_files_to_look_at() -> None:
    assert len(tracked()) > 100


@pytest.mark.parametrize("path", DECISIONS, ids=lambda path: path.name)
def test_a_decision_says_context_decision_consequences_and_what_enforces_it(path: Path) -> None:
    text = path.read_text()
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == PARTS
    number = int(path.name.partition("-")[0])
    assert text.startswith(f"# {number}. ")
    for part in text.split("\n## ")[1:]:
        assert len(part.split()) > 8


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name.partition("-")[0]) for path in DECISIONS]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= 4


@pytest.mark.parametrize(
    "path",
    [*sorted((REPOSITORY / "docs").rglob("*.md")), *sorted(REPOSITORY.glob("*.md"))],
    ids=lambda path: str(path.relative_to(REPOSITORY)),
)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text()):
        assert (path.parent / target).exists(), target
