"""A matcher too simple to be wrong: one list of orders, sorted anew whenever somebody comes.

It shares nothing with the real one: decimals instead of integers, no ladders, no events. Price
first, then time; the house comes last at its price; the price is that of who was there first.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import ROUND_FLOOR, Decimal
from typing import Final, NamedTuple

HOUSE: Final = "house"
NOTHING: Final = Decimal(0)
_UNIT: Final = Decimal("0.00000001")


class Traded(NamedTuple):
    """One fill."""

    maker: str
    taker: str
    price: Decimal
    quantity: Decimal
    notional: Decimal


@dataclass
class Offer:
    """Somebody's wish to trade; `arrived` counts all that ever rested."""

    name: str
    is_buy: bool
    price: Decimal
    leaves: Decimal
    arrived: int = 0


@dataclass
class BruteForce:
    """A market; its quote is good for `stale_after_ms`."""

    stale_after_ms: int
    resting: list[Offer] = field(default_factory=list[Offer])
    house: list[Offer] = field(default_factory=list[Offer])
    quoted_ms: int = 0
    arrivals: int = 0

    def submit(self, order: Offer, *, now_ms: int, rests: bool) -> list[Traded]:
        """Trade with the best as far as the price goes; what is left may rest."""
        house = self.house if now_ms - self.quoted_ms <= self.stale_after_ms else []
        met = [
            each
            for each in (*self.resting, *house)
            if each.is_buy is not order.is_buy and _reaches(order, each.price)
        ]
        met.sort(key=lambda each: (_distance(each), each.name == HOUSE, each.arrived))
        trades = [_trade(order, maker) for maker in met if order.leaves]
        if trades:
            self._sweep()
        if rests and order.leaves:
            self.rest(order)
        return trades

    def rest(self, order: Offer) -> None:
        """Put an order last."""
        self.arrivals += 1
        order.arrived = self.arrivals
        self.resting.append(order)

    def quote(self, bid: Offer, ask: Offer, *, now_ms: int) -> list[Traded]:
        """The house offers anew, and takes what its prices reach, at the resting orders' prices."""
        self.house = [bid, ask]
        self.quoted_ms = now_ms
        trades: list[Traded] = []
        for house in self.house:
            trades += self.submit(house, now_ms=now_ms, rests=False)
        return trades

    def cancel(self, name: str) -> None:
        """Take an order out."""
        self.resting = [each for each in self.resting if each.name != name]

    def shrink(self, name: str, leaves: Decimal) -> None:
        """Leave less of an order, at its place."""
        next(each for each in self.resting if each.name == name).leaves = leaves

    def depth(self, *, is_buy: bool) -> list[tuple[Decimal, Decimal, int]]:
        """Price, sum and number of orders of each level, best first."""
        sizes: dict[Decimal, list[Decimal]] = defaultdict(list)
        for each in self.resting:
            if each.is_buy is is_buy:
                sizes[each.price].append(each.leaves)
        levels = sorted(sizes.items(), reverse=is_buy)
        return [(price, sum(there, NOTHING), len(there)) for price, there in levels]

    def _sweep(self) -> None:
        self.resting = [each for each in self.resting if each.leaves]
        self.house = [each for each in self.house if each.leaves]


def _trade(taker: Offer, maker: Offer) -> Traded:
    quantity = min(taker.leaves, maker.leaves)
    taker.leaves -= quantity
    maker.leaves -= quantity
    notional = (maker.price * quantity).quantize(_UNIT, ROUND_FLOOR)
    return Traded(maker.name, taker.name, maker.price, quantity, notional)


def _reaches(order: Offer, price: Decimal) -> bool:
    return price <= order.price if order.is_buy else price >= order.price


def _distance(offer: Offer) -> Decimal:
    """Less is better."""
    return -offer.price if offer.is_buy else offer.price
