"""What the gateway may ask about holdings; prices come from the markets read model."""

from typing import NamedTuple

import msgspec

from read_models.heads import Head, head_in
from read_models.portfolio.projection import CONCERNS
from read_models.portfolio.table import HEAD, PORTFOLIO, TABLES
from runtime.table import Readable, Row
from schemas.accounts import Holding

__all__ = ["CONCERNS", "TABLES", "Head", "HoldingRow", "Portfolio", "head", "holding", "holdings"]


class HoldingRow(NamedTuple):
    """A holding after the last event that touched it; `version` is its account's then."""

    holding: Holding
    version: int
    offset: int
    time_ms: int


class Portfolio(NamedTuple):
    """Every asset ever held, USD among them, and how far this is; no head: nothing yet."""

    rows: tuple[HoldingRow, ...]
    head: Head | None


async def head(table: Readable, account_id: str) -> Head | None:
    """How far this read model is with the account; None before its first event."""
    return (await holdings(table, account_id)).head


async def holdings(table: Readable, account_id: str) -> Portfolio:
    """All of an account, in one request."""
    rows = await table.query(PORTFOLIO.name, {"account_id": account_id})
    held = tuple(_holding(each) for each in rows if each["asset"] != HEAD)
    return Portfolio(held, max(map(head_in, rows), default=None))


async def holding(table: Readable, account_id: str, asset: str) -> HoldingRow | None:
    """One asset of an account; None when it was never held."""
    if asset == HEAD:
        return None
    row = await table.get(PORTFOLIO.name, {"account_id": account_id, "asset": asset})
    return None if row is None else _holding(row)


def _holding(row: Row) -> HoldingRow:
    return HoldingRow(msgspec.convert(row, Holding), *head_in(row))
