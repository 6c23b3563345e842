"""`cnop audit`: the security events of `security.audit` as JSON lines."""

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
import typer

from runtime.kafka_log import KafkaLog
from runtime.log import Record
from runtime.security.pseudonyms import Pseudonyms
from runtime.settings import settings
from schemas.audit import EVENTS, Happened
from schemas.codec import PoisonMessage
from schemas.envelope import CE_ID, CE_SOURCE, CE_TYPE, header_map, rfc3339
from schemas.topics import SECURITY_AUDIT

_WAIT_MS: Final = 200


def command(
    *,
    user: Annotated[str | None, typer.Option(help="Only of this username.")] = None,
    happened: Annotated[
        list[Happened] | None, typer.Option(help="Only what is told here; repeatable.")
    ] = None,
) -> None:
    """Write security events to stdout, one JSON object a line, partition after partition."""
    hmac = None if user is None else Pseudonyms.of(settings().secrets).username(user)
    asyncio.run(_write(hmac, frozenset(happened or Happened)))


async def _write(username_hmac: str | None, happened: frozenset[Happened]) -> None:
    log = await KafkaLog.open(settings(), writes=False)
    try:
        async for line in _lines(log):
            is_asked = username_hmac is None or line.get("user") == username_hmac
            if is_asked and line["happened"] in happened:
                sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        sys.stdout.buffer.flush()
    finally:
        await log.close()


async def _lines(log: KafkaLog) -> AsyncIterator[dict[str, Any]]:
    """Every event once: a restarted writer tells some again, with the same id."""
    for partition in range(await log.partitions(SECURITY_AUDIT)):
        place = (SECURITY_AUDIT, partition)
        offset, end = await log.start_offset(place), await log.end_offset(place)
        seen: set[str] = set()
        while offset < end:
            for record in await log.read(place, offset, wait_ms=_WAIT_MS):
                offset = record.offset + 1
                line = _line(record)
                if line["id"] not in seen:
                    seen.add(line["id"])
                    yield line


def _line(record: Record) -> dict[str, Any]:
    """The event with when, by whom and as what it was written.

    Raises:
        PoisonMessage: no security event that this version knows.
    """
    headers = header_map(record.headers)
    try:
        told = EVENTS.decode(headers[CE_TYPE].decode(), record.value or b"")
        envelope = {"id": headers[CE_ID].decode(), "source": headers[CE_SOURCE].decode()}
    except KeyError as error:
        raise PoisonMessage(f"offset {record.offset} lacks {error}") from error
    return {"time": rfc3339(record.timestamp_ms), **envelope, **msgspec.to_builtins(told)}
