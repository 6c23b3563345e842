"""`cnop credentials` and `cnop topics acls`: what they say, and what they never say."""

from pathlib import Path

import msgspec
from typer.testing import CliRunner

from runtime.commands import credentials, topics
from runtime.security.kafka_passwords import BROKER, SIGNED_IN, password_file, read_password
from schemas.acls import Grant, grants


def test_passwords_are_made_and_never_shown(tmp_path: Path) -> None:
    said = CliRunner().invoke(credentials.app, ["create", "--directory", str(tmp_path)])
    assert said.exit_code == 0, said.output
    assert str(tmp_path) in said.output.replace("\n", "")
    for each in (*SIGNED_IN, BROKER):
        assert read_password(tmp_path, each) not in said.output
        assert password_file(tmp_path, each).stat().st_mode & 0o077 == 0


def test_a_group_may_read_them_where_that_is_asked_for(tmp_path: Path) -> None:
    arguments = ["create", "--directory", str(tmp_path), "--group-readable"]
    assert CliRunner().invoke(credentials.app, arguments).exit_code == 0
    assert password_file(tmp_path, BROKER).stat().st_mode & 0o777 == 0o640


def test_the_grants_are_shown_one_by_one() -> None:
    said = CliRunner().invoke(topics.app, ["acls", "--json"])
    shown = [Grant(**msgspec.json.decode(each)) for each in said.output.splitlines()]
    assert shown == sorted(grants())
