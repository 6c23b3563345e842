"""A read sees every decision of its account that was acknowledged before it (design, section 6)."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from starlette.requests import Request

from gateway.answers import ACCOUNT_VERSION
from gateway.journal_tail import JournalTail, Newest
from gateway.problems import Problem, invalid
from runtime.errors import Unavailable
from runtime.journal.outbound import partition_of
from schemas.envelope import rfc3339
from schemas.topics import ACCOUNTS_JOURNAL, IDENTITY_JOURNAL

WAIT_S: Final = 2.0
_POLL_S: Final = 0.004
_POLL_S_MAX: Final = 0.1
_VERSION_DIGITS: Final = 18


class Versioned(Protocol):
    """How far a read model has come with one account or user."""

    @property
    def version(self) -> int:
        """The version of the last record that it shows."""
        ...


class Head(Versioned, Protocol):
    """A head that also says when its newest event was decided, in broker ms."""

    @property
    def time_ms(self) -> int:
        """When that was decided."""
        ...


VersionedT = TypeVar("VersionedT", bound=Versioned)


class AsOf(NamedTuple):
    """How fresh an answer is; `lag_ms` is None when nobody could say."""

    version: int
    time_ms: int | None
    lag_ms: int | None
    is_stale: bool

    def view(self) -> dict[str, Any]:
        """The `as_of` member of answers."""
        return {
            "version": self.version,
            "time": None if self.time_ms is None else rfc3339(self.time_ms),
            "lag_ms": self.lag_ms,
        }

    def absent(self, code: str, *, detail: str | None = None) -> Problem:
        """What a read answers that found nothing, which is certain only when it is not stale."""
        if self.is_stale:
            return Problem("version-not-reached")
        return Problem(code, detail=detail)

    def headers(self) -> dict[str, str]:
        """The headers that say the same."""
        headers = {ACCOUNT_VERSION: str(self.version)}
        if self.is_stale:
            headers["X-Stale"] = "true"
        return headers


class Freshness:
    """Waits for read models, at most 2 s in all."""

    def __init__(
        self, tail: JournalTail, heads: Sequence[Callable[[str], Awaitable[Head | None]]]
    ) -> None:
        self._tail: Final = tail
        self._heads: Final = heads

    async def account(
        self,
        account_id: str,
        model: str,
        head: Callable[[], Awaitable[Head | None]],
        *,
        at_least: int | None = None,
    ) -> AsOf:
        """How fresh the model is for this account, after waiting for it.

        Raises:
            Problem: the version that the caller demanded is not there in time.
            Unavailable: the read model cannot be read.
        """
        wait = _Wait(self._tail, ACCOUNTS_JOURNAL, account_id, account_id, model)
        await wait.reach_end()
        seen = await wait.until_projected(head)
        if at_least is None:
            return wait.as_of(seen)
        while wait.version(seen) < at_least and not await self._has(account_id, at_least):
            if not await wait.pause():
                raise Problem("version-not-reached")
            await wait.reach_end()
            seen = await wait.until_projected(head)
        if wait.is_behind(seen):
            raise Problem("version-not-reached")
        return wait.as_of(seen, at_least)

    async def _has(self, account_id: str, at_least: int) -> bool:
        """Whether any read model has come to this version of the account."""
        heads = [await head(account_id) for head in self._heads]
        return max(map(_version, heads)) >= at_least

    async def user(
        self,
        username_hmac: str,
        row: Callable[[], Awaitable[Versioned | None]],
        *,
        model: str = "users",
    ) -> bool:
        """Wait for the users read model (`users` or `sessions`); whether it has come so far."""
        entity = f"user:{username_hmac}"
        wait = _Wait(self._tail, IDENTITY_JOURNAL, username_hmac, entity, model)
        await wait.reach_end()
        return not wait.is_behind(await wait.until_projected(row)) and wait.knows_end


def min_version(request: Request) -> int | None:
    """The request's X-Min-Account-Version.

    Raises:
        Problem: it is no version.
    """
    given = request.headers.get("x-min-account-version")
    if given is None:
        return None
    if not given.isascii() or not given.isdecimal() or len(given) > _VERSION_DIGITS:
        raise invalid("X-Min-Account-Version", "has to be a version, a whole number")
    return int(given)


class _Wait:
    """One read's wait, for one entity in one model."""

    def __init__(self, tail: JournalTail, topic: str, key: str, entity: str, model: str) -> None:
        self._tail: Final = tail
        self._topic: Final = topic
        self._key: Final = key
        self._entity: Final = entity
        self._model: Final = model
        self._deadline_s: Final = asyncio.get_running_loop().time() + WAIT_S
        self._partition: int | None = None
        self._pause_s = _POLL_S

    @property
    def knows_end(self) -> bool:
        """Whether everything acknowledged before is known."""
        return self._partition is not None

    async def reach_end(self) -> None:
        """Have the tail read what is acknowledged; without it the answer will say stale."""
        try:
            partition = partition_of(self._key, self._tail.partitions_of(self._topic))
            async with asyncio.timeout_at(self._deadline_s):
                await self._tail.reach_end(self._topic, partition)
            self._partition = partition
        except (TimeoutError, Unavailable):
            return

    async def until_projected(
        self, head: Callable[[], Awaitable[VersionedT | None]]
    ) -> VersionedT | None:
        """The head once it shows all that concerns it, or when time is up."""
        while True:
            seen = await head()
            if not self.is_behind(seen) or not await self.pause():
                return seen

    async def pause(self) -> bool:
        """Wait a moment, longer each time; False when time is up."""
        if asyncio.get_running_loop().time() + self._pause_s > self._deadline_s:
            return False
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _POLL_S_MAX)
        return True

    def is_behind(self, seen: Versioned | None) -> bool:
        """Whether a decision is acknowledged that the model does not show yet."""
        newest = self._newest()
        return newest is not None and newest.version > _version(seen)

    def version(self, seen: Versioned | None) -> int:
        """How far the account has come, be it by what the model leaves out."""
        latest = self._latest()
        return max(_version(seen), latest.version if latest else 0)

    def as_of(self, seen: Head | None, at_least: int = 0) -> AsOf:
        """What the answer says of its freshness."""
        if self._partition is None:
            return AsOf(_version(seen), _time_ms(seen), None, is_stale=True)
        newest = self._newest()
        if newest is not None and newest.version > _version(seen):
            lag_ms = max(0, round(time.time() * 1000) - newest.time_ms)
            return AsOf(_version(seen), _time_ms(seen), lag_ms, is_stale=True)
        latest = self._latest()
        if latest is not None and latest.version > _version(seen):
            return AsOf(max(latest.version, at_least), latest.time_ms, 0, is_stale=False)
        return AsOf(max(_version(seen), at_least), _time_ms(seen), 0, is_stale=False)

    def _newest(self) -> Newest | None:
        if self._partition is None:
            return None
        return self._tail.newest(self._topic, self._partition, self._entity, self._model)

    def _latest(self) -> Newest | None:
        if self._partition is None:
            return None
        return self._tail.latest(self._topic, self._partition, self._entity)


def _version(seen: Versioned | None) -> int:
    return 0 if seen is None else seen.version


def _time_ms(seen: Head | None) -> int | None:
    return None if seen is None else seen.time_ms
