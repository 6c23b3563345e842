"""The crash tests' network really cuts, and only whom it should."""

import asyncio
import os
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from traders import until
from wire import Cut, Wire

_HELD_S = 0.3
_NOBODY = 1
"""A process that has no connection here."""


class Server:
    """Answers each byte with the same byte, and remembers what came."""

    def __init__(self) -> None:
        self.received = b""

    async def serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(ConnectionError):
            while came := await reader.read(1):
                self.received += came
                writer.write(came)
        writer.close()


@asynccontextmanager
async def wired() -> AsyncIterator[tuple[Server, Wire]]:
    server = Server()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    wire = Wire(listening.sockets[0].getsockname()[1])
    wire.start()
    yield server, wire
    wire.stop()
    listening.close()


async def connected(wire: Wire) -> tuple[StreamReader, StreamWriter]:
    """A connection that has served once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    writer.write(b"a")
    assert await reader.read(1) == b"a"
    return reader, writer


def came(server: Server, wanted: bytes) -> Callable[[], Awaitable[bool]]:
    async def look() -> bool:
        return server.received == wanted

    return look


async def test_what_a_silence_held_back_arrives_late() -> None:
    async with wired() as (server, wire):
        reader, writer = await connected(wire)
        cut = asyncio.create_task(wire.cut(os.getpid(), Cut.SILENT, _HELD_S))
        await until(lambda: _is_cut(wire), limit_s=5)
        writer.write(b"b")
        await until(lambda: _has_held(wire), limit_s=5)
        assert server.received == b"a"
        assert await cut == 1
        assert await reader.read(1) == b"b"
        writer.close()


async def test_a_deaf_process_is_heard_and_gets_no_answer() -> None:
    async with wired() as (server, wire):
        reader, writer = await connected(wire)
        cut = asyncio.create_task(wire.cut(os.getpid(), Cut.DEAF, _HELD_S))
        await until(lambda: _is_cut(wire), limit_s=5)
        writer.write(b"b")
        await until(came(server, b"ab"), limit_s=5)
        await cut
        with pytest.raises(ConnectionResetError):
            await reader.read(1)


async def test_connections_are_reset_and_refused_until_the_cut_ends() -> None:
    async with wired() as (_, wire):
        reader, _writer = await connected(wire)
        cut = asyncio.create_task(wire.cut(os.getpid(), Cut.REFUSED, _HELD_S))
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
        with pytest.raises((ConnectionError, AssertionError)):
            await connected(wire)
        await cut
        _, writer = await connected(wire)
        writer.close()


async def test_other_processes_are_not_cut() -> None:
    async with wired() as (_, wire):
        _, writer = await connected(wire)
        assert await wire.cut(_NOBODY, Cut.REFUSED, 0) == 0
        _, second = await connected(wire)
        writer.close()
        second.close()


async def _is_cut(wire: Wire) -> bool:
    return wire.is_cutting


async def _has_held(wire: Wire) -> bool:
    return wire.held_bytes > 0
