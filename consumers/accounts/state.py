"""What accounts remembers of one partition: accounts by id, and markets as they were told to it."""

from typing import Final

import msgspec

from schemas.accounts import CASH, CollarSet, FeesSet, Holding, MarketTerms, Order
from schemas.candles import DAY_MS
from schemas.fees import NO_FEES, Tiers

HOUSE_PREFIX: Final = "house:"
MARKET_PREFIX: Final = "market:"
FEES: Final = "fees:schedule"
"""The entity of the fees by tier."""
FINAL_ORDERS_MAX: Final = 100


class DayTotal(msgspec.Struct, frozen=True, gc=False):
    """How much counts against a daily limit; `day` is UTC days since 1970."""

    day: int = 0
    total_e8: int = 0

    def at(self, time_ms: int) -> int:
        """The total so far of the day of `time_ms`, in 1e-8 USD."""
        return self.total_e8 if self.day == time_ms // DAY_MS else 0

    @classmethod
    def of(cls, time_ms: int, total_e8: int) -> "DayTotal":
        """The total of the day of `time_ms`."""
        return cls(time_ms // DAY_MS, total_e8)


class Account(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """One account; `orders` are the open ones, `number` counts all that were accepted.

    `final_orders` keeps the latest `FINAL_ORDERS_MAX` finished ones with their client order id,
    oldest first; `client_order_ids` has those of the open and of these. Every dict is in the order
    of the account's history, so that the stored form is the same for the same history (S2).
    `transactions` counts the money movements. `volumes` has what was traded on each day that
    counts for its tier, in 1e-8 USD.
    """

    holdings: dict[str, Holding] = {}
    orders: dict[str, Order] = {}
    final_orders: dict[str, str | None] = {}
    client_order_ids: dict[str, str] = {}
    number: int = 0
    transactions: int = 0
    deposited: DayTotal = DayTotal()
    withdrawn: DayTotal = DayTotal()
    volumes: dict[int, int] = {}

    def holding(self, asset: str, time_ms: int) -> Holding:
        """What it has of an asset; one never held starts at `time_ms`."""
        held = self.holdings.get(asset)
        if held is None:
            return Holding(asset=asset, free_e8=0, locked_e8=0, created_at_ms=time_ms)
        return held


class Market(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Rules, fees and price band of a market; the band came at `collar_at_ms` of log time."""

    terms: MarketTerms | None = None
    collar: CollarSet | None = None
    collar_at_ms: int = 0


class State(msgspec.Struct):
    """One partition: accounts by id, markets by symbol, and the fees once they were set."""

    accounts: dict[str, Account] = {}
    markets: dict[str, Market] = {}
    fees: FeesSet | None = None

    @property
    def tiers(self) -> Tiers:
        """The fees by tier."""
        return NO_FEES if self.fees is None else self.fees.tiers

    def account(self, account_id: str) -> Account:
        """The account, or an empty one for an id without history; only for reading."""
        return self.accounts.get(account_id) or Account()

    def market_of(self, asset: str) -> Market | None:
        """The market where the asset trades against USD."""
        return self.markets.get(f"{asset}-{CASH}")


def is_house(account_id: str) -> bool:
    """Whether it is the liquidity provider of a market, which may go below zero."""
    return account_id.startswith(HOUSE_PREFIX)
