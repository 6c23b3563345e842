"""What the gateway may ask about holdings; prices come from the markets read model."""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from read_models.heads import Head, head_in
from read_models.portfolio.projection import CONCERNS
from read_models.portfolio.table import (
    PORTFOLIO,
    TABLES,
    TIERS,
    HoldingRow,
    Traded,
    attribute_of,
    fees_of,
    is_held,
    traded_on,
)
from runtime.table import Readable, Row
from schemas.accounts import FeesSet
from schemas.fees import NO_FEES, VOLUME_DAYS, Tiers

__all__ = [
    "CONCERNS",
    "TABLES",
    "Head",
    "HoldingRow",
    "Portfolio",
    "Volumes",
    "head",
    "holding",
    "holdings",
    "tiers",
    "volumes",
]

_DECODER: Final = msgspec.json.Decoder(HoldingRow, strict=False)
_TRADED: Final = msgspec.json.Decoder(Traded, strict=False)
_FEES: Final = msgspec.json.Decoder(FeesSet, strict=False)


class Portfolio(NamedTuple):
    """Every asset ever held, USD among them, by name, and how far this is; no head: nothing yet."""

    rows: tuple[HoldingRow, ...]
    head: Head | None


class Volumes(NamedTuple):
    """What an account traded on each of its last days, in 1e-8 USD by UTC day; and its head."""

    by_day: Mapping[int, int]
    head: Head | None


async def head(table: Readable, account_id: str) -> Head | None:
    """How far this read model is with the account; None before its first event."""
    return (await holdings(table, account_id)).head


async def holdings(table: Readable, account_id: str) -> Portfolio:
    """All of an account, in one request."""
    row = await _row(table, account_id)
    if row is None:
        return Portfolio((), None)
    held = tuple(_DECODER.decode(row[each]) for each in sorted(filter(is_held, row)))
    return Portfolio(held, head_in(row))


async def holding(table: Readable, account_id: str, asset: str) -> HoldingRow | None:
    """One asset of an account; None when it was never held."""
    held = (await _row(table, account_id) or {}).get(attribute_of(asset))
    return None if held is None else _DECODER.decode(held)


async def volumes(table: Readable, account_id: str) -> Volumes:
    """What an account traded; days that are long over may be among them."""
    row = await _row(table, account_id)
    if row is None:
        return Volumes({}, None)
    found = [row[name] for name in map(traded_on, range(VOLUME_DAYS)) if name in row]
    by_day = {each.day: each.volume_e8 for each in map(_TRADED.decode, found)}
    return Volumes(by_day, head_in(row))


async def tiers(table: Readable, partition: int) -> Tiers:
    """The fees by tier of the accounts of a partition of the journal."""
    row = await _row(table, fees_of(partition))
    return NO_FEES if row is None else _FEES.decode(row[TIERS]).tiers


async def _row(table: Readable, account_id: str) -> Row | None:
    return await table.get(PORTFOLIO.name, {"account_id": account_id})
