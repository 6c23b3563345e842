"""Keys of the orders tables: accepted orders by their dense number, refused ones below zero.

An order's row has it after its last event and as it was accepted; in between, its trades stand in
the activity read model, and what a client changed of it has rows of its own, rarely.
"""

from typing import Final

import msgspec

from runtime.projection import Index, TableSpec
from schemas.accounts import Holding, Order

BY_ORDER_ID: Final = Index("by-order-id", "order_id", "S")
BY_VERSION: Final = Index("by-version", "version")
"""Its last row is the newest change: the account's head."""
BY_ORDER: Final = Index("by-order", "change")

ORDERS: Final = TableSpec("orders", "account_id", "position", "N", (BY_ORDER_ID, BY_VERSION))
CHANGES: Final = TableSpec("order-changes", "account_id", "version", "N", (BY_ORDER,))
TABLES: Final = (ORDERS, CHANGES)


class After(msgspec.Struct, frozen=True, gc=False):
    """An order, and USD where the event moved it, as the event of this version left them."""

    order: Order
    cash: Holding | None
    version: int


def position_of(number: int, version: int) -> int:
    """The sort key: an accepted order's number, or minus the version that refused it."""
    return number or -version
