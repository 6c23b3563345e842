"""Keys of the activity table: one row per event that moved money, by its dense number."""

from typing import Final

import msgspec

from runtime.projection import Index, TableSpec
from schemas.accounts import Execution, Holding, Order

BY_ORDER: Final = Index("by-order", "fill")
BY_ASSET: Final = Index("by-asset", "asset_fill", "S")

ACTIVITY: Final = TableSpec("activity", "account_id", "sequence", "N", (BY_ORDER, BY_ASSET))
TABLES: Final = (ACTIVITY,)


class Traded(msgspec.Struct, frozen=True, gc=False):
    """What a row says of a trade, in one text: each attribute would cost CPU.

    `order` and `holdings` (USD and the asset) are as the trade left them.
    """

    execution: Execution
    order: Order
    holdings: tuple[Holding, ...]


def asset_fill_of(asset: str, version: int) -> str:
    """Sorts executions by asset, then by time."""
    return f"{stem_of(asset)}{version:019d}"


def stem_of(asset: str) -> str:
    """How the sort keys of an asset's executions begin."""
    return f"{asset}/"
