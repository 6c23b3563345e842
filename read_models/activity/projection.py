"""Events that moved money as rows: a deposit, a withdrawal, or a trade with its fee."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from read_models.activity.table import ACTIVITY, TABLES, Traded, asset_fill_of
from read_models.heads import HOUSE_PREFIX, head_of
from read_models.past import in_order
from runtime.projection import TableSpec
from runtime.table import Change, Put
from schemas.accounts import EVENTS, FundsDeposited, FundsWithdrawn, OrderTraded
from schemas.codec import Codec, Message, encode
from schemas.envelope import Recorded
from schemas.topics import ACCOUNTS_JOURNAL

CONCERNS: Final = frozenset({FundsDeposited.TYPE, FundsWithdrawn.TYPE, OrderTraded.TYPE})


class ActivityProjection:
    """One row per event; its sort key is the number of its last money movement."""

    name = "activity"
    journals: Mapping[str, Codec] = {ACCOUNTS_JOURNAL: EVENTS}
    tables: Sequence[TableSpec] = TABLES
    concerns = CONCERNS

    def project(self, event: Message, recorded: Recorded) -> Sequence[Change]:
        """The row of the event."""
        match event:
            case FundsDeposited():
                row = _moved("deposit", event, event.amount_e8)
            case FundsWithdrawn():
                row = _moved("withdraw", event, -event.amount_e8)
            case OrderTraded() if not event.account_id.startswith(HOUSE_PREFIX):
                row = _traded(event, recorded.entity_version)
            case _:
                return ()
        row |= {"account_id": event.account_id, "sequence": event.transactions}
        return (Put(ACTIVITY.name, row | head_of(recorded)),)


def _moved(kind: str, event: FundsDeposited | FundsWithdrawn, amount_e8: int) -> dict[str, Any]:
    (cash,) = event.holdings
    return {
        "kind": kind,
        "transaction_id": event.transaction_id,
        "amount_e8": amount_e8,
        "cash": encode(cash).decode(),
    }


def _traded(event: OrderTraded, version: int) -> dict[str, Any]:
    order = event.order
    traded = Traded(event.execution, order, event.holdings)
    return {
        "kind": "trade",
        "traded": encode(traded).decode(),
        "fill": in_order(order.number, version),
        "asset_fill": asset_fill_of(order.asset, version),
    }


PROJECTION: Final = ActivityProjection()
