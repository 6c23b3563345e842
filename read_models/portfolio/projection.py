"""Events that touch holdings as rows; the account's head is the newest of its rows."""

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from read_models.heads import HOUSE_PREFIX, head_of
from read_models.portfolio.table import HEAD, PORTFOLIO, TABLES
from runtime.projection import TableSpec
from runtime.table import Change, Put
from schemas.accounts import (
    EVENTS,
    FundsDeposited,
    FundsWithdrawn,
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

HoldingEvent = (
    FundsDeposited
    | FundsWithdrawn
    | OrderAccepted
    | OrderRejected
    | OrderTraded
    | OrderFilled
    | OrderCanceled
    | OrderExpired
)
CONCERNS: Final = frozenset(each.TYPE for each in HoldingEvent.__args__)


class PortfolioProjection:
    """One row per account and asset; the houses' are left out, nobody asks for them."""

    name = "portfolio"
    journals: Mapping[str, Codec] = {ACCOUNTS_JOURNAL: EVENTS}
    tables: Sequence[TableSpec] = TABLES

    def project(self, event: Message, recorded: Recorded) -> Sequence[Change]:
        """The rows of the holdings that the event touched."""
        if not isinstance(event, HoldingEvent) or event.account_id.startswith(HOUSE_PREFIX):
            return ()
        head = {"account_id": event.account_id} | head_of(recorded)
        if not event.holdings:
            return (Put(PORTFOLIO.name, {"asset": HEAD} | head),)
        return tuple(
            Put(PORTFOLIO.name, msgspec.structs.asdict(each) | head) for each in event.holdings
        )


PROJECTION: Final = PortfolioProjection()
