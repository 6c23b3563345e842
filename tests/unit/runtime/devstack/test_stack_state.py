"""What a stack says in files, and what it runs."""

from pathlib import Path

import pytest

from runtime.devstack.config import StackConfig, environment, settings_in
from runtime.devstack.errors import CannotStart
from runtime.devstack.processes import plan
from runtime.devstack.state import ProcessStatus, StackStatus, StateFiles


def test_one_state_directory_has_one_supervisor(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    assert files.supervisor() is None
    with files.held():
        assert files.supervisor() is not None
        with pytest.raises(CannotStart, match=r"runs in .* already"), StateFiles(tmp_path).held():
            pass
    assert files.supervisor() is None


def test_a_status_is_read_while_its_stack_runs_and_not_afterwards(tmp_path: Path) -> None:
    files = StateFiles(tmp_path)
    status = StackStatus(state="ready", processes=(ProcessStatus(name="clock", state="ready"),))
    with files.held():
        files.write(status)
        assert files.read() == status
    assert files.read() is None
    assert files.said_last() == status


def test_gateways_share_one_port_or_have_one_each() -> None:
    shared = [each for each in plan((8080, 8080)) if each.port]
    assert [(each.name, each.port) for each in shared] == [("gateway-1", 8080), ("gateway-2", 8080)]
    apart = [each.port for each in plan((8081, 8082)) if each.port]
    assert apart == [8081, 8082]


def test_every_process_has_a_metrics_port_of_its_own_unless_none_are_wanted() -> None:
    ports = [each.metrics_port for each in plan((8080,) * 8)]
    assert len(set(ports)) == len(ports)
    assert not any(each.metrics_port for each in plan((8080,), metrics_base=0))


def test_processes_are_told_where_the_servers_are(tmp_path: Path) -> None:
    config = StackConfig(state_dir=tmp_path)
    told = environment(config, bootstrap="127.0.0.1:1", endpoint="http://127.0.0.1:2")
    settings = settings_in(told | {"CNOP_NAMESPACE": "mine-"})
    assert settings.kafka_bootstrap == "127.0.0.1:1"
    assert settings.dynamodb_endpoint == "http://127.0.0.1:2"
    assert settings.state_dir == tmp_path
    assert settings.topic("accounts.journal") == "mine-accounts.journal"
