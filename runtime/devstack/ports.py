"""Finding free TCP ports on the loopback."""

import socket

from runtime.devstack.errors import CannotStart

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


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
