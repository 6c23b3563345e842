"""A proxy before a server whose connections are cut process by process: the crash tests' network.

A process is known by the ports of its sockets, so all of them use one address.
"""

import asyncio
import socket
import struct
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from enum import Enum
from typing import Final, TypeVar

import psutil

from runtime.devstack.ports import LOOPBACK, free_port

T = TypeVar("T")

_CHUNK_BYTES: Final = 256 * 1024
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # socket(7): SO_LINGER of zero seconds
_START_S: Final = 5.0
_POLL_S: Final = 0.01


class Cut(Enum):
    """How a process loses the server; connections that it tries meanwhile fare the same."""

    REFUSED = "refused"
    """Its connections are reset."""
    SILENT = "silent"
    """No byte arrives on either side; what was held back arrives afterwards, late."""
    DEAF = "deaf"
    """What it sends arrives, no answer does: appends lose their acknowledgement. Then a reset."""


class Wire:
    """Forwards `port` to the server's port, in a thread of its own."""

    def __init__(self, server_port: int) -> None:
        self.port: Final = free_port()
        self.held_bytes = 0
        """How much was held back or lost in cuts."""
        self._server_port: Final = server_port
        self._loop: Final = asyncio.SelectorEventLoop()
        self._links: Final[set[_Link]] = set()
        self._cuts: Final[dict[int, Cut]] = {}
        self._listening: asyncio.Server
        self._thread: Final = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def is_cutting(self) -> bool:
        """Whether some process is cut off now."""
        return bool(self._cuts)

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        listening = asyncio.start_server(self._forward, LOOPBACK, self.port, limit=_CHUNK_BYTES)
        self._listening = asyncio.run_coroutine_threadsafe(listening, self._loop).result(_START_S)

    def stop(self) -> None:
        """Drop all connections and stop listening."""
        asyncio.run_coroutine_threadsafe(self._drop(), self._loop).result(_START_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_S)
        self._loop.close()

    async def cut(self, pid: int, how: Cut, duration_s: float) -> int:
        """Cut a process off for so long; returns how many connections it had."""
        async with self.cutting(pid, how) as hit:
            await asyncio.sleep(duration_s)
        return hit

    @asynccontextmanager
    async def cutting(self, pid: int, how: Cut) -> AsyncIterator[int]:
        """Cut a process off meanwhile; gives how many connections it had."""
        hit = await self._soon(self._begin(pid, how))
        try:
            yield hit
        finally:
            await self._soon(self._end(pid))

    async def _soon(self, step: Coroutine[None, None, T]) -> T:
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(step, self._loop))

    async def _begin(self, pid: int, how: Cut) -> int:
        self._cuts[pid] = how
        hit = list(self._links_of(pid))
        for each in hit:
            each.cut(how)
        return len(hit)

    async def _end(self, pid: int) -> None:
        how = self._cuts.pop(pid)
        for each in self._links_of(pid):
            each.heal(how)

    def _links_of(self, pid: int) -> "Iterator[_Link]":
        ports = _ports_of(pid)
        return (each for each in tuple(self._links) if each.client_port in ports)

    async def _forward(self, requests: StreamReader, client: StreamWriter) -> None:
        link = _Link(client)
        self._links.add(link)
        try:
            for pid, how in self._cuts.items():
                if link.client_port in _ports_of(pid):
                    link.cut(how)
            answers, server = await asyncio.open_connection(
                LOOPBACK, self._server_port, limit=_CHUNK_BYTES
            )
            link.ends.append(server)
            await asyncio.gather(
                self._pump(requests, server, link, link.forth),
                self._pump(answers, client, link, link.back),
            )
        except OSError:
            pass  # the server is down, or one side is gone: so is the other
        finally:
            link.reset()
            self._links.discard(link)

    async def _pump(
        self, source: StreamReader, sink: StreamWriter, link: "_Link", gate: asyncio.Event
    ) -> None:
        while received := await source.read(_CHUNK_BYTES):
            if not gate.is_set():
                self.held_bytes += len(received)
                await gate.wait()
            sink.write(received)
            await sink.drain()
        await gate.wait()
        link.close()

    async def _drop(self) -> None:
        self._listening.close()
        while self._links:
            for each in self._links:
                each.reset()
            await asyncio.sleep(_POLL_S)
        await asyncio.sleep(_POLL_S)  # what was aborted last is closed by the loop


class _Link:
    """A client's connection and the proxy's own to the server, once that is there."""

    def __init__(self, client: StreamWriter) -> None:
        self.client_port: Final[int] = client.get_extra_info("peername")[1]
        self.ends: Final = [client]
        self.forth: Final = asyncio.Event()
        self.back: Final = asyncio.Event()
        self.forth.set()
        self.back.set()

    def cut(self, how: Cut) -> None:
        """Let nothing through, or no answers, or not even the connection live."""
        match how:
            case Cut.REFUSED:
                self.reset()
            case Cut.SILENT:
                self.forth.clear()
                self.back.clear()
            case Cut.DEAF:
                self.back.clear()

    def heal(self, how: Cut) -> None:
        """End the cut."""
        if how is Cut.DEAF:
            self.reset()
        else:
            self.forth.set()
            self.back.set()

    def reset(self) -> None:
        """End both connections at once, without a goodbye."""
        self.forth.set()
        self.back.set()
        for each in self.ends:
            if not each.is_closing():
                each.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
                )
                each.transport.abort()

    def close(self) -> None:
        """End both connections after what was written."""
        for each in self.ends:
            each.close()


def _ports_of(pid: int) -> frozenset[int]:
    try:
        sockets = psutil.Process(pid).net_connections("tcp4")
    except psutil.Error:
        return frozenset()  # it ended
    return frozenset(each.laddr.port for each in sockets if each.laddr)
