"""Keys of network addresses: a random one for each UTC day, in one row of the vault.

A pseudonym of an address is worth nothing once its day's key is destroyed, which it is after 30
days: there are only so many addresses, so whoever had the key could try them all.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, Protocol

from runtime.errors import Unavailable
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.vault import VAULT, Vault
from runtime.table import Change, Checkpoint, ConditionFailed, Row

DAY_KEYS: Final = "addresses"
"""The row's key id in the vault."""
KEPT_DAYS: Final = 30

_LOG: Final = logging.getLogger(__name__)
_KEY_BYTES: Final = 32
_HOUR_S: Final = 3_600.0
_AGAIN_S: Final = 30.0


class Rows(Protocol):
    """What is needed of the table store; every method raises `Unavailable`."""

    async def get(self, table: str, key: Row) -> Row | None:
        """The row with this key."""
        ...

    async def transact(
        self, changes: Sequence[Change], *, checkpoints: Sequence[Checkpoint]
    ) -> None:
        """Write rows if those that are expected are there; raises `ConditionFailed` otherwise."""
        ...


def _today() -> date:
    return datetime.now(UTC).date()


class DayKeys:
    """Gives pseudonyms the keys of today and tomorrow.

    Auth renews them, so that tomorrow's is there before anybody needs it; gateways only read.
    """

    def __init__(
        self,
        rows: Rows,
        vault: Vault,
        pseudonyms: Pseudonyms,
        *,
        today: Callable[[], date] = _today,
    ) -> None:
        self._rows: Final = rows
        self._vault: Final = vault
        self._pseudonyms: Final = pseudonyms
        self._today: Final = today

    async def read(self) -> None:
        """Take the keys that are there.

        Raises:
            Unavailable: the vault does not answer, or has none for today yet.
        """
        row = await self._rows.get(VAULT.name, {"key_id": DAY_KEYS})
        stored: Mapping[str, Row] = {} if row is None else row["days"]
        wanted = [each for each in self._wanted() if each.isoformat() in stored]
        self._pseudonyms.take(
            {each: await self._vault.opened(_id(each), stored[each.isoformat()]) for each in wanted}
        )
        if self._today() not in wanted:
            raise Unavailable("the vault has no key for today's addresses yet")

    async def renew(self) -> None:
        """Make the keys that are missing, destroy those that are too old, and take them.

        Several processes may do it at once: the first one's keys count.

        Raises:
            Unavailable: the vault does not answer.
        """
        while (change := await self._due()) is not None:
            with suppress(ConditionFailed):
                await self._rows.transact((), checkpoints=[change])
        await self.read()

    async def _due(self) -> Checkpoint | None:
        row: Any = await self._rows.get(VAULT.name, {"key_id": DAY_KEYS})
        stored: Mapping[str, Row] = {} if row is None else row["days"]
        oldest = (self._today() - timedelta(days=KEPT_DAYS)).isoformat()
        kept = {day: key for day, key in stored.items() if day >= oldest}
        missing = [each for each in self._wanted() if each.isoformat() not in kept]
        if not missing and len(kept) == len(stored):
            return None
        made = {each.isoformat(): await self._made(each) for each in missing}
        version = 0 if row is None else row["version"]
        changed = {"key_id": DAY_KEYS, "version": version + 1, "days": kept | made}
        return Checkpoint(VAULT.name, changed, None if row is None else {"version": version})

    async def _made(self, day: date) -> Row:
        return await self._vault.closed(_id(day), secrets.token_bytes(_KEY_BYTES))

    def _wanted(self) -> tuple[date, date]:
        return self._today(), self._today() + timedelta(days=1)


async def each_hour(refresh: Callable[[], Awaitable[None]]) -> None:
    """Read or renew the keys for as long as the process lives, sooner again when that failed."""
    while True:
        try:
            await refresh()
        except Unavailable as error:
            _LOG.warning("keys for addresses: %s", error)
            await asyncio.sleep(_AGAIN_S)
        else:
            await asyncio.sleep(_HOUR_S)


def _id(day: date) -> str:
    return f"{DAY_KEYS}/{day}"
