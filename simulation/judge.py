"""What must hold of a finished run, read from the logs alone and from the live states."""

from collections import Counter
from typing import Any

from consumers.identity import invariants as identity_invariants
from schemas import journal
from schemas.topics import CONTEXTS
from simulation.laws import (
    Told,
    check_books,
    check_events,
    check_outcomes,
    check_sources,
    valid_records,
)
from simulation.system import DECIDERS, System


def judge(system: System) -> Counter[str]:
    """Check every invariant of the whole; returns how much of what happened.

    Raises:
        AssertionError: saying which invariant, where.
    """
    told = Told()
    for context, place in system.places("journal"):
        valid = valid_records(system.broker.records(place))
        inbox = len(system.broker.records((f"{context}.commands", place[1])))
        check_sources(f"{context}/{place[1]}", valid, inbox)
        for record in valid:
            told.add(context, record)
    check_outcomes(told, system.workload.sent)
    check_events(told)
    _check_letters(system, told.happened)
    _check_states(system)
    return told.happened


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
    check_books(states)
