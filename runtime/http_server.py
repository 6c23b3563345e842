"""Serves the gateway with uvicorn on a port that several processes may share."""

import asyncio
import json
import logging
import secrets
import signal
import socket
from types import FrameType
from typing import Final

import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runtime import logs, metrics
from runtime.devstack.processes import GATEWAY
from runtime.kafka_clients import survive_lost_connections
from runtime.process import collect_rarely, end_if_stuck, mark_ready
from runtime.settings import settings

_BACKLOG: Final = 2_048
_GRACE_S: Final = 5
_log: Final = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Tells the supervisor when it serves, and ends itself when stopping takes too long."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            collect_rarely()
            mark_ready()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        end_if_stuck()
        super().handle_exit(sig, frame)


class _Protocol(HttpToolsProtocol):
    """Answers what the parser refuses as every other failure is answered: with a problem."""

    def send_400_response(self, msg: str) -> None:
        """400 without a request: nothing of it can be believed."""
        request_id = secrets.token_hex(16)
        problem = {
            "type": "https://cnop.dev/errors/bad-request",
            "title": "Bad request",
            "status": 400,
            "detail": msg,
            "code": "bad-request",
            "request_id": request_id,
        }
        body = json.dumps(problem).encode()
        head = (
            "HTTP/1.1 400 Bad Request\r\n"
            "content-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\n"
            f"x-request-id: {request_id}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()


def serve(host: str, port: int) -> int:
    """Serve the gateway until SIGTERM or SIGINT; the exit code."""
    logs.configure("gateway", settings().log_level)
    metrics.serve(settings().metrics_port, host=settings().metrics_host)
    survive_lost_connections()
    server = _Server(
        uvicorn.Config(
            GATEWAY,
            http=_Protocol,
            proxy_headers=False,  # the gateway decides itself whom to believe
            lifespan="on",
            timeout_keep_alive=75,  # clients keep connections longer than uvicorn's 5 s
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when it is done
        signal.signal(number, signal.SIG_IGN)
    with _listen(host, port) as listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as run:
        run.run(server.serve([listener]))
    return 0 if server.started else 1


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((host, port))
    listener.listen(_BACKLOG)
    _log.info("listening on http://%s:%d", host, port)
    return listener
