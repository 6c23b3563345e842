"""The table of markets: what a market's terms are, and what it quotes, each a row of its own.

Two kinds of row, because terms and quotes come in different events, and a row is written without
reading it; so a quote costs one small row.
"""

from typing import Final

from runtime.projection import TableSpec

TERMS: Final = "terms"
QUOTE: Final = "quote"
MARKETS: Final = TableSpec("markets", partition_key="kind", sort_key="symbol")
TABLES: Final = (MARKETS,)
