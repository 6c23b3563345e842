"""Reads journal records into the join: void records skipped (R1), positions kept; no I/O."""

from collections.abc import Mapping
from typing import Any, Final

from consumers.auditor.join import Fault, Join, Seen, Unmatched
from runtime.journal.claims import Claims
from runtime.log import Place, Record
from schemas import accounts, markets
from schemas.accounts import HouseTraded, OrderTraded
from schemas.codec import Message
from schemas.envelope import (
    CE_TYPE,
    SOURCE,
    SOURCE_OFFSET,
    SOURCE_SEQUENCE,
    WRITER_EPOCH,
    header_map,
)
from schemas.journal import JOURNAL
from schemas.markets import TradeExecuted
from schemas.topics import ACCOUNTS_JOURNAL, MARKETS_JOURNAL

JOURNALS: Final = {ACCOUNTS_JOURNAL: accounts.EVENTS, MARKETS_JOURNAL: markets.EVENTS}
"""What the auditor reads, by registry name, each with the codec of its events."""


class Reader:
    """The auditor's memory: one join, and per partition the newest claim and the next offset."""

    def __init__(self) -> None:
        self.join: Final = Join()
        self.next_offsets: Final[dict[Place, int]] = {}
        self._claims: Final[dict[Place, Claims]] = {}

    def take(self, place: Place, record: Record) -> Fault | None:
        """Take in the next record of a journal partition; a fault is counted and returned.

        Raises:
            PoisonMessage: an event that this version does not know; upgrade the auditor first.
        """
        self.next_offsets[place] = record.offset + 1
        headers = header_map(record.headers)
        event_type = headers[CE_TYPE].decode()
        claims = self._claims.setdefault(place, Claims())
        if not claims.admits(event_type, int(headers[WRITER_EPOCH]), record.offset):
            return None
        if event_type in JOURNAL.types:
            return None
        event = JOURNALS[place[0]].decode(event_type, record.value or b"")
        return self._book(event, _seen(place[1], record.timestamp_ms, headers))

    def _book(self, event: Message, seen: Seen) -> Fault | None:
        match event:
            case TradeExecuted():
                return self.join.trade(event, seen)
            case OrderTraded() | HouseTraded():
                unbalanced = self.join.fold(event.postings)
                return self.join.leg(event, seen) or unbalanced
            case _:
                return self.join.fold(getattr(event, "postings", ()))

    def snapshot(self, now_ms: int) -> dict[str, Any]:
        """The books as JSON values; amounts are strings of 1e-8 units, ages seconds."""
        join = self.join
        return {
            "imbalance_e8": {asset: str(amount) for asset, amount in join.imbalance_e8.items()},
            "clearing_e8": {
                f"{symbol}/{asset}": str(amount)
                for (symbol, asset), amount in join.clearing_e8.items()
            },
            "matched": dict(join.matched),
            "unmatched": {
                "trade": _waiting(join.unmatched_trades(), now_ms),
                "leg": _waiting(join.unmatched_legs(), now_ms),
            },
            "faults": {fault.value: join.faults[fault] for fault in Fault},
            "next_offsets": {
                f"{topic}/{partition}": offset
                for (topic, partition), offset in self.next_offsets.items()
            },
        }


def _seen(partition: int, time_ms: int, headers: Mapping[str, bytes]) -> Seen:
    source, sequence = headers.get(SOURCE), headers.get(SOURCE_SEQUENCE)
    return Seen(
        partition,
        int(headers[SOURCE_OFFSET]),
        time_ms,
        source.decode() if source is not None else None,
        int(sequence) if sequence is not None else None,
    )


def _waiting(unmatched: Unmatched, now_ms: int) -> dict[str, float]:
    return {"count": unmatched.number, "age_s": age_s(unmatched, now_ms)}


def age_s(unmatched: Unmatched, now_ms: int) -> float:
    """How long the oldest has waited, in seconds; 0 when none waits."""
    return max(0, now_ms - unmatched.oldest_ms) / 1000 if unmatched.oldest_ms is not None else 0.0
