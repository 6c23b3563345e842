"""What is in the way is said in one sentence, with a non-zero exit and without a traceback."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cnop(tmp_path: Path, jars: Path) -> Run:
    own = {
        "CNOP_STATE_DIR": str(tmp_path / "state"),
        "CNOP_JARS_DIR": str(jars.absolute()),
        "CNOP_METRICS_BASE": "0",
        "PYTHONPATH": str(Path.cwd()),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CNOP_")}

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603  # our own command
            [sys.executable, "-m", "runtime.cli", *arguments],
            env=inherited | own | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def _is_one_sentence(result: subprocess.CompletedProcess[str], start: str) -> None:
    assert result.returncode == 1, result
    assert result.stderr.startswith(start), result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "Traceback" not in result.stdout + result.stderr


@pytest.mark.parametrize("command", ["run", "up"])
def test_a_taken_gateway_port(cnop: Run, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = cnop(command, CNOP_GATEWAY_PORT=port)
    _is_one_sentence(result, f"Port {port} (gateway) is taken by another process")


def test_a_taken_kafka_port(cnop: Run, dynamodb_endpoint: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = cnop(
            "run",
            CNOP_KAFKA_PORT=port,
            CNOP_GATEWAY_PORT="1",
            CNOP_DYNAMODB_ENDPOINT=dynamodb_endpoint,
        )
    assert result.returncode == 1
    assert "is taken by another process" in result.stderr


def test_no_java_and_no_docker(cnop: Run, tmp_path: Path) -> None:
    nothing = {"PATH": str(tmp_path), "JAVA_HOME": "", "DOCKER_HOST": f"unix://{tmp_path}/none"}
    _is_one_sentence(cnop("run", **nothing), "No Java was found: install a JDK 17")


def test_no_maven_when_jars_are_missing(cnop: Run, tmp_path: Path) -> None:
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
    java.chmod(0o755)
    without = {"PATH": str(tmp_path), "JAVA_HOME": "", "CNOP_JARS_DIR": str(tmp_path / "jars")}
    _is_one_sentence(cnop("run", **without), "Maven (mvn) was not found")


def test_a_setting_that_makes_no_sense(cnop: Run) -> None:
    _is_one_sentence(cnop("run", CNOP_GATEWAY_PORT="high"), "CNOP_GATEWAY_PORT: ")


def test_nothing_runs_here(cnop: Run) -> None:
    _is_one_sentence(cnop("status"), "No stack runs in ")
    assert cnop("down").stdout == "Nothing was running.\n"


def test_no_such_worker(cnop: Run) -> None:
    _is_one_sentence(cnop("worker", "cashier"), "There is no worker named 'cashier'")


def test_no_broker_where_one_was_named(cnop: Run) -> None:
    result = cnop("topics", "create", CNOP_KAFKA_BOOTSTRAP="127.0.0.1:1")
    assert result.returncode == 1
    assert "Kafka at 127.0.0.1:1" in result.stderr
    assert "Traceback" not in result.stderr
