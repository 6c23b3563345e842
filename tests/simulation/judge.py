"""What must hold of a finished run, read from the logs alone and from the live states."""

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

from consumers.identity import invariants as identity_invariants
from runtime.journal.claims import Claims
from runtime.log import Record

from schemas import accounts, journal, markets
from schemas.codec import Message
from schemas.topics import CONTEXTS
from tests.simulation.system import DECIDERS, System

_ENTRY = "source-offset"


def judge(system: System) -> Counter[str]:
    """Check every invariant of the whole; returns how much of what happened.

    Raises:
        AssertionError: saying which invariant, where.
    """
    happened: Counter[str] = Counter()
    events: dict[str, list[Message]] = {context: [] for context in CONTEXTS}
    outcomes: Counter[tuple[str, str]] = Counter()
    for context, place in system.places("journal"):
        valid = list(valid_records(system.broker.records(place)))
        _check_sources(system, context, place[1], valid)
        for record in valid:
            headers = dict(record.headers)
            kind = headers["ce_type"].decode()
            happened[kind] += 1
            if kind in DECIDERS[context].events.types:
                events[context].append(DECIDERS[context].events.decode(kind, record.value or b""))
            if _ENTRY in headers:
                _count_outcome(outcomes, record, headers, kind)
    _check_outcomes(system, outcomes)
    _check_trades(events)
    _check_money(events["accounts"])
    _check_orders(events["accounts"])
    _check_letters(system, happened)
    _check_states(system)
    return happened


def valid_records(records: list[Record]) -> list[Record]:
    """The records that a reader keeps (R1), by the definition rather than by our reader."""
    claims, kept = Claims(), []
    for record in records:
        headers = dict(record.headers)
        kind, epoch = headers["ce_type"].decode(), int(headers["writer-epoch"])
        if kind == journal.WriterClaimed.TYPE:
            if epoch > claims.epoch:
                claims.epoch = epoch
        elif epoch == claims.epoch:
            kept.append(record)
    return kept


def _check_sources(system: System, context: str, number: int, valid: list[Record]) -> None:
    offsets = [
        int(headers["source-offset"])
        for record in valid
        if "source-offset" in (headers := dict(record.headers))
    ]
    runs = [offsets[:1]] + [[b] for a, b in pairwise(offsets) if b != a]
    seen = [each for run in runs for each in run]
    inbox = len(system.broker.records((f"{context}.commands", number)))
    assert seen == list(range(inbox)), f"{context}/{number}: each inbox offset once and in order"


def _count_outcome(
    outcomes: Counter[tuple[str, str]], record: Record, headers: dict[str, bytes], kind: str
) -> None:
    if not headers["ce_id"].endswith(b"/0") or "source" in headers:
        return
    if kind == journal.CommandDiscarded.TYPE:
        return
    word = {
        journal.CommandRefused.TYPE: "refused",
        journal.CommandDuplicate.TYPE: "done" if b":-1}" in (record.value or b"") else "again",
    }.get(kind, "decided")
    outcomes[headers["command-id"].decode(), word] += 1
    if word == "decided":
        appended_ms, expires_ms = int(headers["logical-time"]), int(headers["expires-at"])
        assert appended_ms <= expires_ms, "decided though it came after its time"


def _check_outcomes(system: System, outcomes: Counter[tuple[str, str]]) -> None:
    for command_id in system.workload.sent:
        decided = outcomes[command_id, "decided"]
        others = outcomes[command_id, "refused"] + outcomes[command_id, "done"]
        assert decided <= 1, f"command {command_id} was decided {decided} times"
        assert decided + others >= 1, f"command {command_id} has no outcome"


