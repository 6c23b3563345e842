"""What is known of assets beside their markets; ships with the package, null where unknown."""

from importlib.resources import files
from types import MappingProxyType
from typing import Final

import msgspec


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """An asset in words; figures are decimal strings.

    `market_cap_rank` counts among the assets described here.
    """

    asset_id: str
    name: str
    description: str | None = None
    category: str | None = None
    market_cap_rank: int | None = None
    image: str | None = None
    market_cap: str | None = None
    circulating_supply: str | None = None
    total_supply: str | None = None
    max_supply: str | None = None


_FILE: Final = files("read_models.markets").joinpath("assets.json")
DESCRIPTIONS: Final = MappingProxyType(
    {
        each.asset_id: each
        for each in msgspec.json.decode(_FILE.read_bytes(), type=list[Description])
    }
)
