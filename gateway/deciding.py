"""From a command to its decision: publish, wait for the reply, or say that it is still open."""

import asyncio
import logging
import re
from dataclasses import dataclass
from typing import Final, NamedTuple

from starlette.requests import Request

from gateway.callers import caller_of
from gateway.edge import request_id_of
from gateway.ids import CommandIds, idempotency_key
from gateway.problems import Problem, unavailable
from gateway.replies import DECISIONS, Replies, Reply
from producers.commands import Acknowledgement, CommandPublisher
from read_models.commands import queries as commands
from read_models.commands.queries import Outcome
from runtime.breaker import Breaker
from runtime.errors import Unavailable
from runtime.security.pseudonyms import Pseudonyms
from runtime.table import Readable
from schemas.auth import Verdict
from schemas.codec import Message, encode
from schemas.envelope import ReplyRoute
from schemas.journal import CommandDuplicate

_LOG: Final = logging.getLogger(__name__)
RETAIN_MS: Final = 24 * 60 * 60 * 1_000
_POLL_S: Final = 0.02
_POLL_S_MAX: Final = 0.2
_OUTCOME_S: Final = 2.0
_QUESTIONS_MIN: Final = 5
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Pending(Exception):  # noqa: N818  # an answer, not an error
    """The decision is not known yet: answer 202 with the command id."""

    def __init__(self, command_id: str) -> None:
        super().__init__(command_id)
        self.command_id: Final = command_id


class Order(NamedTuple):
    """What a request asks to be decided, and where.

    `subject` owns Idempotency-Keys of this `context`; `owner` may ask for the command afterwards;
    `fingerprinted` is the plain body without secrets; when not given, the command has none.
    """

    topic: str
    key: str | None
    command: Message
    context: str
    subject: str
    owner: str
    fingerprinted: bytes | None = None
    deadline_ms: int | None = None


class Decided(NamedTuple):
    """A decision that can be answered; `is_replayed` when it was made for an earlier request."""

    command_id: str
    reply: Reply
    is_replayed: bool = False


