"""Ports that tests and stacks choose for themselves."""

import socket

from runtime.devstack.ports import LOOPBACK, free_port, is_free
from runtime.devstack.processes import METRICS_BASE, METRICS_PORTS, plan

EPHEMERAL = 32_768


def test_a_row_of_free_ports_is_free_and_out_of_reach_of_outgoing_connections() -> None:
    first = free_port(consecutive=5)
    assert first + 5 <= EPHEMERAL
    assert all(is_free(first + n) for n in range(5))


def test_a_port_in_use_is_not_free() -> None:
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        assert not is_free(listener.getsockname()[1])


def test_the_metrics_of_a_whole_stack_fit_their_ports() -> None:
    used = {each.metrics_port for each in plan([8080] * 8)}
    assert len(used) == len(plan([8080] * 8))
    assert min(used) >= METRICS_BASE
    assert max(used) < METRICS_BASE + METRICS_PORTS
