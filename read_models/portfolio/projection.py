"""Events that touch holdings as attributes of the account's row, which is its head too."""

from collections.abc import Mapping, Sequence
from typing import Final

from read_models.heads import HOUSE_PREFIX, head_of
from read_models.portfolio.table import (
    PORTFOLIO,
    TABLES,
    TIERS,
    HoldingRow,
    Traded,
    attribute_of,
    fees_of,
    traded_on,
)
from runtime.projection import TableSpec
from runtime.table import Change, Merge
from schemas.accounts import (
    EVENTS,
    FeesSet,
    FundsDeposited,
    FundsWithdrawn,
    OrderEvent,
    OrderTraded,
)
from schemas.candles import DAY_MS
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
    concerns = CONCERNS | {FeesSet.TYPE}

    def project(self, event: Message, recorded: Recorded) -> Sequence[Change]:
        """The account's row: its head, and what the event touched; or its partition's fees."""
        if isinstance(event, FeesSet):
            key = {"account_id": fees_of(recorded.partition)}
            return (Merge(PORTFOLIO.name, key, {TIERS: encode(event).decode()}),)
        if not isinstance(event, HoldingEvent) or event.account_id.startswith(HOUSE_PREFIX):
            return ()
        held = {
            attribute_of(each.asset): encode(
                HoldingRow(each, recorded.entity_version, recorded.cause.time_ms)
            ).decode()
            for each in event.holdings
        }
        row = held | _traded(event, recorded) | head_of(recorded)
        return (Merge(PORTFOLIO.name, {"account_id": event.account_id}, row),)


def _traded(event: HoldingEvent, recorded: Recorded) -> dict[str, str]:
    if not isinstance(event, OrderTraded):
        return {}
    day = recorded.cause.time_ms // DAY_MS
    return {traded_on(day): encode(Traded(day, event.day_volume_e8)).decode()}


PROJECTION: Final = PortfolioProjection()