@dataclass(slots=True)
class _Flight:
    """A command on its way: what becomes of it, and where it is on the log once it was sent."""

    fingerprint: str | None
    future: "asyncio.Future[Reply]"
    sent: Acknowledgement | None = None

    @property
    def is_logged(self) -> bool:
        """Whether the log has it for certain."""
        sent = self.sent
        return (
            sent is not None and sent.done() and not sent.cancelled() and sent.exception() is None
        )

    def fail(self, error: Exception) -> None:
        """Let everybody who shares this flight end as its first request did."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # nobody may share it


class Deciding:
    """Has commands decided."""

    def __init__(  # noqa: PLR0913  # what it works with
        self,
        *,
        publisher: CommandPublisher,
        replies: Replies,
        table: Readable,
        ids: CommandIds,
        pseudonyms: Pseudonyms,
        deadline_ms: int,
    ) -> None:
        self._publisher: Final = publisher
        self._replies: Final = replies
        self._table: Final = table
        self._pseudonyms: Final = pseudonyms
        self._deadline_ms: Final = deadline_ms
        self._flights: Final[dict[str, _Flight]] = {}
        self._breakers: Final[dict[str, Breaker]] = {}
        self.ids: Final = ids

    async def decide(self, request: Request, order: Order) -> Decided:
        """Publish the command and wait for its decision.

        Raises:
            Pending: the caller wants no answer yet, or the deadline passed.
            Problem: refused by the protocol, or not to be handed to the log.
            Unavailable: the log cannot be written.
        """
        key = idempotency_key(request.headers.getlist("idempotency-key"))
        if key is None:
            return await self._first(request, order, self.ids.random(order.owner), fingerprint=None)
        command_id = self.ids.derived(order.owner, order.context, order.subject, key)
        fingerprint = self._fingerprint(order)
        if (flight := self._flights.get(command_id)) is not None:
            return await self._along(order, flight, command_id, fingerprint)
        try:
            return await self._first(request, order, command_id, fingerprint=fingerprint)
        finally:
            self._flights.pop(command_id, None)

    async def ask(  # noqa: PLR0913  # one keyword per header
        self,
        topic: str,
        message: Message,
        *,
        deadline_ms: int,
        correlation_id: str | None = None,
        key: str | None = None,
        caller: Verdict | None = None,
    ) -> Reply:
        """A question that changes nothing if it is never answered, or a wish that may be repeated.

        Raises:
            Unavailable: no answer within the deadline, or none of late.
        """
        with self._breaker(message.TYPE).call():
            return await self._answered(
                topic,
                message,
                deadline_ms=deadline_ms,
                correlation_id=correlation_id,
                key=key,
                caller=caller,
            )

    def _breaker(self, question: str) -> Breaker:
        """One for each kind of question: a flood of sign-ins must not keep out who is signed in."""
        if (breaker := self._breakers.get(question)) is None:
            breaker = self._breakers[question] = Breaker(question, calls_min=_QUESTIONS_MIN)
        return breaker

    async def _answered(  # noqa: PLR0913  # one keyword per header
        self,
        topic: str,
        message: Message,
        *,
        deadline_ms: int,
        correlation_id: str | None,
        key: str | None,
        caller: Verdict | None,
    ) -> Reply:
        command_id = self.ids.random("")
        future = self._replies.waiters.expect(command_id)
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                await self._publisher.publish(
                    topic,
                    key,
                    message,
                    command_id=command_id,
                    expires_at_ms=self._publisher.clock.now_ms() + deadline_ms,
                    user_id=None if caller is None else caller.user_id,
                    user_role=None if caller is None else caller.role,
                    reply_to=ReplyRoute(self._replies.partition, command_id),
                    correlation_id=correlation_id,
                )
                return await future
        except TimeoutError:
            raise Unavailable(f"no answer on {topic}") from None
        finally:
            self._replies.waiters.forget(command_id)

    async def outcome(self, command_id: str) -> Outcome | None:
        """The first outcome of a command as far as it is projected."""
        return await commands.outcome(self._table, command_id)

    def _fingerprint(self, order: Order) -> str:
        body = order.fingerprinted
        if body is None:
            body = encode(order.command)
        return self._pseudonyms.fingerprint(order.command.TYPE.encode() + b"\0" + body)

    async def _along(
        self, order: Order, flight: _Flight, command_id: str, fingerprint: str
    ) -> Decided:
        """The same command is on its way through this gateway: share its decision."""
        if flight.fingerprint != fingerprint:
            raise Problem("idempotency-key-reused")
        try:
            async with asyncio.timeout(self._deadline_of(order) / 1000):
                reply = await asyncio.shield(flight.future)
        except TimeoutError:
            raise _late(command_id, flight) from None
        except asyncio.CancelledError:
            if flight.future.cancelled():
                raise _late(command_id, flight) from None
            raise
        return await self._settled(command_id, reply, is_replayed=True)

    async def _first(
        self, request: Request, order: Order, command_id: str, *, fingerprint: str | None
    ) -> Decided:
        waiters = self._replies.waiters
        flight = _Flight(fingerprint, waiters.expect(command_id, fingerprint))
        if fingerprint is not None:
            self._flights[command_id] = flight
        try:
            reply = await self._flown(request, order, command_id, flight)
        except Exception as error:
            flight.fail(error)
            raise
        finally:
            waiters.forget(command_id)
            flight.future.cancel()
        return await self._settled(command_id, reply, is_replayed=False)

    async def _flown(
        self, request: Request, order: Order, command_id: str, flight: _Flight
    ) -> Reply:
        """Send the command and wait; once it is sent, every answer names it."""
        deadline_ms, future = self._deadline_of(order), flight.future
        try:
            async with asyncio.timeout(deadline_ms / 1000):
                sent = await self._publish(
                    request, order, command_id, flight.fingerprint, deadline_ms
                )
                flight.sent = sent
                if _wants_no_answer(request):
                    await sent
                    raise Pending(command_id)
                sent.add_done_callback(lambda done: _fail(done, command_id, flight))
                return await (future if flight.fingerprint is None else asyncio.shield(future))
        except TimeoutError:
            raise _late(command_id, flight) from None
        except Unavailable as error:
            if flight.sent is None:
                raise
            raise _lost(command_id, error) from error

    def _deadline_of(self, order: Order) -> int:
        return order.deadline_ms or self._deadline_ms

    async def _publish(
        self,
        request: Request,
        order: Order,
        command_id: str,
        fingerprint: str | None,
        deadline_ms: int,
    ) -> Acknowledgement:
        now_ms, caller = self._publisher.clock.now_ms(), caller_of(request)
        return await self._publisher.publish(
            order.topic,
            order.key,
            order.command,
            command_id=command_id,
            expires_at_ms=now_ms + deadline_ms,
            retain_until_ms=None if fingerprint is None else now_ms + RETAIN_MS,
            user_id=order.owner or None,
            user_role=None if caller is None else caller.role,
            fingerprint=fingerprint,
            reply_to=ReplyRoute(self._replies.partition, command_id),
            correlation_id=request_id_of(request),
            traceparent=_traceparent(request),
        )

    async def _settled(self, command_id: str, reply: Reply, *, is_replayed: bool) -> Decided:
        if isinstance(reply.event, CommandDuplicate):
            return Decided(command_id, await self._first_outcome(command_id), is_replayed=True)
        return Decided(command_id, reply, is_replayed)

    async def _first_outcome(self, command_id: str) -> Reply:
        """What was decided for this command before, once it is projected.

        Raises:
            Problem: it is still being decided.
        """
        deadline_s = asyncio.get_running_loop().time() + _OUTCOME_S
        pause_s = _POLL_S
        while (found := await self.outcome(command_id)) is None:
            if asyncio.get_running_loop().time() + pause_s > deadline_s:
                raise Problem("command-pending", members={"command_id": command_id})
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _POLL_S_MAX)
        return as_reply(found)


def as_reply(outcome: Outcome) -> Reply:
    """A projected outcome as the reply that it once was."""
    return Reply(
        DECISIONS.decode(outcome.event_type, outcome.body), outcome.version, outcome.decided_at_ms
    )


def _wants_no_answer(request: Request) -> bool:
    """RFC 7240: preferences are a list, names ignore case."""
    wanted = ",".join(request.headers.getlist("prefer"))
    return any(each.split(";")[0].strip().lower() == "respond-async" for each in wanted.split(","))


def _traceparent(request: Request) -> str | None:
    given = request.headers.get("traceparent")
    return given if given and _TRACEPARENT.fullmatch(given) else None


def _fail(done: Acknowledgement, command_id: str, flight: _Flight) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        flight.fail(_lost(command_id, error))


def _lost(command_id: str, error: BaseException) -> Problem:
    """Sent, but not acknowledged: it may still come to be decided, so it is named."""
    _LOG.warning("the log may have command %s or not: %s", command_id, error)
    return unavailable(command_id=command_id)


def _late(command_id: str, flight: _Flight) -> Exception:
    """Decided later, or not handed over at all: the second may still come to be refused (C2)."""
    if flight.is_logged:
        return Pending(command_id)
    return unavailable(command_id=command_id)