def _check_trades(events: dict[str, list[Message]]) -> None:
    trades = {each.trade_id: each for each in events["markets"] if _is_trade(each)}
    legs: dict[str, list[Any]] = defaultdict(list)
    for event in events["accounts"]:
        if isinstance(event, accounts.OrderTraded | accounts.HouseTraded):
            legs[event.execution.trade_id].append(event)
    assert len(trades) == sum(map(_is_trade, events["markets"])), "a trade id stands twice"
    assert legs.keys() == trades.keys(), "trades and legs name the same trades"
    for trade_id, trade in trades.items():
        assert len(legs[trade_id]) == 2, f"trade {trade_id} has {len(legs[trade_id])} legs"
        for leg in legs[trade_id]:
            assert leg.execution.quantity_e8 == trade.quantity_e8
            assert leg.execution.notional_e8 == trade.notional_e8
        parties = {trade.maker.account_id, trade.taker.account_id}
        assert {leg.account_id for leg in legs[trade_id]} == parties


def _is_trade(event: Message) -> bool:
    return isinstance(event, markets.TradeExecuted)


def _check_money(events: list[Message]) -> None:
    totals: Counter[tuple[str, str]] = Counter()
    balances: Counter[tuple[str, str, str]] = Counter()
    for event in events:
        for posting in getattr(event, "postings", ()):
            totals[posting.asset, "all"] += posting.amount_e8
            balances[posting.account, posting.asset, posting.bucket] += posting.amount_e8
    assert not any(totals.values()), f"postings do not sum to zero: {totals}"
    for (account, asset, bucket), amount_e8 in balances.items():
        if account.startswith("clearing:"):
            assert amount_e8 == 0, f"{account} keeps {amount_e8} {asset}"
        if not account.startswith(("clearing:", "house:", "external")):
            assert amount_e8 >= 0, f"{account} {asset} {bucket} is {amount_e8}"


def _check_orders(events: list[Message]) -> None:
    accepted: set[str] = set()
    ended: Counter[str] = Counter()
    locked: Counter[str] = Counter()
    for event in events:
        order = getattr(event, "order", None)
        if order is None or order.number == 0:
            continue
        locked[order.order_id] = order.locked_e8
        if isinstance(event, accounts.OrderAccepted):
            accepted.add(order.order_id)
        if isinstance(
            event,
            accounts.OrderFilled
            | accounts.OrderCanceled
            | accounts.OrderExpired
            | accounts.OrderRejected,
        ):
            ended[order.order_id] += 1
            assert order.locked_e8 == 0, "an ended order keeps a lock"
    assert ended.keys() <= accepted
    assert all(count == 1 for count in ended.values()), "an order ended twice"


def _check_letters(system: System, happened: Counter[str]) -> None:
    letters = {
        (place, dict(record.headers)["dlq-offset"])
        for _, place in system.places("commands.dlq")
        for record in system.broker.records(place)
    }
    bodies = {
        record.value
        for _, place in system.places("commands.dlq")
        for record in system.broker.records(place)
    }
    assert bodies == set(system.workload.poison), "the DLQ has each poison message"
    assert len(letters) == happened[journal.CommandDiscarded.TYPE]


def _check_states(system: System) -> None:
    live = {(context, each.partition.number): each for context, each in system.live_writers()}
    states: dict[str, list[Any]] = {context: [] for context in CONTEXTS}
    for context, place in system.places("journal"):
        partition = live[context, place[1]].partition
        folded = system.replayed(context, place[1])
        decider = DECIDERS[context]
        names = sorted(decider.entities(partition.state))
        assert names == sorted(decider.entities(folded.state)), f"{place}: other entities"
        for name in names:
            assert decider.dump(partition.state, name) == decider.dump(folded.state, name), (
                f"{place}: {name} differs from the fold of the journal"
            )
        assert partition.watermarks == folded.watermarks
        assert partition.outbound.sequences == folded.outbound.sequences
        assert partition.time_ms == folded.time_ms
        states[context].append(partition.state)
    identity_invariants.check_idle(states["identity"])
    open_orders = {id_ for each in states["accounts"] for a in each.accounts.values() for id_ in a.orders}
    resting = {id_ for each in states["markets"] for book in each.books.values() for id_ in book.orders}
    assert open_orders == resting, "open orders are those that rest in a book"


