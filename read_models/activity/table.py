"""Keys of the activity table: one row per event that moved money, by its dense number."""

from typing import Final

from runtime.projection import Index, TableSpec

BY_ORDER: Final = Index("by-order", "fill")
BY_ASSET: Final = Index("by-asset", "asset_fill", "S")

ACTIVITY: Final = TableSpec("activity", "account_id", "sequence", "N", (BY_ORDER, BY_ASSET))
TABLES: Final = (ACTIVITY,)

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
