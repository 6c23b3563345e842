"""How clients reach Kafka: plain by default, signed in when someone is named."""

from pathlib import Path
from typing import Any

import pytest
from faststream.kafka import KafkaBroker
from pydantic import SecretStr, ValidationError

from runtime.kafka_options import kafka_options, kafka_security
from runtime.settings import Settings


def signed_in(**more: Any) -> Settings:
    return Settings(kafka_username="gateway", kafka_password=SecretStr("p&ss"), **more)


def test_nobody_signs_in_by_default() -> None:
    assert kafka_options(Settings()) == {
        "bootstrap_servers": "127.0.0.1:9092",
        "security_protocol": "PLAINTEXT",
        "ssl_context": None,
    }


def test_who_is_named_signs_in_by_scram() -> None:
    options = kafka_options(signed_in())
    assert options["security_protocol"] == "SASL_PLAINTEXT"
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("gateway", "p&ss")


def test_a_password_comes_from_its_file_each_time(tmp_path: Path) -> None:
    file = tmp_path / "password"
    settings = Settings(kafka_username="gateway", kafka_password_file=file)
    with pytest.raises(FileNotFoundError):
        kafka_options(settings)
    for each in ("first", "second"):
        file.write_text(f"{each}\n")
        assert kafka_options(settings)["sasl_plain_password"] == each


@pytest.mark.parametrize("username", ["", "gateway"])
def test_over_tls_the_certificate_is_checked(username: str) -> None:
    settings = signed_in(kafka_tls=True) if username else Settings(kafka_tls=True)
    options = kafka_options(settings)
    assert options["security_protocol"] == ("SASL_SSL" if username else "SSL")
    assert options["ssl_context"].check_hostname


@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings(kafka_tls=True), signed_in(), signed_in(kafka_tls=True)]
    + [signed_in(kafka_mechanism=each) for each in ("SCRAM-SHA-256", "PLAIN")],
)
def test_faststream_and_aiokafka_are_told_the_same(settings: Settings) -> None:
    broker = KafkaBroker(settings.kafka_bootstrap, security=kafka_security(settings))
    told = broker._connection_kwargs
    options = kafka_options(settings)
    named = ("security_protocol", "sasl_mechanism", "sasl_plain_username", "sasl_plain_password")
    assert {name: told.get(name) for name in named} == {name: options.get(name) for name in named}
    assert bool(told["ssl_context"]) == settings.kafka_tls


@pytest.mark.parametrize(
    "half", [{"kafka_username": "gateway"}, {"kafka_password": "x"}, {"kafka_password_file": "/x"}]
)
def test_a_name_without_a_password_or_the_other_way_round_is_refused(half: Any) -> None:
    with pytest.raises(ValidationError, match="go together"):
        Settings(**half)


def test_a_password_is_not_shown() -> None:
    assert "p&ss" not in repr(signed_in())
    assert "p&ss" not in signed_in().model_dump_json()
