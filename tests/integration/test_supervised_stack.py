"""A complete system under supervision; what it does for traders is tested in tests/e2e."""

import signal
import urllib.request
from collections.abc import Callable

import psutil
import pytest

from runtime.devstack.background import Stack
from runtime.devstack.processes import PRODUCERS, WORKERS


def _status(url: str) -> int:
    with urllib.request.urlopen(f"{url}/health/ready", timeout=10) as answer:  # noqa: S310  # ours
        return answer.status


@pytest.fixture(scope="module")
def own_stack(start_stack: Callable[..., Stack]) -> Stack:
    return start_stack()


def test_both_gateways_of_a_started_stack_are_ready(own_stack: Stack) -> None:
    assert [_status(url) for url in own_stack.urls] == [200, 200]
    assert len(set(own_stack.urls)) == 2


def test_every_process_has_a_pid_of_its_own(own_stack: Stack) -> None:
    names = {each.name for each in (*WORKERS, *PRODUCERS)} | {"gateway-1", "gateway-2"}
    assert own_stack.pids.keys() >= names
    assert len(set(own_stack.pids.values())) == len(own_stack.pids)


def test_a_killed_gateway_comes_back_on_its_port(own_stack: Stack) -> None:
    old = own_stack.kill("gateway-1")
    restarted = own_stack.wait_restarted("gateway-1", old)
    assert restarted.restarts >= 1
    assert restarted.last_exit == -signal.SIGKILL
    own_stack.wait_ready()
    assert _status(own_stack.urls[0]) == 200


def test_nothing_is_left_when_a_stack_stops(own_stack: Stack) -> None:
    processes = [psutil.Process(pid) for pid in own_stack.pids.values()]
    assert len(processes) >= 10
    assert own_stack.stop()
    assert not any(each.is_running() for each in processes)
