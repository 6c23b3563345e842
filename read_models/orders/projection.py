"""Events of orders as rows: one row per order, its state after its last event."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from read_models.heads import HOUSE_PREFIX, head_of
from read_models.orders.table import CHANGES, ORDERS, TABLES, After, position_of
from read_models.past import in_order
from runtime.projection import TableSpec
from runtime.table import Change, Merge, Put
from schemas.accounts import (
    CASH,
    EVENTS,
    OrderAccepted,
    OrderEvent,
    OrderReplaced,
    ReplaceRefused,
    ReplaceRequested,
)
from schemas.codec import Codec, Message, encode
from schemas.envelope import Recorded
from schemas.topics import ACCOUNTS_JOURNAL

CONCERNS: Final = frozenset(each.TYPE for each in OrderEvent.__args__)


class OrdersProjection:
    """One row per order, and one per change that a client asked for."""

    name = "orders"
    journals: Mapping[str, Codec] = {ACCOUNTS_JOURNAL: EVENTS}
    tables: Sequence[TableSpec] = TABLES
    concerns = CONCERNS

    def project(self, event: Message, recorded: Recorded) -> Sequence[Change]:
        """The row of the event's order."""
        if not isinstance(event, OrderEvent) or event.account_id.startswith(HOUSE_PREFIX):
            return ()
        key = _key(event, recorded)
        after = _after(event, recorded)
        row = _row(event, after) | head_of(recorded)
        match event:
            case OrderAccepted():
                return (Put(ORDERS.name, key | row | {"accepted": encode(after).decode()}),)
            case ReplaceRequested() | OrderReplaced() | ReplaceRefused():
                return (Merge(ORDERS.name, key, row), _changed(event, after, recorded))
            case _:
                return (Merge(ORDERS.name, key, row),)


def _key(event: OrderEvent, recorded: Recorded) -> dict[str, Any]:
    position = position_of(event.order.number, recorded.entity_version)
    return {"account_id": event.account_id, "position": position}


def _after(event: OrderEvent, recorded: Recorded) -> After:
    cash = next((each for each in event.holdings if each.asset == CASH), None)
    return After(event.order, cash, recorded.entity_version)


def _row(event: OrderEvent, after: After) -> dict[str, Any]:
    """What is searched for stands alone, all else in one text: each attribute costs CPU."""
    order = event.order
    return {
        "order_id": order.order_id,
        "asset": order.asset,
        "side": order.side.value,
        "order_type": order.order_type.value,
        "status": order.status.value,
        "after": encode(after).decode(),
    }


def _changed(event: OrderEvent, after: After, recorded: Recorded) -> Put:
    row = {
        "account_id": event.account_id,
        "change": in_order(event.order.number, recorded.entity_version),
        "after": encode(after).decode(),
    }
    return Put(CHANGES.name, row | head_of(recorded))


PROJECTION: Final = OrdersProjection()
