"""What the gateway may ask about holdings; prices come from the markets read model."""

from typing import Final, NamedTuple

import msgspec

from read_models.heads import Head, head_in
from read_models.portfolio.projection import CONCERNS
from read_models.portfolio.table import PORTFOLIO, TABLES, HoldingRow, attribute_of, is_held
from runtime.table import Readable, Row

__all__ = ["CONCERNS", "TABLES", "Head", "HoldingRow", "Portfolio", "head", "holding", "holdings"]

_DECODER: Final = msgspec.json.Decoder(HoldingRow, strict=False)


class Portfolio(NamedTuple):
    """Every asset ever held, USD among them, by name, and how far this is; no head: nothing yet."""

    rows: tuple[HoldingRow, ...]
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


async def _row(table: Readable, account_id: str) -> Row | None:
    return await table.get(PORTFOLIO.name, {"account_id": account_id})
