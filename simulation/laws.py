"""What must hold of the valid records of all journals, wherever they lie.

The simulation's judge asks it of memory, the verdict of a real broker.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from runtime.log import Record
from schemas import accounts, identity, journal, markets
from schemas.codec import Codec, Message
from schemas.envelope import (
    CE_TYPE,
    EXPIRES_AT,
    LOGICAL_TIME,
    SOURCE_OFFSET,
    WRITER_EPOCH,
)

EVENTS: Final[Mapping[str, Codec]] = {
    "accounts": accounts.EVENTS,
    "identity": identity.EVENTS,
    "markets": markets.EVENTS,
}
TRIGGERS_LEFT: Final = "more stops triggered than one decision takes"
STOP_MOVED: Final = "a stop got another stop price"
MADE_WAY: Final = "an order made way for its own account's"
ENDS: Final = (
    accounts.OrderFilled,
    accounts.OrderCanceled,
    accounts.OrderExpired,
    accounts.OrderRejected,
)


class Told:
    """Everything that valid records tell: events by context, outcomes by command, a tally."""

    def __init__(self) -> None:
        self.happened: Final[Counter[str]] = Counter()
        self.events: Final[dict[str, list[Message]]] = {context: [] for context in EVENTS}
        self.outcomes: Final[dict[str, Counter[str]]] = defaultdict(Counter)
        """By command id, how often it was `decided`, `refused`, `done` or seen `again`."""
        self.claims = 0
        self.void = 0
        """How many records fenced writers left."""

    def add(self, context: str, record: Record) -> Message | str:
        """Take one valid record in; returns its event, or the type of what the protocol says."""
        headers = record.by_name()
        kind = headers[CE_TYPE].decode()
        self.happened[kind] += 1
        if SOURCE_OFFSET in headers:
            self._count_outcome(record, headers, kind)
        if kind not in EVENTS[context].types:
            return kind
        event = EVENTS[context].decode(kind, record.value or b"")
        self.events[context].append(event)
        if (what := _told_by(event)) is not None:
            self.happened[what] += 1
        return event

    def _count_outcome(self, record: Record, headers: Mapping[str, bytes], kind: str) -> None:
        if not headers["ce_id"].endswith(b"/0") or "source" in headers:
            return
        if kind == journal.CommandDiscarded.TYPE:
            return
        word = {
            journal.CommandRefused.TYPE: "refused",
            journal.CommandDuplicate.TYPE: "done" if b":-1}" in (record.value or b"") else "again",
        }.get(kind, "decided")
        self.outcomes[headers["command-id"].decode()][word] += 1
        if word == "decided":
            decided_ms, expires_ms = int(headers[LOGICAL_TIME]), int(headers[EXPIRES_AT])
            assert decided_ms <= expires_ms, "decided though it came after its time"


def _told_by(event: Message) -> str | None:
    """What an event tells beyond its type."""
    match event:
        case markets.StopsTriggered(next=markets.TriggerStops()):
            return TRIGGERS_LEFT
        case markets.OrderReplaced(stop_price_e8=int()):
            return STOP_MOVED
        case markets.OrderEnded(reason=accounts.Reason.SELF_TRADE, answers_cause=False):
            return MADE_WAY
        case _:
            return None


def valid_records(records: Iterable[Record]) -> list[Record]:
    """The records that a reader keeps (R1), by the definition rather than by our reader."""
    newest = 0
    kept: list[Record] = []
    for record in records:
        headers = record.by_name()
        kind, epoch = headers[CE_TYPE].decode(), int(headers[WRITER_EPOCH])
        if kind == journal.WriterClaimed.TYPE:
            newest = max(newest, epoch)
        elif epoch == newest:
            kept.append(record)
    return kept


def check_sources(name: str, valid: Iterable[Record], inbox_records: int) -> None:
    """Each inbox offset was decided once and in order, and time never went back (T1)."""
    decided = [
        (int(headers[SOURCE_OFFSET]), int(headers[LOGICAL_TIME]))
        for record in valid
        if SOURCE_OFFSET in (headers := record.by_name())
    ]
    offsets = [offset for offset, _ in decided]
    seen = offsets[:1] + [after for before, after in pairwise(offsets) if after != before]
    assert seen == list(range(inbox_records)), f"{name}: each inbox offset once and in order"
    times = [time_ms for _, time_ms in decided]
    assert times == sorted(times), f"{name}: time went back"


def check_outcomes(told: Told, command_ids: Iterable[str]) -> None:
    """Each command was decided at most once, and has an outcome."""
    for command_id in command_ids:
        counted = told.outcomes.get(command_id, Counter[str]())
        assert counted["decided"] <= 1, (
            f"command {command_id} was decided {counted['decided']} times"
        )
        assert counted["decided"] + counted["refused"] + counted["done"] >= 1, (
            f"command {command_id} has no outcome"
        )


def check_events(told: Told) -> None:
    """Trades, money and orders."""
    check_trades(told.events)
    check_money(told.events["accounts"])
    check_orders(told.events["accounts"])


def check_trades(events: Mapping[str, Sequence[Message]]) -> None:
    """Every trade has two equal legs, one for each party."""
    executed = [each for each in events["markets"] if isinstance(each, markets.TradeExecuted)]
    trades = {each.trade_id: each for each in executed}
    legs: dict[str, list[Any]] = defaultdict(list)
    for event in events["accounts"]:
        if isinstance(event, accounts.OrderTraded | accounts.HouseTraded):
            legs[event.execution.trade_id].append(event)
    assert len(trades) == len(executed), "a trade id stands twice"
    assert legs.keys() == trades.keys(), "trades and legs name the same trades"
    for trade_id, trade in trades.items():
        assert len(legs[trade_id]) == 2, f"trade {trade_id} has {len(legs[trade_id])} legs"
        for leg in legs[trade_id]:
            assert leg.execution.quantity_e8 == trade.quantity_e8
            assert leg.execution.notional_e8 == trade.notional_e8
        parties = {trade.maker.account_id, trade.taker.account_id}
        assert {leg.account_id for leg in legs[trade_id]} == parties


def check_money(events: Iterable[Message]) -> None:
    """Postings sum to zero, clearing is empty, nobody is below zero."""
    totals: Counter[str] = Counter()
    balances: Counter[tuple[str, str, str]] = Counter()
    for event in events:
        for posting in getattr(event, "postings", ()):
            totals[posting.asset] += posting.amount_e8
            balances[posting.account, posting.asset, posting.bucket] += posting.amount_e8
    assert not any(totals.values()), f"postings do not sum to zero: {totals}"
    for (account, asset, bucket), amount_e8 in balances.items():
        if account.startswith("clearing:"):
            assert amount_e8 == 0, f"{account} keeps {amount_e8} {asset}"
        if not account.startswith(("clearing:", "house:", "external")):
            assert amount_e8 >= 0, f"{account} {asset} {bucket} is {amount_e8}"


def check_orders(events: Iterable[Message]) -> None:
    """An accepted order ends at most once, and then locks nothing."""
    accepted: set[str] = set()
    ended: Counter[str] = Counter()
    for event in events:
        order = getattr(event, "order", None)
        if order is None or order.number == 0:
            continue
        if isinstance(event, accounts.OrderAccepted):
            accepted.add(order.order_id)
        if isinstance(event, ENDS):
            ended[order.order_id] += 1
            assert order.locked_e8 == 0, "an ended order keeps a lock"
    assert ended.keys() <= accepted
    assert all(count == 1 for count in ended.values()), "an order ended twice"


def check_books(states: Mapping[str, Iterable[Any]]) -> None:
    """Open orders of the accounts are those in a book, with the same quantity left."""
    open_orders = {
        order_id: order.quantity_e8 - order.cum_quantity_e8
        for state in states["accounts"]
        for account in state.accounts.values()
        for order_id, order in account.orders.items()
    }
    resting = {
        order_id: order.leaves_e8
        for state in states["markets"]
        for book in state.books.values()
        for order_id, order in book.orders.items()
    }
    stops = {
        order_id: stop.order.quantity_e8
        for state in states["markets"]
        for book in state.books.values()
        for order_id, stop in book.stops.orders.items()
    }
    assert open_orders == resting | stops, "open orders are those that rest or wait in a book"
