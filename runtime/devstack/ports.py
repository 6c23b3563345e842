"""Finding free TCP ports on the loopback."""

import secrets
import socket

from runtime.devstack.errors import CannotStart

LOOPBACK = "127.0.0.1"
_CHOICE = range(10_000, 32_000)
"""Below the ports that systems give to outgoing connections (from 32,768 on Linux): what is free
here is not taken by a client between the look and the listening."""
_TRIES = 1_000


def free_port(consecutive: int = 1) -> int:
    """The first of so many consecutive ports that nobody uses now.

    Raises:
        CannotStart: no such row of ports was found.
    """
    for _ in range(_TRIES):
        first = _CHOICE.start + secrets.randbelow(len(_CHOICE) - consecutive)
        if all(is_free(first + n) for n in range(consecutive)):
            return first
    raise CannotStart(f"No {consecutive} consecutive free ports were found: stop what uses them.")


def is_free(port: int) -> bool:
    """Whether the port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def require_free(port: int, *, purpose: str, remedy: str) -> None:
    """Refuse to start when somebody listens there.

    Raises:
        CannotStart: the port is taken.
    """
    if not is_free(port):
        raise CannotStart(f"Port {port} ({purpose}) is taken by another process: {remedy}.")
