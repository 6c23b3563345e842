"""Market orders straight through Kafka: what a gateway does, without the gateway."""

import asyncio
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from producers.commands import CommandPublisher
from runtime.kafka_options import kafka_options
from runtime.settings import Settings
from schemas.accounts import DepositFunds, OrderFilled, OrderType, PlaceOrder, Side
from schemas.codec import Message
from schemas.envelope import CE_TYPE, COMMAND_ID, ReplyRoute, header_map
from schemas.money import E8
from schemas.topics import ACCOUNTS_COMMANDS, GATEWAY_REPLIES

_REPLIES: Final = 0
"""The partition that this asks replies to; a gateway that reads it too knows none of them."""
_QUANTITY_E8: Final = E8 // 1000
_DEPOSIT_E8: Final = 5_000 * E8
_PATIENCE_S: Final = 20.0
_EXPIRY_MS: Final = 20_000


class NotFilled(Exception):  # noqa: N818  # says what happened
    """A command was answered by something else."""


class Direct:
    """Sends commands and waits for their replies."""

    def __init__(self, publisher: CommandPublisher, name: str) -> None:
        self._publisher = publisher
        self._name = name
        self._sent = 0
        self._waiting: dict[str, asyncio.Future[str]] = {}

    async def ask(self, account_id: str, command: Message) -> str:
        """The type of the event that answers."""
        self._sent += 1
        command_id = f"{self._name}{self._sent:012x}"
        future = self._waiting[command_id] = asyncio.get_running_loop().create_future()
        await self._publisher.publish(
            ACCOUNTS_COMMANDS,
            account_id,
            command,
            command_id=command_id,
            expires_at_ms=self._publisher.clock.now_ms() + _EXPIRY_MS,
            user_id=account_id,
            user_role="trader",
            reply_to=ReplyRoute(_REPLIES, command_id),
        )
        async with asyncio.timeout(_PATIENCE_S):
            answer = await future
        del self._waiting[command_id]
        return answer

    async def listen(self, consumer: AIOKafkaConsumer) -> None:
        """Hand out what comes."""
        while True:
            for records in (await consumer.getmany(timeout_ms=1_000)).values():
                for record in records:
                    self._answer(header_map(record.headers))

    def _answer(self, headers: dict[str, bytes]) -> None:
        future = self._waiting.get(headers[COMMAND_ID].decode())
        if future is not None and not future.done():
            future.set_result(headers[CE_TYPE].decode())


async def fund(settings: Settings, account_ids: Sequence[str]) -> None:
    """Give each of these accounts money."""
    async with _connected(settings) as direct:
        for each in account_ids:
            await direct.ask(each, DepositFunds(account_id=each, amount_e8=_DEPOSIT_E8))


async def market_orders(settings: Settings, account_ids: Sequence[str], count: int) -> list[float]:
    """Milliseconds of `count` market orders, one at a time; each account buys, then sells.

    Raises:
        NotFilled: one was not filled.
    """
    async with _connected(settings) as direct:
        took_ms: list[float] = []
        for n in range(count):
            account_id = account_ids[n // 2 % len(account_ids)]
            began = perf_counter()
            answer = await direct.ask(account_id, _order(account_id, (Side.BUY, Side.SELL)[n % 2]))
            took_ms.append((perf_counter() - began) * 1000)
            if answer != OrderFilled.TYPE:
                raise NotFilled(f"order {n} was answered by {answer}")
        return took_ms


def _order(account_id: str, side: Side) -> PlaceOrder:
    return PlaceOrder(
        account_id=account_id,
        asset="BTC",
        side=side,
        order_type=OrderType.MARKET,
        quantity_e8=_QUANTITY_E8,
    )


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncGenerator[Direct]:
    publisher = CommandPublisher(settings, producer="gateway")
    consumer = AIOKafkaConsumer(**kafka_options(settings), group_id=None, auto_offset_reset="none")
    await asyncio.gather(publisher.start(), consumer.start())
    partition = TopicPartition(settings.topic(GATEWAY_REPLIES), _REPLIES)
    consumer.assign([partition])
    await consumer.seek_to_end()
    await consumer.position(partition)
    direct = Direct(publisher, os.urandom(8).hex())
    listening = asyncio.create_task(direct.listen(consumer))
    try:
        yield direct
    finally:
        listening.cancel()
        await asyncio.gather(consumer.stop(), publisher.stop())
