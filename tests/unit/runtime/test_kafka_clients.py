"""Clients that stop, and clients that lose their connection."""

import asyncio

import pytest
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from runtime.kafka_clients import stop_within, survive_lost_connections


class Connections:
    def __init__(self) -> None:
        self.is_closed = False

    async def close(self) -> None:
        self.is_closed = True


class Leaking:
    """A consumer whose `stop` lets its own fetch's cancellation out, as aiokafka 0.14's does."""

    def __init__(self) -> None:
        self._client = Connections()

    async def stop(self) -> None:
        raise asyncio.CancelledError


class Stuck:
    async def stop(self) -> None:
        await asyncio.Event().wait()


async def test_a_cancellation_of_the_clients_own_does_not_end_who_stops_it() -> None:
    consumer = Leaking()
    await stop_within(consumer)
    assert consumer._client.is_closed


async def test_a_client_that_does_not_stop_is_given_up() -> None:
    await asyncio.wait_for(stop_within(Stuck(), 0.01), 5)


async def test_who_is_canceled_while_stopping_a_client_stays_canceled() -> None:
    stopping = asyncio.ensure_future(stop_within(Stuck(), 60))
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping


async def test_a_request_on_a_connection_that_was_just_reset_fails_as_lost() -> None:
    survive_lost_connections()
    listening = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with listening:
        port = listening.sockets[0].getsockname()[1]
        connection = AIOKafkaConnection("127.0.0.1", port)
        connection._reader, connection._writer = await asyncio.open_connection("127.0.0.1", port)
        connection._versions = {MetadataRequest.API_KEY: (0, 1)}
        connection._read_task = asyncio.ensure_future(asyncio.sleep(0))
        connection._writer.transport.abort()
        await asyncio.sleep(0.05)
        with pytest.raises(KafkaConnectionError):
            connection.send(MetadataRequest([]))
        assert not connection.connected()
