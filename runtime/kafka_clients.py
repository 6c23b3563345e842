"""What aiokafka's clients need beside aiokafka, whatever the broker does."""

import asyncio
from contextlib import suppress
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError, KafkaError

Client = Any
"""An aiokafka producer or consumer: its methods are typed in part only."""
STOP_S: Final = 5.0
_SEND: Any = AIOKafkaConnection.send  # pyright: ignore[reportUnknownVariableType]


async def stopped(client: Client) -> None:
    """Stop a client and close its connections; as long as that takes."""
    try:
        await client.stop()
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None and task.cancelling():
            raise
        # aiokafka cancels a fetch that backs off, and lets that cancellation out of `stop` before
        # it closes the connections: whoever stopped it would seem to be canceled.
        inner = client.client if isinstance(client, AIOKafkaProducer) else client._client  # noqa: SLF001
        await inner.close()


async def stop_within(client: Client, duration_s: float = STOP_S) -> None:
    """Stop a client that nobody needs any more; give up after a while."""
    with suppress(KafkaError, OSError, TimeoutError):
        await asyncio.wait_for(stopped(client), duration_s)


def survive_lost_connections() -> None:
    """Let a write to a connection that was just reset fail as aiokafka expects it to.

    It expects OSError, as asyncio's transports raise; uvloop's raise RuntimeError, which ends the
    task that fetches: a consumer that is there and never gets anything again.
    """
    mended: Any = AIOKafkaConnection
    mended.send = _sent


def _sent(connection: Any, *given: Any, **named: Any) -> Any:  # noqa: ANN401  # as aiokafka's own
    try:
        return _SEND(connection, *given, **named)
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"{connection} broken: {error}") from error
