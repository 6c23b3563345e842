"""What the projectors still have to do, and how long they take."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Final, NamedTuple

from read_models.activity import queries as activity
from read_models.commands import queries as commands
from read_models.orders import queries as orders
from read_models.portfolio import queries as portfolio
from runtime.dynamodb import DynamoTable, open_dynamodb
from runtime.errors import Unavailable
from runtime.kafka_log import KafkaLog
from runtime.projector import positions
from runtime.settings import Settings
from runtime.table import Readable
from schemas.envelope import CE_TYPE, ENTITY_ID, header_map
from schemas.topics import ACCOUNTS_JOURNAL

_MODELS: Final = {
    "orders": orders,
    "portfolio": portfolio,
    "activity": activity,
    "commands": commands,
}
_TAIL_RECORDS: Final = 400
_POLL_S: Final = 0.05

Targets = Mapping[str, tuple[int, ...]]
Stored = Mapping[str, tuple[int, ...]]


class Backlog(NamedTuple):
    """Journal records not yet projected, by read model, and the seconds until there were none."""

    records: Mapping[str, int]
    drained_s: float | None


class Watch:
    """Clients that are ready when the load ends."""

    def __init__(self, table: Readable, log: KafkaLog, partitions: int) -> None:
        self._table = table
        self._log = log
        self._partitions = partitions

    async def drained(self, *, timeout_s: float) -> Backlog:
        """Look now, then wait until everything that is in the journals now is projected."""
        began = monotonic()
        finding = asyncio.ensure_future(_targets(self._log, self._partitions))
        seen: list[tuple[float, Stored]] = []
        while True:
            with suppress(Unavailable):  # a store that is too busy to say is asked again
                seen.append((monotonic() - began, await self._stored()))
            if finding.done() and seen:
                left = [(at_s, _left(finding.result(), stored)) for at_s, stored in seen]
                drained_s = next((at_s for at_s, each in left if not any(each.values())), None)
                if drained_s is not None or monotonic() - began > timeout_s:
                    return Backlog(left[0][1], drained_s)
            await asyncio.sleep(_POLL_S)

    async def _stored(self) -> Stored:
        """How far each read model is now."""
        found = await asyncio.gather(
            *(
                positions(self._table, each.TABLES, ACCOUNTS_JOURNAL, self._partitions)
                for each in _MODELS.values()
            )
        )
        return {
            name: tuple(each.offset for each in stored)
            for name, stored in zip(_MODELS, found, strict=True)
        }


@asynccontextmanager
async def watching(settings: Settings) -> AsyncIterator[Watch]:
    """Connect to the journals and the read models."""
    log = await KafkaLog.open(settings)
    try:
        async with open_dynamodb(settings) as client:
            partitions = await log.partitions(ACCOUNTS_JOURNAL)
            yield Watch(DynamoTable(client, settings), log, partitions)
    finally:
        await log.close()


def _left(targets: Targets, stored: Stored) -> dict[str, int]:
    return {
        name: sum(max(0, end - offset) for end, offset in zip(wanted, stored[name], strict=True))
        for name, wanted in targets.items()
    }


async def _targets(log: KafkaLog, partitions: int) -> Targets:
    """Per read model, the offset behind the last record of each partition that has rows in it."""
    found: dict[str, list[int]] = {name: [] for name in _MODELS}
    for number in range(partitions):
        for name, end in (await _ends(log, number)).items():
            found[name].append(end)
    return {name: tuple(ends) for name, ends in found.items()}


async def _ends(log: KafkaLog, number: int) -> dict[str, int]:
    place = (ACCOUNTS_JOURNAL, number)
    end = await log.end_offset(place)
    offset = max(0, end - _TAIL_RECORDS)
    ends = dict.fromkeys(_MODELS, 0)
    while offset < end:
        records = await log.read(place, offset, wait_ms=500)
        if not records:
            break
        for record in records:
            headers = header_map(record.headers)
            if headers.get(ENTITY_ID, b"").startswith(b"house:"):
                continue
            for name, model in _MODELS.items():
                if headers[CE_TYPE].decode() in model.CONCERNS:
                    ends[name] = record.offset + 1
        offset = records[-1].offset + 1
    return ends
