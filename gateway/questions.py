"""Questions to the auth service about tokens: those of about the same time share one."""

import asyncio
from collections.abc import Mapping
from itertools import islice
from typing import Final

from gateway.deciding import Deciding
from gateway.outcomes import auth_refusal
from gateway.problems import Problem
from gateway.sessions import Sessions
from runtime.errors import Unavailable
from runtime.logs import correlation_id
from runtime.security.sealed import SealingKey
from schemas.auth import Refused, TokensSecret, Validate, Verdict, Verdicts
from schemas.topics import AUTH_REQUESTS

_ANSWER_MS: Final = 2_000
_RENEW_S: Final = 0.25
_TOGETHER_MAX: Final = 32
"""Tokens in one question; of the longest that a request may carry, 128 KiB."""

Answer = asyncio.Future[Verdict]


class Questions:
    """Asks about each token once at a time; `sessions` learns every answer.

    Tokens go by their hashes, so that none is kept longer than it takes to ask about it.
    """

    def __init__(self, deciding: Deciding, sealing: SealingKey, sessions: Sessions) -> None:
        self._deciding: Final = deciding
        self._sealing: Final = sealing
        self._sessions: Final = sessions
        self._open: Final[dict[bytes, Answer]] = {}
        self._unasked: dict[bytes, str] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._asking: Final[set[asyncio.Task[None]]] = set()

    async def verdict(self, hashed: bytes, token: str) -> Verdict:
        """Who holds this token; asked now.

        Raises:
            Problem: nobody (401).
            Unavailable: auth does not answer.
        """
        answer = self._answer(hashed, token)
        if hashed in self._unasked:
            self._ask_within(0.0)
        return await asyncio.shield(answer)

    def renew(self, hashed: bytes, token: str) -> None:
        """Ask soon, together with others: the present verdict still counts."""
        if hashed not in self._open:
            self._answer(hashed, token)
            self._ask_within(_RENEW_S)

    def _answer(self, hashed: bytes, token: str) -> Answer:
        answer = self._open.get(hashed)
        if answer is None:
            answer = self._open[hashed] = asyncio.get_running_loop().create_future()
            self._unasked[hashed] = token
        return answer

    def _ask_within(self, duration_s: float) -> None:
        if self._timer is not None:
            if duration_s:
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(duration_s, self._ask_all)

    def _ask_all(self) -> None:
        self._timer = None
        unasked, self._unasked = iter(self._unasked.items()), {}
        while some := dict(islice(unasked, _TOGETHER_MAX)):
            task = asyncio.create_task(self._ask(some))
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    async def _ask(self, tokens: Mapping[bytes, str]) -> None:
        try:
            verdicts = await self._verdicts(tuple(tokens.values()))
        except Exception as error:  # noqa: BLE001  # whoever waits for an answer raises it
            for hashed in tokens:
                _fail(self._open.pop(hashed), error)
            return
        for hashed, verdict in zip(tokens, verdicts, strict=True):
            self._learn(hashed, verdict)

    def _learn(self, hashed: bytes, verdict: Verdict | None) -> None:
        answer = self._open.pop(hashed)
        if verdict is None:
            self._sessions.refuse(hashed)
            _fail(answer, Problem("invalid-token"))
        else:
            self._sessions.put(hashed, verdict)
            answer.set_result(verdict)

    async def _verdicts(self, tokens: tuple[str, ...]) -> tuple[Verdict | None, ...]:
        reply = await self._deciding.ask(
            AUTH_REQUESTS,
            Validate(secret=self._sealing.seal(TokensSecret(access_tokens=tokens))),
            deadline_ms=_ANSWER_MS,
            correlation_id=correlation_id.get(),
        )
        match reply.event:
            case Verdicts(verdicts=verdicts) if len(verdicts) == len(tokens):
                return verdicts
            case Refused() as refused:
                raise auth_refusal(refused)
            case other:
                raise Unavailable(f"auth answered {other.TYPE} to {len(tokens)} tokens")


def _fail(answer: Answer, error: Exception) -> None:
    answer.set_exception(error)
    answer.exception()  # nobody may wait for a renewal
