"""Argon2id in a bounded thread pool, so that hashing never holds up a validation."""

import asyncio
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from runtime.errors import Unavailable

MEMORY_KIB: Final = 19_456
ROUNDS: Final = 2
LANES: Final = 1
"""OWASP's least for argon2id: m = 19456 KiB, t = 2, p = 1."""

_THREADS_MAX: Final = 4
_WAITING_MAX: Final = 256
_NICENESS: Final = 10
"""Of the hashing threads, within their process: validations go first."""

T = TypeVar("T")


class Passwords:
    """Hashes and checks passwords; who lets many of them in asks first whether they may wait."""

    def __init__(self) -> None:
        self._hasher: Final = PasswordHasher(
            time_cost=ROUNDS, memory_cost=MEMORY_KIB, parallelism=LANES
        )
        threads = min(_THREADS_MAX, os.cpu_count() or 1)
        self._pool: Final = ThreadPoolExecutor(
            threads, "argon2", initializer=os.nice, initargs=(_NICENESS,)
        )
        self._waiting = 0
        self.decoy: Final = self._hasher.hash(secrets.token_urlsafe())
        """A hash that no password has: an unknown user takes as long as a known one."""

    def check_load(self) -> None:
        """Raise `Unavailable` when too many passwords wait already."""
        if self._waiting >= _WAITING_MAX:
            raise Unavailable("too many passwords wait to be hashed")

    async def hashed(self, password: str) -> str:
        """The argon2id string of the password."""
        return await self._in_pool(lambda: self._hasher.hash(password))

    async def match(self, hashed: str, password: str) -> bool:
        """Whether the password has this hash."""
        return await self._in_pool(lambda: self._matches(hashed, password))

    def is_outdated(self, hashed: str) -> bool:
        """Whether the hash was made under other parameters than ours."""
        return self._hasher.check_needs_rehash(hashed)

    def close(self) -> None:
        """Give the threads back."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _matches(self, hashed: str, password: str) -> bool:
        try:
            return self._hasher.verify(hashed, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_pool(self, work: Callable[[], T]) -> T:
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._waiting -= 1
