"""Auth's own reading of identity's journals: revoked sessions, API keys, awaited outcomes.

It reads from offset 0, so that it knows each partition's epochs (R1): a zombie's record must
neither end a session nor erase a person.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, cast

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from consumers.auth.api_keys import ApiKeys
from runtime.errors import Unavailable
from runtime.kafka_clients import stop_within
from runtime.kafka_options import kafka_options
from runtime.settings import Settings
from schemas.codec import Codec, Message, PoisonMessage
from schemas.envelope import (
    CAUSATION_ID,
    CE_TYPE,
    COMMAND_ID,
    LOGICAL_TIME,
    WRITER_EPOCH,
    derived_id,
    header_map,
)
from schemas.identity import (
    AddressSignInRefused,
    ApiKeyDeleted,
    ApiKeyMade,
    PasswordChanged,
    RefreshRefused,
    RegistrationRejected,
    RegistrationStarted,
    SessionEnded,
    SessionRefreshed,
    SessionStarted,
    SignInFailed,
    SignInLocked,
    SignInReserved,
    UserErased,
    UserSignInRefused,
)
from schemas.journal import CommandDiscarded, CommandDuplicate, CommandRefused
from schemas.topics import IDENTITY_JOURNAL

_LOG: Final = logging.getLogger(__name__)
_POLL_MS: Final = 500
_FETCH_WAIT_MS: Final = 250
_BACKOFF_S: Final = 0.2
_STALE_MS: Final = 1_500
"""A sign-out counts everywhere within 2 s."""
_FRESH_TRIES: Final = 50
_FRESH_TRY_S: Final = 0.02
_REVOCATIONS_PRUNED_AT: Final = 1_000
_CLEANED_MS: Final = 24 * 60 * 60 * 1_000
"""Refused registrations older than this had their keys destroyed long ago."""

_WANTED: Final = Codec(
    AddressSignInRefused,
    UserSignInRefused,
    SignInReserved,
    SignInFailed,
    SignInLocked,
    SessionStarted,
    SessionRefreshed,
    RefreshRefused,
    PasswordChanged,
    SessionEnded,
    ApiKeyMade,
    ApiKeyDeleted,
    RegistrationStarted,
    RegistrationRejected,
    UserErased,
    CommandRefused,
    CommandDuplicate,
    CommandDiscarded,
)
_UNWANTED_KEY: Final = (RegistrationRejected, CommandRefused, CommandDuplicate, CommandDiscarded)

Ends = dict[TopicPartition, int]
Batches = dict[TopicPartition, list[ConsumerRecord[bytes, bytes]]]


def settle_id(attempt_id: str) -> str:
    """The command id that settles this attempt, so that it is settled once."""
    return derived_id("settle-sign-in", attempt_id)


class Revocations:
    """Sessions that ended while tokens of them may still be alive; times are ms."""

    def __init__(self, token_ms: int) -> None:
        self._token_ms: Final = token_ms
        self._ended: Final[dict[str, int]] = {}

    def __len__(self) -> int:
        return len(self._ended)

    def add(self, session_id: str, ended_ms: int) -> None:
        """The session ended at this logical time."""
        self._ended[session_id] = ended_ms
        if len(self._ended) % _REVOCATIONS_PRUNED_AT == 0:
            self._prune(ended_ms)

    def __contains__(self, session_id: str) -> bool:
        return session_id in self._ended

    def _prune(self, now_ms: int) -> None:
        """Forget what no token can need: twice its life allows for clocks that differ."""
        dead = [each for each, at in self._ended.items() if at < now_ms - 2 * self._token_ms]
        for each in dead:
            del self._ended[each]


class Folded(NamedTuple):
    """A journal record as far as auth cares: what it says, and of which command."""

    event: Message
    command_id: str
    causation_id: str
    time_ms: int


class Waiters:
    """Who waits for the outcome of which command to identity."""

    def __init__(self) -> None:
        self._futures: Final[dict[str, asyncio.Future[Message]]] = {}

    @asynccontextmanager
    async def expect(self, command_id: str) -> AsyncGenerator["asyncio.Future[Message]"]:
        """The outcome of a command that is about to be sent."""
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._futures[command_id] = future
        try:
            yield future
        finally:
            del self._futures[command_id]

    def resolve(self, folded: Folded) -> None:
        """Hand an outcome to whoever waits; mostly nobody here does."""
        future = self._futures.get(_awaited_id(folded))
        if future is not None and not future.done():
            future.set_result(folded.event)


def _awaited_id(folded: Folded) -> str:
    match folded.event:
        case AddressSignInRefused() | UserSignInRefused() | SignInReserved():
            return folded.event.attempt_id
        case SessionStarted() | SignInFailed() | SignInLocked() | PasswordChanged():
            return settle_id(folded.event.attempt_id)
        case _:
            return folded.command_id


class Keys:
    """Vault keys of registrations under way; `unwanted` gets those that nobody needs or may have.

    Keys of erased users are told at every start anew, however long ago it was: what destroys them
    may not have come to it, and the vault may be a restored copy.
    """

    def __init__(self, unwanted: Callable[[str], None]) -> None:
        self._unwanted: Final = unwanted
        self._forwarded: Final[dict[str, str]] = {}

    def forwarded(self, event_id: str, key_id: str) -> None:
        """A registration goes to identity under this CloudEvents id."""
        self._forwarded[event_id] = key_id

    def fold(self, folded: Folded) -> None:
        """Learn what became of a registration, or of a user."""
        key_id = self._forwarded.pop(folded.causation_id, None)
        if isinstance(folded.event, RegistrationRejected | UserErased):
            self._unwanted(folded.event.key_id)
        elif key_id is not None and isinstance(folded.event, _UNWANTED_KEY):
            self._unwanted(key_id)


class Tail:
    """Follows identity's journals in a task of its own, whatever the broker does."""

    def __init__(
        self,
        settings: Settings,
        *,
        partitions: Callable[[str], Awaitable[int]],
        unwanted_key: Callable[[str], None],
        on_failure: Callable[[], None],
    ) -> None:
        self.failure: BaseException | None = None
        self._on_failure: Final = on_failure
        self._settings: Final = settings
        self._partitions: Final = partitions
        self._topic: Final = settings.topic(IDENTITY_JOURNAL)
        self._offsets: Final[dict[TopicPartition, int]] = {}
        self._epochs: Final[dict[TopicPartition, int]] = {}
        self._at_end_ms: Final[dict[TopicPartition, int]] = {}
        self._consumer: AIOKafkaConsumer | None = None
        self._task: asyncio.Task[None] | None = None
        self._caught_up: Final = asyncio.Event()
        self.waiters: Final = Waiters()
        self.keys: Final = Keys(unwanted_key)
        self.api_keys: Final = ApiKeys()
        self.revoked: Final = Revocations(settings.access_token_s * 1_000)

    async def start(self) -> None:
        """Start to follow, and return once everything written before is read, or it failed."""
        self._task = asyncio.create_task(self._follow_for_ever(), name="identity-tail")
        self._task.add_done_callback(self._ended)
        await self._caught_up.wait()

    async def stop(self) -> None:
        """Stop following."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        """End the process when reading fails for no known reason: revocations would be missed."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _LOG.critical("identity's journals are not followed any more", exc_info=error)
            self.failure = error
            self._on_failure()
            self._caught_up.set()

    async def fresh(self) -> bool:
        """Whether all that stood in the journals a moment ago is known; waits a little for it."""
        for _ in range(_FRESH_TRIES):
            if self._is_fresh():
                return True
            await asyncio.sleep(_FRESH_TRY_S)
        return False

    def _is_fresh(self) -> bool:
        if self._consumer is not None:
            self._note_ends(self._consumer)
        oldest_ms = time.time() * 1_000 - _STALE_MS
        return self._caught_up.is_set() and all(
            self._at_end_ms.get(place, 0) > oldest_ms for place in self._offsets
        )

    def _note_ends(self, consumer: AIOKafkaConsumer) -> None:
        """Remember when we last knew everything that a partition's leader had told us of."""
        for place, offset in self._offsets.items():
            told_ms = consumer.last_poll_timestamp(place)
            if told_ms and (consumer.highwater(place) or 0) <= offset:
                self._at_end_ms[place] = told_ms

    async def _follow_for_ever(self) -> None:
        while True:
            try:
                await self._follow()
            except (KafkaError, OSError, TimeoutError, Unavailable) as error:
                _LOG.warning("identity's journals cannot be read: %r", error)
            await asyncio.sleep(_BACKOFF_S)

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            **kafka_options(self._settings),
            client_id="cnop-auth-tail",
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=_FETCH_WAIT_MS,
            request_timeout_ms=5_000,
            retry_backoff_ms=50,
        )
        try:
            await consumer.start()
            await self._assign(consumer)
            self._consumer = consumer
            await self._read(consumer)
        finally:
            self._consumer = None
            await stop_within(consumer)

    async def _assign(self, consumer: AIOKafkaConsumer) -> None:
        partitions = await self._partitions(IDENTITY_JOURNAL)
        places = [TopicPartition(self._topic, each) for each in range(partitions)]
        starts = cast("Ends", await consumer.beginning_offsets(places))
        consumer.assign(places)
        for place in places:
            self._offsets.setdefault(place, starts[place])
            consumer.seek(place, self._offsets[place])

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        ends = cast("Ends", await consumer.end_offsets(list(self._offsets)))
        while True:
            if all(self._offsets[place] >= end for place, end in ends.items()):
                self._caught_up.set()
            batches = cast("Batches", await consumer.getmany(timeout_ms=_POLL_MS))
            for place, records in batches.items():
                for record in records:
                    self._fold(place, record)
                    self._offsets[place] = record.offset + 1
            self._note_ends(consumer)

    def _fold(self, place: TopicPartition, record: ConsumerRecord[bytes, bytes]) -> None:
        headers = header_map(record.headers)
        try:
            epoch = int(headers[WRITER_EPOCH])
            folded = _folded(headers, record)
        except (KeyError, ValueError, TypeError, AttributeError, PoisonMessage):
            _LOG.exception("%s offset %s cannot be read", place, record.offset)
            return
        if epoch < self._epochs.get(place, 0):
            return  # void (R1)
        self._epochs[place] = epoch
        if folded is not None:
            self._apply(folded)

    def _apply(self, folded: Folded) -> None:
        age_ms = time.time() * 1_000 - folded.time_ms
        if isinstance(folded.event, SessionEnded):
            self.revoked.add(folded.event.session_id, folded.time_ms)
        self.api_keys.fold(folded.event)
        if age_ms < _CLEANED_MS or isinstance(folded.event, UserErased):
            self.keys.fold(folded)
        self.waiters.resolve(folded)


def _folded(headers: Mapping[str, bytes], record: ConsumerRecord[bytes, bytes]) -> Folded | None:
    event_type = headers.get(CE_TYPE, b"").decode()
    if event_type not in _WANTED.types:
        return None
    return Folded(
        _WANTED.decode(event_type, record.value or b""),
        headers.get(COMMAND_ID, b"").decode(),
        headers.get(CAUSATION_ID, b"").decode(),
        int(headers.get(LOGICAL_TIME, b"0")),
    )
