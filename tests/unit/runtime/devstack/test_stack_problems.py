"""A machine that lacks something is told so before anything starts."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from runtime.cli import sentence_of
from runtime.devstack.config import StackConfig
from runtime.devstack.containers import kafka_environment
from runtime.devstack.errors import CannotStart
from runtime.devstack.ports import free_port
from runtime.devstack.supervisor import Supervisor
from runtime.devstack.view import first_order


class _Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_full_disk_is_found_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: _Usage(1 << 40, 1 << 40, 5 << 20))
    config = StackConfig(state_dir=tmp_path, gateway_port=free_port(), metrics_base=0)
    with pytest.raises(CannotStart, match="has 5 MiB left; the stack needs 1024 MiB"):
        Supervisor(config, lambda _status: None).run()
    said = config.files.said_last()
    assert said is not None
    assert said.state == "failed"


def test_a_disk_that_fills_up_later_is_a_sentence() -> None:
    with (
        pytest.raises(OSError, match="No space left") as raised,
        Path("/dev/full").open("w") as full,
    ):
        full.write("x")
    assert sentence_of(raised.value) == "The disk is full: [Errno 28] No space left on device."


def test_containers_advertise_the_published_port_on_the_loopback() -> None:
    told = kafka_environment(29092)
    assert told["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://127.0.0.1:29092"
    assert told["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_the_readme_shows_the_first_order_that_make_run_shows() -> None:
    readme = Path(__file__).parents[4] / "README.md"
    assert first_order("http://127.0.0.1:8080") in readme.read_text()


def test_the_first_order_fits_a_terminal() -> None:
    assert max(map(len, first_order("http://127.0.0.1:8080").splitlines())) < 80
