"""Keys of the portfolio table: one row per account, in it one attribute per asset, USD among them.

So an order writes one row, whatever it moves, and one read gives all that an account holds. What
it traded on each of the last 30 days has an attribute by day in turn; and each partition of the
journal has a row with its fees by tier.
"""

from typing import Final

import msgspec

from runtime.projection import TableSpec
from schemas.accounts import Holding
from schemas.fees import VOLUME_DAYS

PORTFOLIO: Final = TableSpec("portfolio", "account_id")
TABLES: Final = (PORTFOLIO,)

TIERS: Final = "tiers"
_HELD: Final = "held/"
_TRADED: Final = "traded/"


def attribute_of(asset: str) -> str:
    """Under which name an account's row has an asset; no other attribute begins so."""
    return f"{_HELD}{asset}"


def is_held(attribute: str) -> bool:
    """Whether an attribute is an asset."""
    return attribute.startswith(_HELD)


def traded_on(day: int) -> str:
    """Under which name an account's row has what it traded on a day; 30 days later another's."""
    return f"{_TRADED}{day % VOLUME_DAYS}"


def fees_of(partition: int) -> str:
    """Where an account's id would stand: the fees of the accounts of a journal's partition."""
    return f"fees:{partition}"


class Traded(msgspec.Struct, frozen=True, gc=False):
    """What an account traded on a day (UTC days since 1970), in 1e-8 USD."""

    day: int
    volume_e8: int


class HoldingRow(msgspec.Struct, frozen=True, gc=False):
    """A holding after the last event that touched it; `version` is its account's then.

    One text in the account's row: each attribute would cost CPU.
    """

    holding: Holding
    version: int
    time_ms: int
