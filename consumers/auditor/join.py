"""Joins every trade with its two legs and folds every posting; no I/O.

Memory is bounded by what is in flight: a joined trade is forgotten. What comes again after that is
still seen, exactly and without keeping ids:

- a leg's source sequence must exceed that of the leg before it from the same market partition to
  the same accounts partition (O1), whether one fact was applied or one inbox record decided twice;
- a trade's inbox offset must not fall, and at the same offset its id must be new there;
- a leg sent twice under two sequences has no trade left to join and grows old as unmatched.
"""

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from schemas.accounts import Execution, HouseTraded, OrderTraded, Posting, Side
from schemas.markets import Party, TradeExecuted

_CLEARING: Final = "clearing:"


class Fault(StrEnum):
    """What must never be."""

    UNEQUAL_LEG = "unequal-leg"
    DOUBLED_LEG = "doubled-leg"
    DOUBLED_TRADE = "doubled-trade"
    UNBALANCED_EVENT = "unbalanced-event"


class Seen(NamedTuple):
    """Where a journal record came from: its partition, inbox offset, broker time and source."""

    partition: int
    source_offset: int
    time_ms: int
    source: str | None = None
    source_sequence: int | None = None


class Leg(NamedTuple):
    """What a leg and its trade must agree on; amounts are integers of 1e-8 units.

    The house has no order, so it has no cumulative quantity either.
    """

    account_id: str
    side: Side
    order_id: str | None
    cum_quantity_e8: int
    price_e8: int
    quantity_e8: int
    notional_e8: int


class Unmatched(NamedTuple):
    """How many wait for their other half, and since when (broker ms; None when none waits)."""

    number: int
    oldest_ms: int | None


class _Open:
    """A trade of which not everything has come yet."""

    __slots__ = ("legs", "since_ms", "trade")

    def __init__(self, since_ms: int) -> None:
        self.since_ms: Final = since_ms
        self.trade: TradeExecuted | None = None
        self.legs: dict[Side, Leg] = {}


class Join:
    """The auditor's books: feed it the valid records of each partition in order."""

    def __init__(self) -> None:
        self.imbalance_e8: Counter[str] = Counter()
        """Sum of all postings by asset."""
        self.clearing_e8: Counter[tuple[str, str]] = Counter()
        """Balance of `clearing:<symbol>` by symbol and asset."""
        self.matched: Counter[str] = Counter()
        """Trades with two equal legs, by symbol."""
        self.faults: Counter[str] = Counter()
        self._open: dict[str, _Open] = {}
        self._leg_sequences: dict[tuple[int, str], int] = {}
        self._trades_at: dict[int, tuple[int, set[str]]] = {}

    def trade(self, trade: TradeExecuted, seen: Seen) -> Fault | None:
        """Take in a trade of a markets journal; what is wrong with it is counted and returned."""
        if self._is_doubled_trade(trade.trade_id, seen):
            return self._fault(Fault.DOUBLED_TRADE)
        waiting = self._waiting(trade.trade_id, seen)
        waiting.trade = trade
        return self._settle(trade.trade_id, waiting)

    def leg(self, event: OrderTraded | HouseTraded, seen: Seen) -> Fault | None:
        """Take in one leg of an accounts journal; what is wrong with it is counted and returned."""
        trade_id, leg = event.execution.trade_id, _leg_of(event)
        if self._is_doubled_leg(seen):
            return self._fault(Fault.DOUBLED_LEG)
        waiting = self._waiting(trade_id, seen)
        if leg.side in waiting.legs:
            return self._fault(Fault.DOUBLED_LEG)
        waiting.legs[leg.side] = leg
        return self._settle(trade_id, waiting)

    def fold(self, postings: Iterable[Posting]) -> Fault | None:
        """Add an event's postings to the books; they must sum to zero per asset."""
        sums: Counter[str] = Counter()
        for posting in postings:
            sums[posting.asset] += posting.amount_e8
            if posting.account.startswith(_CLEARING):
                symbol = posting.account.removeprefix(_CLEARING)
                self.clearing_e8[symbol, posting.asset] += posting.amount_e8
        for asset, amount_e8 in sums.items():
            self.imbalance_e8[asset] += amount_e8
        return self._fault(Fault.UNBALANCED_EVENT) if any(sums.values()) else None

    def unmatched_trades(self) -> Unmatched:
        """Trades that miss a leg."""
        return _unmatched(each for each in self._open.values() if each.trade is not None)

    def unmatched_legs(self) -> Unmatched:
        """Legs (by trade) whose trade has not come."""
        return _unmatched(each for each in self._open.values() if each.trade is None)

    def _waiting(self, trade_id: str, seen: Seen) -> _Open:
        waiting = self._open.get(trade_id)
        if waiting is None:
            waiting = self._open[trade_id] = _Open(seen.time_ms)
        return waiting

    def _settle(self, trade_id: str, waiting: _Open) -> Fault | None:
        trade = waiting.trade
        if trade is None or len(waiting.legs) < len(Side):
            return None
        del self._open[trade_id]
        if set(waiting.legs.values()) != {
            _expected(trade, trade.maker),
            _expected(trade, trade.taker),
        }:
            return self._fault(Fault.UNEQUAL_LEG)
        self.matched[trade.symbol] += 1
        return None

    def _is_doubled_trade(self, trade_id: str, seen: Seen) -> bool:
        offset, ids = self._trades_at.get(seen.partition, (-1, set[str]()))
        if seen.source_offset > offset:
            self._trades_at[seen.partition] = (seen.source_offset, {trade_id})
            return False
        if seen.source_offset < offset or trade_id in ids:
            return True
        ids.add(trade_id)
        return False

    def _is_doubled_leg(self, seen: Seen) -> bool:
        if seen.source is None or seen.source_sequence is None:
            return False
        place = (seen.partition, seen.source)
        if seen.source_sequence <= self._leg_sequences.get(place, 0):
            return True
        self._leg_sequences[place] = seen.source_sequence
        return False

    def _fault(self, fault: Fault) -> Fault:
        self.faults[fault] += 1
        return fault


def _leg_of(event: OrderTraded | HouseTraded) -> Leg:
    match event:
        case OrderTraded(order=order):
            return _leg(
                event.execution,
                account_id=event.account_id,
                side=order.side,
                order_id=order.order_id,
                cum_quantity_e8=order.cum_quantity_e8,
            )
        case HouseTraded():
            return _leg(event.execution, account_id=event.account_id, side=event.side)


def _leg(
    execution: Execution,
    *,
    account_id: str,
    side: Side,
    order_id: str | None = None,
    cum_quantity_e8: int = 0,
) -> Leg:
    return Leg(
        account_id,
        side,
        order_id,
        cum_quantity_e8,
        execution.price_e8,
        execution.quantity_e8,
        execution.notional_e8,
    )


def _expected(trade: TradeExecuted, party: Party) -> Leg:
    is_house = party.order_id is None
    return Leg(
        party.account_id,
        party.side,
        party.order_id,
        0 if is_house else party.cum_quantity_e8,
        trade.price_e8,
        trade.quantity_e8,
        trade.notional_e8,
    )


def _unmatched(waiting: Iterable[_Open]) -> Unmatched:
    since = [each.since_ms for each in waiting]
    return Unmatched(len(since), min(since, default=None))
