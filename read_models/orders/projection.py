"""Events of orders as rows: one row per order, its state after its last event."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from read_models.heads import HOUSE_PREFIX, head_of
from read_models.orders.table import ORDERS, TABLES, position_of
from runtime.projection import TableSpec
from runtime.table import Change, Put
from schemas.accounts import (
    EVENTS,
    OrderAccepted,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderTraded,
)
from schemas.codec import Codec, Message
from schemas.envelope import Recorded
from schemas.topics import ACCOUNTS_JOURNAL

OrderEvent = (
    OrderAccepted | OrderRejected | OrderTraded | OrderFilled | OrderCanceled | OrderExpired
)
CONCERNS: Final = frozenset(each.TYPE for each in OrderEvent.__args__)


class OrdersProjection:
    """One row per order."""

    name = "orders"
    journals: Mapping[str, Codec] = {ACCOUNTS_JOURNAL: EVENTS}
    tables: Sequence[TableSpec] = TABLES

    def project(self, event: Message, recorded: Recorded) -> Sequence[Change]:
        """The row of the event's order."""
        if not isinstance(event, OrderEvent) or event.account_id.startswith(HOUSE_PREFIX):
            return ()
        row: dict[str, Any] = msgspec.structs.asdict(event.order)
        row["account_id"] = event.account_id
        row["position"] = position_of(event.order.number, recorded.entity_version)
        row |= head_of(recorded)
        return (Put(ORDERS.name, row),)


PROJECTION: Final = OrdersProjection()
