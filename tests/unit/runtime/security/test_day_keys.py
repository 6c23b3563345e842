"""Pseudonyms of addresses: a key for each day, made once for all processes, gone after 30 days."""

import asyncio
from collections.abc import Sequence
from datetime import date, timedelta

import pytest

from runtime.errors import Unavailable
from runtime.memory_table import MemoryTable
from runtime.security.day_keys import DAY_KEYS, DayKeys
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.vault import VAULT, Vault
from runtime.table import Change, Checkpoint, Row

DAY = date(2026, 11, 22)
NEXT = DAY + timedelta(days=1)


class Process:
    """One process on the shared vault, with a clock of its own."""

    def __init__(self, rows: MemoryTable) -> None:
        self.today = DAY
        self.pseudonyms = Pseudonyms(b"a" * 32)
        self.keys = DayKeys(rows, Vault(rows), self.pseudonyms, today=lambda: self.today)

    def of(self, day: date, address: str = "10.0.0.1") -> str:
        return self.pseudonyms.address(address, day)


@pytest.fixture
def rows() -> MemoryTable:
    return MemoryTable([VAULT])


def stored(rows: MemoryTable) -> dict[str, Row]:
    (row,) = rows.rows("vault").values()
    assert row["key_id"] == DAY_KEYS
    return row["days"]


async def test_all_processes_name_an_address_alike_for_a_day_and_otherwise_the_next(
    rows: MemoryTable,
) -> None:
    auth, gateway = Process(rows), Process(rows)
    await auth.keys.renew()
    await gateway.keys.read()
    assert auth.of(DAY) == gateway.of(DAY) != auth.of(DAY, "10.0.0.2")
    assert auth.of(NEXT) == gateway.of(NEXT) != auth.of(DAY)


async def test_without_a_key_of_the_day_there_is_no_pseudonym(rows: MemoryTable) -> None:
    gateway = Process(rows)
    with pytest.raises(Unavailable):
        await gateway.keys.read()
    with pytest.raises(Unavailable):
        gateway.of(DAY)


async def test_tomorrows_key_is_there_before_midnight_and_stays(rows: MemoryTable) -> None:
    auth = Process(rows)
    await auth.keys.renew()
    before = auth.of(NEXT)
    auth.today = NEXT
    await auth.keys.renew()
    assert auth.of(NEXT) == before
    with pytest.raises(Unavailable):
        auth.of(DAY)


async def test_keys_are_destroyed_after_30_days_also_those_of_a_long_pause(
    rows: MemoryTable,
) -> None:
    auth = Process(rows)
    for _ in range(40):
        await auth.keys.renew()
        auth.today += timedelta(days=1)
    auth.today -= timedelta(days=1)
    assert len(stored(rows)) == 32  # 30 days, today and tomorrow
    assert min(stored(rows)) == (auth.today - timedelta(days=30)).isoformat()
    auth.today += timedelta(days=400)
    await auth.keys.renew()
    assert sorted(stored(rows)) == [
        each.isoformat() for each in (auth.today, auth.today + timedelta(days=1))
    ]


class Racing(MemoryTable):
    """Lets everybody read before the first one writes."""

    def __init__(self, racers: int) -> None:
        super().__init__([VAULT])
        self._barrier = asyncio.Barrier(racers)

    async def transact(
        self, changes: Sequence[Change], *, checkpoints: Sequence[Checkpoint]
    ) -> None:
        async with self._barrier:
            await super().transact(changes, checkpoints=checkpoints)


@pytest.mark.timeout(10)
async def test_of_processes_that_make_keys_at_once_the_first_ones_count() -> None:
    rows = Racing(4)
    processes = [Process(rows) for _ in range(4)]
    for _ in range(3):
        await asyncio.gather(*(each.keys.renew() for each in processes))
        today = processes[0].today
        assert len({each.of(today) for each in processes}) == 1
        assert len({each.of(today + timedelta(days=1)) for each in processes}) == 1
        for each in processes:
            each.today += timedelta(days=1)
