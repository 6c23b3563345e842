"""Serves the gateway with uvicorn on a port that several processes may share."""

import asyncio
import logging
import signal
import socket
from types import FrameType
from typing import Final

import uvicorn
import uvloop

from runtime import logs, metrics
from runtime.devstack.processes import GATEWAY
from runtime.http_protocol import Bounds, Protocol, sweep
from runtime.kafka_clients import survive_lost_connections
from runtime.process import collect_rarely, end_if_stuck, mark_ready
from runtime.security.proxies import Proxies
from runtime.settings import Settings, settings

_BACKLOG: Final = 2_048
_GRACE_S: Final = 5
_SWEEP_TICKS: Final = 5
"""Of uvicorn's 0.1 s."""
_COLLECTED: Final = 20_000
"""Closed connections are cycles: 50,000 objects of a flood of them took 80 ms to look through."""
_log: Final = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Tells the supervisor when it serves, and ends itself when stopping takes too long."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            collect_rarely(new_objects=_COLLECTED)
            mark_ready()

    async def on_tick(self, counter: int) -> bool:
        if counter % _SWEEP_TICKS == 0:
            sweep(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        end_if_stuck()
        super().handle_exit(sig, frame)


def serve(host: str, port: int) -> int:
    """Serve the gateway until SIGTERM or SIGINT; the exit code."""
    logs.configure("gateway", settings().log_level)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # strangers could fill the logs
    metrics.serve(settings().metrics_port, host=settings().metrics_host)
    survive_lost_connections()
    server = _Server(_config(settings()))
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when it is done
        signal.signal(number, signal.SIG_IGN)
    with _listen(host, port) as listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as run:
        run.run(server.serve([listener]))
    return 0 if server.started else 1


def _config(settings: Settings) -> uvicorn.Config:
    Protocol.bounds = _bounds(settings)
    return uvicorn.Config(
        GATEWAY,
        http=Protocol,
        ws="none",
        proxy_headers=False,  # the gateway decides itself whom to believe
        lifespan="on",
        timeout_keep_alive=settings.keep_alive_s,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
        ssl_certfile=settings.tls_certificate_file,
        ssl_keyfile=settings.tls_key_file,
    )


def _bounds(settings: Settings) -> Bounds:
    return Bounds(
        arrival_s=settings.request_arrival_s,
        connections=settings.connections_per_address if settings.has_limits else None,
        free=Proxies(settings.trusted_proxies),
    )


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen(_BACKLOG)
    _log.info("listening on %s:%d", host, port)
    return listener
