"""Keys of the portfolio table: one row per account and asset, USD among them."""

from typing import Final

from runtime.projection import TableSpec

PORTFOLIO: Final = TableSpec("portfolio", "account_id", "asset")
TABLES: Final = (PORTFOLIO,)

HEAD: Final = "-"
"""The asset of a row that is only a head: the event touched no holding."""
