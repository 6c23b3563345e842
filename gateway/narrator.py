"""Asks a language model for words about a portfolio: seldom, briefly, and never about a person.

Any server with OpenAI's chat completions will do. What it is told are positions and figures.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import httpx
import msgspec

from runtime.bounded import Bounded
from runtime.settings import Settings

_LOG: Final = logging.getLogger(__name__)
KEPT_S: Final = 600.0
"""Holdings that stay the same are told in the same words for so long."""
PAUSE_S: Final = 60.0
"""From one question about an account to the next."""
REST_S: Final = 30.0
"""After a failure nothing is asked for so long."""
CALLS_PER_MINUTE: Final = 30
_ACCOUNTS_MAX: Final = 1_000
_ANSWER_BYTES_MAX: Final = 64 * 1024
_WORDS_MAX: Final = 2_000
_TOKENS_MAX: Final = 300
_TASK: Final = (
    "You describe a trading portfolio to its owner. Write at most five plain sentences in English: "
    "what it is worth, how it is spread, what stands out. Use only the figures given, all in USD. "
    "Give no advice, no forecast, no list and no markup."
)


class _Message(msgspec.Struct):
    content: str


class _Choice(msgspec.Struct):
    message: _Message


class _Completion(msgspec.Struct):
    choices: list[_Choice]


_DECODER: Final = msgspec.json.Decoder(_Completion)


class Told(NamedTuple):
    """Words about a portfolio, and the broker time in ms at which they were found."""

    text: str
    time_ms: int


class _Asked(NamedTuple):
    holdings: object
    at_s: float
    told: Told | None


class Narrator:
    """One per process; what it may cost is bounded per account and per minute."""

    def __init__(self, client: httpx.AsyncClient, settings: Settings) -> None:
        self._client: Final = client
        self._url: Final = f"{(settings.insights_url or '').rstrip('/')}/chat/completions"
        self.model: Final = settings.insights_model
        self._timeout_s: Final = settings.insights_timeout_s
        self._asked: Final[Bounded[str, _Asked]] = Bounded(_ACCOUNTS_MAX)
        self._calls_s: Final[list[float]] = []
        self._rests_until_s = float("-inf")

    async def tell(
        self, account_id: str, portfolio: Mapping[str, Any], *, now_ms: int
    ) -> Told | None:
        """Words about a portfolio as GET /portfolio shows it; None: let the rules speak."""
        now_s = _now_s()
        holdings = _holdings(portfolio)
        before = self._asked.get(account_id)
        if before is not None:
            is_same = before.holdings == holdings and now_s - before.at_s < KEPT_S
            if is_same and before.told is not None:
                return before.told
            if now_s - before.at_s < PAUSE_S:
                return None
        if now_s < self._rests_until_s or not self._may_call(now_s):
            return None
        self._asked.put(account_id, _Asked(holdings, now_s, None))
        text = await self._answer(portfolio)
        if text is None:
            return None
        told = Told(text, now_ms)
        self._asked.put(account_id, _Asked(holdings, now_s, told))
        return told

    def _may_call(self, now_s: float) -> bool:
        self._calls_s[:] = [each for each in self._calls_s if now_s - each < 60]  # noqa: PLR2004  # a minute
        if len(self._calls_s) >= CALLS_PER_MINUTE:
            return False
        self._calls_s.append(now_s)
        return True

    async def _answer(self, portfolio: Mapping[str, Any]) -> str | None:
        try:
            async with asyncio.timeout(self._timeout_s):
                return _words(await self._post(figures(portfolio)))
        except (httpx.HTTPError, TimeoutError, msgspec.DecodeError, ValueError) as error:
            self._rests_until_s = _now_s() + REST_S
            _LOG.warning("the language model gave no words: %r", error)
            return None

    async def _post(self, told: Mapping[str, Any]) -> bytes:
        question = {
            "model": self.model,
            "max_tokens": _TOKENS_MAX,
            "messages": [
                {"role": "system", "content": _TASK},
                {"role": "user", "content": json.dumps(told)},
            ],
        }
        received = bytearray()
        async with self._client.stream("POST", self._url, json=question) as response:
            response.raise_for_status()
            async for chunk in response.aiter_bytes():
                received += chunk
                if len(received) > _ANSWER_BYTES_MAX:
                    raise ValueError("the answer is too long")
        return bytes(received)


@asynccontextmanager
async def running_narrator(settings: Settings) -> AsyncGenerator[Narrator | None]:
    """The narrator of this process; None unless a model is set."""
    if settings.insights_url is None:
        yield None
        return
    key_file = settings.insights_key_file
    key = key_file.read_text().strip() if key_file else None
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(headers=headers, timeout=settings.insights_timeout_s) as client:
        yield Narrator(client, settings)


def figures(portfolio: Mapping[str, Any]) -> dict[str, Any]:
    """All that leaves this system: no name, no id, no time."""
    totals = ("cash", "equity", "total_market_value", "total_unrealized_pl", "total_realized_pl")
    shown = ("asset_id", "quantity", "market_value", "percentage", "cost_basis", "unrealized_pl")
    assets = [{name: each[name] for name in shown} for each in portfolio["assets"]]
    return {name: portfolio[name] for name in totals} | {"assets": assets}


def _holdings(portfolio: Mapping[str, Any]) -> object:
    """What stays the same while only prices move."""
    return portfolio["cash"], [(each["asset_id"], each["quantity"]) for each in portfolio["assets"]]


def _words(answer: bytes) -> str:
    completion = _DECODER.decode(answer)
    content = completion.choices[0].message.content if completion.choices else ""
    text = " ".join("".join(c if c.isprintable() else " " for c in content).split())
    if not text or len(text) > _WORDS_MAX:
        raise ValueError("no words, or too many")
    return text


def _now_s() -> float:
    return asyncio.get_running_loop().time()
