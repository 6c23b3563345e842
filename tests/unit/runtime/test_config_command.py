"""`cnop config print` shows every setting and no secret."""

import os
import re

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from runtime.commands import config
from runtime.commands.config import lines, redacted
from runtime.settings import Settings


@pytest.fixture(autouse=True)
def as_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of this machine sets anything."""
    for name in [each for each in os.environ if each.startswith("CNOP_")]:
        monkeypatch.delenv(name)


def test_every_setting_has_a_line_that_says_whether_it_is_a_default() -> None:
    shown = {each.variable: each for each in lines(Settings(gateway_port=8081))}
    assert len(shown) == len(Settings.model_fields)
    assert shown["CNOP_GATEWAY_PORT"][1:] == ("8081", False)
    assert shown["CNOP_PROFILE"][1:] == ("standard", True)


@pytest.mark.parametrize(
    ("name", "value", "seen"),
    [
        ("kafka_password", "hunter2", "***"),
        ("signing_key", "hunter2", "***"),
        ("anything", SecretStr("hunter2"), "***"),
        ("insights_key_file", "/run/secrets/key", "/run/secrets/key"),
        ("access_token_s", 900, "900"),
        ("kafka_password", None, "none"),
        ("rate_redis_url", "rediss://me:hunter2@redis:6379/0", "rediss://***@redis:6379/0"),
        ("insights_url", "http://hunter2@host/v1?key=hunter2", "http://***@host/v1?key=***"),
        ("dynamodb_endpoint", "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        (
            "cors_origins",
            "https://a.example,https://b.example",
            "https://a.example,https://b.example",
        ),
    ],
)
def test_what_must_not_be_seen_is_masked(name: str, value: object, seen: str) -> None:
    assert redacted(name, value) == seen


def test_the_command_prints_assignments(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Settings(rate_redis_url="redis://:hunter2@redis:6379")
    monkeypatch.setattr(config, "settings", lambda: chosen)
    shown = CliRunner().invoke(config.app, ["print"])
    assert shown.exit_code == 0
    assert "hunter2" not in shown.output
    assert all(re.match(r"CNOP_[A-Z0-9_]+=", each) for each in shown.output.splitlines())
    changed = CliRunner().invoke(config.app, ["print", "--changed"]).output.splitlines()
    assert changed == ["CNOP_RATE_REDIS_URL=redis://***@redis:6379"]
