"""Keys of the activity table: one row per event that moved money, by its dense number."""

from typing import Final

import msgspec

from runtime.projection import Index, TableSpec
from schemas.accounts import Execution, Side

BY_ORDER: Final = Index("by-order", "fill")
BY_ASSET: Final = Index("by-asset", "asset_fill", "S")

ACTIVITY: Final = TableSpec("activity", "account_id", "sequence", "N", (BY_ORDER, BY_ASSET))
TABLES: Final = (ACTIVITY,)


class Traded(msgspec.Struct, frozen=True, gc=False):
    """What a row says of a trade, in one text: each attribute would cost CPU.

    `cash_e8` and `held_e8` are what the account has of USD and of the asset after it, free and
    locked; rows of before there were statements have neither.
    """

    execution: Execution
    order_id: str
    asset: str
    side: Side
    cash_e8: int | None = None
    held_e8: int | None = None


_VERSIONS: Final = 10**15


def fill_of(order_number: int, version: int) -> int:
    """Sorts executions by order, then by time, within DynamoDB's 38 digits."""
    return order_number * _VERSIONS + version


def asset_fill_of(asset: str, version: int) -> str:
    """Sorts executions by asset, then by time."""
    return f"{stem_of(asset)}{version:019d}"


def stem_of(asset: str) -> str:
    """How the sort keys of an asset's executions begin."""
    return f"{asset}/"
