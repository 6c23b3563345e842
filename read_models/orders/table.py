"""Keys of the orders table: accepted orders by their dense number, refused ones below zero."""

from typing import Final

from runtime.projection import Index, TableSpec

BY_ORDER_ID: Final = Index("by-order-id", "order_id", "S")
BY_VERSION: Final = Index("by-version", "version")
"""Its last row is the newest change: the account's head."""

ORDERS: Final = TableSpec("orders", "account_id", "position", "N", (BY_ORDER_ID, BY_VERSION))
TABLES: Final = (ORDERS,)


def position_of(number: int, version: int) -> int:
    """The sort key: an accepted order's number, or minus the version that refused it."""
    return number or -version
