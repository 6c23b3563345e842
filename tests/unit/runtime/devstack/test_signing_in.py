"""Whom a command is to Kafka, and to which stack it signs in by itself."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from runtime.devstack.processes import PRODUCERS, WORKERS, plan
from runtime.devstack.signing_in import principal_of, sign_in_here
from runtime.devstack.state import StackStatus, StateFiles
from schemas.acls import PRINCIPALS


@pytest.mark.parametrize(
    ("arguments", "principal"),
    [
        (["lag", "--json"], "operators"),
        (["fees", "set"], "operators"),
        (["replay", "accounts.journal"], "analysts"),
        (["topics", "create"], "admin"),
        (["credentials", "apply"], "admin"),
        (["gateway"], "gateway"),
        (["worker", "read-models"], "read-models"),
        (["worker"], "operators"),
        ([], "operators"),
    ],
)
def test_a_command_is_a_process_an_analyst_an_administrator_or_an_operator(
    arguments: Sequence[str], principal: str
) -> None:
    assert principal_of(arguments) == principal


def test_every_process_of_the_stack_is_a_principal() -> None:
    for each in (*WORKERS, *PRODUCERS):
        assert principal_of(each.command) == each.name
    planned = {each.principal for each in plan((8080,))}
    assert planned == set(PRINCIPALS) - {"operators", "analysts"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFiles:
    for name in [each for each in os.environ if each.startswith("CNOP_KAFKA_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ["CNOP_STATE_DIR"] = str(tmp_path)
    return StateFiles(tmp_path)


def status(bootstrap: str = "127.0.0.1:9092") -> StackStatus:
    return StackStatus(state="ready", kafka_bootstrap=bootstrap, kafka_credentials="/passwords")


def test_a_command_signs_in_to_the_stack_that_runs_here(here: StateFiles) -> None:
    with here.held():
        here.write(status())
        sign_in_here(["lag"])
    assert os.environ["CNOP_KAFKA_USERNAME"] == "operators"
    file = Path(os.environ["CNOP_KAFKA_PASSWORD_FILE"])
    assert file == Path("/passwords/operators/password")


def test_a_command_signs_in_to_no_other_broker_and_to_no_stack_that_is_gone(
    here: StateFiles,
) -> None:
    sign_in_here(["lag"])
    with here.held():
        here.write(status(bootstrap="elsewhere:9092"))
        sign_in_here(["lag"])
    assert "CNOP_KAFKA_USERNAME" not in os.environ


def test_who_says_who_they_are_stays_that(here: StateFiles) -> None:
    os.environ |= {"CNOP_KAFKA_USERNAME": "me", "CNOP_KAFKA_PASSWORD": "mine"}
    with here.held():
        here.write(status())
        sign_in_here(["lag"])
    assert os.environ["CNOP_KAFKA_USERNAME"] == "me"
    assert "CNOP_KAFKA_PASSWORD_FILE" not in os.environ
