import json
from collections.abc import Sequence

import msgspec
import pytest

from runtime.log import Place, Record
from runtime.replay import Bound, Line, Selection, ends, journal_named, parse_bound, replay
from schemas.accounts import CollarSet
from schemas.codec import Message, PoisonMessage, encode
from schemas.envelope import (
    CE_TYPE,
    COMMAND_ID,
    ENTITY_ID,
    ENTITY_VERSION,
    LOGICAL_TIME,
    WRITER_EPOCH,
)
from schemas.journal import CommandDuplicate, WriterClaimed
from schemas.topics import ACCOUNTS_JOURNAL

EVERYTHING = Selection()


class Journal:
    """Partitions as lists; reads give at most three records at once."""

    def __init__(self, *partitions: Sequence[Record]) -> None:
        self._partitions = partitions

    async def partitions(self, topic: str) -> int:
        assert topic == ACCOUNTS_JOURNAL
        return len(self._partitions)

    async def end_offset(self, place: Place) -> int:
        return len(self._partitions[place[1]])

    async def read(self, place: Place, offset: int, *, wait_ms: int = 0) -> Sequence[Record]:
        assert wait_ms
        return self._partitions[place[1]][offset : offset + 3]


def record(offset: int, event: Message, *, epoch: int = 1, entity: str = "") -> Record:
    headers = [(CE_TYPE, event.TYPE.encode()), (WRITER_EPOCH, b"%d" % epoch)]
    if entity:
        headers += [
            (ENTITY_ID, entity.encode()),
            (ENTITY_VERSION, b"4"),
            (COMMAND_ID, b"c1"),
            (LOGICAL_TIME, b"1500"),
        ]
    return Record(offset, 1_000 * offset, None, encode(event), headers)


def collar(symbol: str = "BTC-USD") -> CollarSet:
    return CollarSet(symbol=symbol, last_e8=2**60, low_e8=1, high_e8=3)


def journal() -> Journal:
    first = (
        record(0, WriterClaimed()),
        record(1, collar(), entity="market:BTC-USD"),
        record(2, WriterClaimed(), epoch=2),
        record(3, collar("VOID-USD"), epoch=1, entity="market:VOID-USD"),
        record(4, CommandDuplicate(command_id="c", first_offset=1), epoch=2),
        record(5, collar("ETH-USD"), epoch=2, entity="market:ETH-USD"),
    )
    second = (record(0, WriterClaimed()), record(1, collar("XRP-USD"), entity="market:XRP-USD"))
    return Journal(first, second)


async def lines(selection: Selection, source: Journal) -> list[Line]:
    until = await ends(source, ACCOUNTS_JOURNAL, selection)
    return [each async for each in replay(source, selection, until)]


async def places(selection: Selection) -> list[tuple[int, int]]:
    return [(each.partition, each.offset) for each in await lines(selection, journal())]


@pytest.mark.anyio
async def test_records_of_fenced_writers_are_left_out() -> None:
    assert await places(EVERYTHING) == [(0, 0), (0, 1), (0, 2), (0, 4), (0, 5), (1, 0), (1, 1)]


@pytest.mark.anyio
async def test_a_start_in_the_middle_still_knows_the_claims_before_it() -> None:
    assert await places(Selection(start=Bound(offset=3))) == [(0, 4), (0, 5)]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(start=Bound(offset=1, partition=1)), [(1, 1)]),
        (Selection(end=Bound(offset=2)), [(0, 0), (0, 1), (1, 0), (1, 1)]),
        (Selection(start=Bound(time_ms=4_001)), [(0, 5)]),
        (Selection(start=Bound(time_ms=1), end=Bound(time_ms=1_001)), [(0, 1), (1, 1)]),
        (Selection(types=("accounts.*",)), [(0, 1), (0, 5), (1, 1)]),
        (Selection(entity_id="market:ETH-USD"), [(0, 5)]),
    ],
)
async def test_only_what_is_asked_for_is_shown(
    selection: Selection, expected: list[tuple[int, int]]
) -> None:
    assert await places(selection) == expected


@pytest.mark.anyio
async def test_a_line_has_the_envelope_and_the_message_with_amounts_as_strings() -> None:
    (line,) = await lines(Selection(entity_id="market:BTC-USD"), journal())
    assert json.loads(msgspec.json.encode(line)) == {
        "journal": "accounts.journal",
        "partition": 0,
        "offset": 1,
        "time": "1970-01-01T00:00:01.000Z",
        "logical_time": "1970-01-01T00:00:01.500Z",
        "type": "accounts.collar-set.v1",
        "command_id": "c1",
        "entity_id": "market:BTC-USD",
        "entity_version": 4,
        "writer_epoch": 1,
        "data": {"symbol": "BTC-USD", "last_e8": str(2**60), "low_e8": "1", "high_e8": "3"},
    }


@pytest.mark.anyio
async def test_progress_counts_every_record_up_to_the_end() -> None:
    passed: list[int] = []
    source = journal()
    until = await ends(source, ACCOUNTS_JOURNAL, EVERYTHING)
    selection = Selection(end=Bound(offset=4))
    async for _ in replay(source, selection, until, advanced=passed.append):
        pass
    assert sum(passed) == 8


@pytest.mark.anyio
async def test_an_unknown_event_is_said_with_its_place() -> None:
    unknown = Record(1, 0, None, b"{}", [(CE_TYPE, b"accounts.new-thing.v9"), (WRITER_EPOCH, b"1")])
    with pytest.raises(PoisonMessage, match=r"accounts\.journal/0/1"):
        await lines(EVERYTHING, Journal((record(0, WriterClaimed()), unknown)))


def test_bounds_are_offsets_places_or_times() -> None:
    assert parse_bound("17") == Bound(offset=17)
    assert parse_bound("3:17") == Bound(offset=17, partition=3)
    assert parse_bound("1970-01-01T00:00:01.5Z") == Bound(time_ms=1_500)
    assert parse_bound("1970-01-01T01:00:01+01:00") == Bound(time_ms=1_000)


@pytest.mark.parametrize("text", ["", "x", "-1", "1:", "1:2:3", "2026-01-31", "2026-01-31T12:00"])
def test_other_bounds_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not an offset"):
        parse_bound(text)


def test_bounds_of_two_partitions_are_refused() -> None:
    selection = Selection(Bound(offset=1, partition=0), Bound(offset=1, partition=1))
    with pytest.raises(ValueError, match="same partition"):
        selection.partitions(2)


def test_a_journal_may_be_called_by_its_context() -> None:
    assert journal_named("accounts") == journal_named("accounts.journal") == ACCOUNTS_JOURNAL
    with pytest.raises(ValueError, match="no journal 'orders'"):
        journal_named("orders")
