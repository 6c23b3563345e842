"""Keys of the portfolio table: one row per account, in it one attribute per asset, USD among them.

So an order writes one row, whatever it moves, and one read gives all that an account holds.
"""

from typing import Final

import msgspec

from runtime.projection import TableSpec
from schemas.accounts import Holding

PORTFOLIO: Final = TableSpec("portfolio", "account_id")
TABLES: Final = (PORTFOLIO,)

_HELD: Final = "held/"


def attribute_of(asset: str) -> str:
    """Under which name an account's row has an asset; no other attribute begins so."""
    return f"{_HELD}{asset}"


def is_held(attribute: str) -> bool:
    """Whether an attribute is an asset."""
    return attribute.startswith(_HELD)


class HoldingRow(msgspec.Struct, frozen=True, gc=False):
    """A holding after the last event that touched it; `version` is its account's then.

    One text in the account's row: each attribute would cost CPU.
    """

    holding: Holding
    version: int
    time_ms: int
