"""Read models folded in memory from journals that the real decider made."""

from collections.abc import Awaitable, Callable

import pytest
from journals import History

from runtime.memory_table import MemoryTable
from runtime.projection import Projection
from runtime.projector import Projector
from schemas.topics import ACCOUNTS_JOURNAL

Folded = Callable[[Projection, History], Awaitable[MemoryTable]]


@pytest.fixture
def folded() -> Folded:
    """`await folded(projection, history)`: the read model's tables after the whole history."""

    async def fold(projection: Projection, history: History) -> MemoryTable:
        table = MemoryTable(projection.tables)
        projector = Projector((projection,), ACCOUNTS_JOURNAL, 0, table)
        for start in range(0, len(history.records), 25):
            await projector.step(history.records[start : start + 25], now_s=0)
        return table

    return fold
