"""A gateway without Kafka: identity decides in memory what it publishes, rows follow at once."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, cast

from consumers.identity.context import IdentityContext
from consumers.identity.state import State
from gateway.deciding import Deciding
from gateway.ids import CommandIds
from gateway.replies import Waiters
from producers.commands import Acknowledgement, BrokerClock, Published
from read_models.commands.projection import PROJECTION as OUTCOMES
from read_models.commands.table import COMMANDS
from read_models.users.projection import PROJECTION as PEOPLE
from read_models.users.table import TABLES
from runtime.errors import Unavailable
from runtime.memory_table import MemoryTable
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.vault import VAULT
from schemas.codec import Message, encode
from schemas.envelope import CE_TYPE, Cause, Recorded, ReplyRoute
from schemas.journal import CommandDuplicate
from schemas.topics import IDENTITY_COMMANDS, IDENTITY_JOURNAL

CONTEXT = IdentityContext()
Hook = Callable[[], Awaitable[None]]


def deciding_at(
    stand_in: object, *, table: MemoryTable | None = None, deadline_ms: int = 2_000
) -> Deciding:
    """The gateway's half, with this where its publisher and its replies stand."""
    return Deciding(
        publisher=cast("Any", stand_in),
        replies=cast("Any", stand_in),
        table=cast("Any", table),
        ids=CommandIds(b"k" * 32),
        pseudonyms=Pseudonyms(b"k" * 32),
        deadline_ms=deadline_ms,
    )


class Desk:
    """Stands where publisher and replies stand; one partition of identity decides.

    `meanwhile` runs once, before the next command is decided. `is_down` takes no command,
    `is_lossy` takes it but acknowledges a failure and decides nothing, `is_silent` never
    acknowledges, `is_idle` acknowledges but does not decide.
    """

    def __init__(self) -> None:
        self.clock = BrokerClock()
        self.waiters = Waiters()
        self.partition = 0
        self.table = MemoryTable([*TABLES, COMMANDS, VAULT])
        self.meanwhile: Hook | None = None
        self.is_down = False
        self.is_lossy = False
        self.is_silent = False
        self.is_idle = False
        self.published: list[str] = []
        self.versions = 0
        self._state = State()
        self._decided: set[str] = set()

    def deciding(self, deadline_ms: int = 2_000) -> Deciding:
        """The gateway's half, with this desk behind it."""
        return deciding_at(self, table=self.table, deadline_ms=deadline_ms)

    async def publish(
        self, _topic: str, _key: str | None, command: Message, *, command_id: str, **_: object
    ) -> Acknowledgement:
        """Take a command; it is decided at once."""
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        if self.is_down:
            raise Unavailable("down")
        await asyncio.sleep(0)
        self.published.append(command_id)
        acknowledgement: Acknowledgement = asyncio.get_running_loop().create_future()
        if self.is_lossy:
            acknowledgement.set_exception(Unavailable("lost"))
        elif not self.is_silent:
            acknowledgement.set_result(Published(0, len(self.published), self.clock.now_ms()))
            if not self.is_idle:
                await self.decide(command, command_id)
        return acknowledgement

    async def decide(self, command: Message, command_id: str) -> None:
        """Decide a command and whatever follows from it; the second time it is a duplicate."""
        if command_id in self._decided:
            self._reply(command_id, CommandDuplicate(command_id=command_id, first_offset=0))
            return
        self._decided.add(command_id)
        messages = deque([command])
        while messages:
            cause = self._cause(command_id)
            for event in CONTEXT.decide(self._state, messages.popleft(), cause):
                CONTEXT.evolve(self._state, event, cause)
                messages.extend(
                    each.message
                    for each in CONTEXT.outbox(event, cause)
                    if each.topic == IDENTITY_COMMANDS
                )
                await self._project(event, cause)
                if CONTEXT.answers(event, cause):
                    self._reply(command_id, event)

    def _cause(self, command_id: str) -> Cause:
        self.versions += 1
        route = ReplyRoute(0, command_id)
        now_ms = self.clock.now_ms()
        return Cause(
            IDENTITY_COMMANDS, 0, self.versions, now_ms, command_id, user_id=None, reply_to=route
        )

    async def _project(self, event: Message, cause: Cause) -> None:
        recorded = Recorded(
            IDENTITY_JOURNAL, 0, self.versions, 1, event.TYPE, "user", self.versions, cause
        )
        changes = (*OUTCOMES.project(event, recorded), *PEOPLE.project(event, recorded))
        await self.table.transact(changes, checkpoints=())

    def _reply(self, command_id: str, event: Message) -> None:
        self.waiters.resolve(command_id, {CE_TYPE: event.TYPE.encode()}, encode(event))
