"""Events that touch holdings as attributes of the account's row, which is its head too."""

from collections.abc import Mapping, Sequence
from typing import Final

from read_models.heads import HOUSE_PREFIX, head_of
from read_models.portfolio.table import PORTFOLIO, TABLES, HoldingRow, attribute_of
from runtime.projection import TableSpec
from runtime.table import Change, Merge
from schemas.accounts import (
    EVENTS,
    FundsDeposited,
    FundsWithdrawn,
    OrderEvent,
)
from schemas.codec import Codec, Message, encode
from schemas.envelope import Recorded
from schemas.topics import ACCOUNTS_JOURNAL

HoldingEvent = FundsDeposited | FundsWithdrawn | OrderEvent
CONCERNS: Final = frozenset(each.TYPE for each in HoldingEvent.__args__)


class PortfolioProjection:
    """One row per account; the houses' are left out, nobody asks for them."""

    name = "portfolio"
    journals: Mapping[str, Codec] = {ACCOUNTS_JOURNAL: EVENTS}
    tables: Sequence[TableSpec] = TABLES
    concerns = CONCERNS

    def project(self, event: Message, recorded: Recorded) -> Sequence[Change]:
        """The account's row: its head, and what the event touched."""
        if not isinstance(event, HoldingEvent) or event.account_id.startswith(HOUSE_PREFIX):
            return ()
        held = {
            attribute_of(each.asset): encode(
                HoldingRow(each, recorded.entity_version, recorded.cause.time_ms)
            ).decode()
            for each in event.holdings
        }
        return (Merge(PORTFOLIO.name, {"account_id": event.account_id}, held | head_of(recorded)),)


PROJECTION: Final = PortfolioProjection()
