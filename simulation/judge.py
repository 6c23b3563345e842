"""What must hold of a finished run, read from the logs alone and from the live states."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from consumers.identity import invariants as identity_invariants
from runtime.journal.entries import constant_headers
from runtime.log import NewRecord, Record
from schemas import journal
from schemas.envelope import CE_TYPE, SOURCE_OFFSET
from schemas.topics import CONTEXTS, inbox_of
from simulation.laws import (
    Told,
    check_books,
    check_events,
    check_outcomes,
    check_sources,
    valid_records,
)
from simulation.reference import exchange as reference
from simulation.reference.comparing import check as check_results
from simulation.system import DECIDERS, System

if TYPE_CHECKING:
    from simulation.reference.exchange import Name, Said

_WRITERS_OWN: Final = len(constant_headers("", 0))
"""How many headers say whose record it is; those behind them follow from the inbox alone."""
_POINTER: Final = journal.CommandDuplicate.TYPE.encode()


def judge(system: System) -> Counter[str]:
    """Check every invariant of the whole; returns how much of what happened.

    Raises:
        AssertionError: saying which invariant, where.
    """
    told = Told()
    said: dict[Name, dict[int, list[Said]]] = {}
    for context, place in system.places("journal"):
        valid = valid_records(system.broker.records(place))
        inbox = system.broker.records((inbox_of(context), place[1]))
        name = f"{context}/{place[1]}"
        check_sources(name, valid, len(inbox))
        journaled: dict[int, list[Record]] = defaultdict(list)
        by_offset = said[context, place[1]] = defaultdict(list)
        for record in valid:
            event = told.add(context, record)
            if (source := record.by_name().get(SOURCE_OFFSET)) is not None:
                offset = int(source)
                journaled[offset].append(record)
                by_offset[offset].append(event)
        _check_decisions(system, context, place[1], journaled)
    inboxes = {
        (context, place[1]): system.broker.records(place)
        for context, place in system.places("commands")
        if context in reference.COMMANDS
    }
    check_results(inboxes, said)
    check_outcomes(told, system.workload.sent)
    check_events(told)
    _check_letters(system, told.happened)
    _check_states(system)
    return told.happened


def _check_decisions(
    system: System, context: str, number: int, journaled: Mapping[int, Sequence[Record]]
) -> None:
    """The journal is what one undisturbed writer decides from the same inbox, event by event."""
    partition = system.anew(context, number)
    for record in system.broker.records(partition.inbox):
        found = journaled[record.offset]
        partition.next_offset = found[0].offset  # what outcomes refer to
        decided = partition.decide(record)
        where = f"{context}/{number}: {record.offset}"
        assert len(found) == len(decided), f"{where} was decided to other events"
        assert all(map(_is_same, found, decided)), f"{where} was decided differently"


def _is_same(found: Record, decided: NewRecord) -> bool:
    """Whether they differ in nothing but their writers, and in where a duplicate points."""
    return found.headers[_WRITERS_OWN:] == tuple(decided.headers) and (
        found.value == decided.value or found.by_name()[CE_TYPE] == _POINTER
    )


def _check_letters(system: System, happened: Counter[str]) -> None:
    letters = {
        (place, record.by_name()["dlq-offset"])
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
    check_books(states)
