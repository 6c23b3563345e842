"""Events of orders as rows: one row per order, its state after its last event."""

from collections.abc import Mapping, Sequence
from typing import Final

from read_models.heads import HOUSE_PREFIX, head_of
from read_models.orders.table import ORDERS, TABLES, position_of
from runtime.projection import TableSpec
from runtime.table import Change, Put, Row
from schemas.accounts import (
    EVENTS,
    Order,
    OrderEvent,
)
from schemas.codec import Codec, Message, encode
from schemas.envelope import Recorded
from schemas.topics import ACCOUNTS_JOURNAL

CONCERNS: Final = frozenset(each.TYPE for each in OrderEvent.__args__)


class OrdersProjection:
    """One row per order."""

    name = "orders"
    journals: Mapping[str, Codec] = {ACCOUNTS_JOURNAL: EVENTS}
    tables: Sequence[TableSpec] = TABLES
    concerns = CONCERNS

    def project(self, event: Message, recorded: Recorded) -> Sequence[Change]:
        """The row of the event's order."""
        if not isinstance(event, OrderEvent) or event.account_id.startswith(HOUSE_PREFIX):
            return ()
        return (Put(ORDERS.name, _row(event.account_id, event.order, recorded)),)


def _row(account_id: str, order: Order, recorded: Recorded) -> Row:
    """What is searched for stands alone, all else in one text: each attribute costs CPU."""
    return {
        "account_id": account_id,
        "position": position_of(order.number, recorded.entity_version),
        "order_id": order.order_id,
        "asset": order.asset,
        "side": order.side.value,
        "order_type": order.order_type.value,
        "status": order.status.value,
        "order": encode(order).decode(),
        **head_of(recorded),
    }


PROJECTION: Final = OrdersProjection()
