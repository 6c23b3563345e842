import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PURE = (
    "schemas/*.py",
    "consumers/*/state.py",
    "consumers/*/decide.py",
    "consumers/*/evolve.py",
    "consumers/*/outbox.py",
    "consumers/accounts/[!a]*.py",
    "consumers/markets/[!a]*.py",
    "consumers/identity/[!a]*.py",
    "consumers/auditor/join.py",
    "consumers/auditor/reader.py",
    "read_models/*/projection.py",
    "runtime/journal/claims.py",
    "runtime/journal/context.py",
    "runtime/projection.py",
)
FORBIDDEN_MODULES = frozenset(
    {"aioboto3", "aiokafka", "asyncio", "boto3", "faststream", "httpx", "random", "secrets"}
    | {"socket", "starlette", "subprocess", "threading", "time"}
)
FORBIDDEN_CALLS = frozenset(
    {"now", "utcnow", "today", "uuid1", "uuid4", "open", "input", "print", "getenv", "hash"}
)


def pure_files() -> list[Path]:
    return sorted({path for pattern in PURE for path in REPOSITORY.glob(pattern)})


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (each.name for each in node.names)


def called(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            match node.func:
                case ast.Name(id=name) | ast.Attribute(attr=name):
                    yield name
                case _:
                    pass


def impurities(source: str) -> set[str]:
    """Modules and calls of a pure file that it must not have."""
    tree = ast.parse(source)
    modules = {each.partition(".")[0] for each in imported(tree)} & FORBIDDEN_MODULES
    names = {*imported(tree), *called(tree)} & FORBIDDEN_CALLS
    return modules | names


def test_the_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    command = [str(linter), "--no-cache"]  # in a process of its own: it silences every logger
    checked = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)  # noqa: S603  # our own tool
    assert checked.returncode == 0, checked.stdout


def test_there_are_pure_files_of_every_kind() -> None:
    names = {path.name for path in pure_files()}
    assert {"decide.py", "evolve.py", "outbox.py", "projection.py", "money.py"} <= names
    assert len(pure_files()) >= 30


@pytest.mark.parametrize("path", pure_files(), ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_pure_files_have_no_clock_chance_or_io(path: Path) -> None:
    assert impurities(path.read_text()) == set()


@pytest.mark.parametrize(
    ("source", "impurity"),
    [
        ("from datetime import datetime\ndatetime.now()", "now"),
        ("from uuid import uuid4", "uuid4"),
        ("import uuid\nuuid.uuid4()", "uuid4"),
        ("import time", "time"),
        ("from random import choice", "random"),
        ("import aiokafka.errors", "aiokafka"),
        ("open('x')", "open"),
    ],
)
def test_an_impurity_is_found(source: str, impurity: str) -> None:
    assert impurity in impurities(source)
