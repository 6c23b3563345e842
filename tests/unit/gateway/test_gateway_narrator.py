"""A language model on the loopback: it answers, talks rubbish, breaks, or says nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from asgi import Gateway, running_gateway
from journals import History
from pydantic import ValidationError

from gateway import narrator
from gateway.narrator import KEPT_S, PAUSE_S, REST_S, Narrator, Told, running_narrator
from gateway.portfolio import portfolio_view
from read_models.activity import queries as activity
from read_models.markets import queries as markets
from read_models.orders import queries as orders
from read_models.portfolio import queries as portfolio
from read_models.portfolio.projection import PROJECTION
from runtime.memory_table import MemoryTable
from runtime.projector import Projector
from runtime.settings import Settings
from schemas.accounts import Holding
from schemas.money import E8
from schemas.topics import ACCOUNTS_JOURNAL

KEY = "sk-secret"
HELD = (
    Holding(asset="USD", free_e8=50 * E8, locked_e8=0),
    Holding(asset="BTC", free_e8=E8, locked_e8=0, cost_e8=90 * E8),
)
SHOWN = portfolio_view(HELD, {"BTC": 100 * E8})


def completion(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


class Model:
    """A server with chat completions that answers what a test tells it to."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.body: bytes | None = completion("You hold\n one bitcoin.")
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.drips = False
        self.connections: list[asyncio.Task[None]] = []
        self.url = ""

    def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(asyncio.create_task(self._serve(reader, writer)))

    async def close(self) -> None:
        for each in self.connections:
            each.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lines = [each.partition(":") for each in head.lower().splitlines()[1:]]
        size = next(int(value) for name, _, value in lines if name == "content-length")
        self.asked.append((head, json.loads(await reader.readexactly(size))))
        if self.body is None:
            await reader.read()  # until the other side gives up
            return
        answer = f"HTTP/1.1 {self.status}\r\nContent-Length: {len(self.body)}\r\n\r\n"
        writer.write(answer.encode())
        for each in [bytes([each]) for each in self.body] if self.drips else [self.body]:
            writer.write(each)
            await asyncio.sleep(0.05 if self.drips else 0)


class Clock:
    """What the event loop's clock says, ahead of itself as far as a test wants."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop, self.ahead_s = asyncio.get_running_loop(), 0.0
        real = loop.time
        monkeypatch.setattr(narrator, "_now_s", lambda: real() + self.ahead_s)


@pytest.fixture
async def model() -> AsyncIterator[Model]:
    model = Model()
    server = await asyncio.start_server(model.connected, "127.0.0.1", 0)
    model.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/"
    yield model
    server.close()
    await model.close()


@pytest.fixture
async def told(model: Model, tmp_path: Path) -> AsyncIterator[Narrator]:
    key_file = tmp_path / "key"
    key_file.write_text(f"{KEY}\n")
    settings = Settings(
        insights_url=model.url,
        insights_model="small",
        insights_key_file=key_file,
        insights_timeout_s=0.3,
    )
    async with running_narrator(settings) as running:
        assert running is not None
        yield running


async def test_the_model_gets_positions_and_figures_and_nothing_else(
    model: Model, told: Narrator
) -> None:
    assert await told.tell("ann", SHOWN, now_ms=7) == Told("You hold one bitcoin.", 7)
    ((head, question),) = model.asked
    assert head.startswith("POST /v1/chat/completions HTTP/1.1")
    assert f"bearer {KEY}" in head.lower()
    assert question["model"] == "small"
    assert "ann" not in json.dumps(question["messages"][1])
    figures = json.loads(question["messages"][1]["content"])
    assert figures["equity"] == "150"
    assert figures["assets"] == [
        {
            "asset_id": "BTC",
            "quantity": "1",
            "market_value": "100",
            "percentage": 100.0,
            "cost_basis": "90",
            "unrealized_pl": "10",
        }
    ]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("200 OK", b"<html>"),
        ("200 OK", b""),
        ("200 OK", b"{}"),
        ("200 OK", b"\xff\xfe"),
        ("200 OK", b'{"choices": []}'),
        ("200 OK", b'{"choices": [{"message": {"content": null}}]}'),
        ("200 OK", completion(" \n\t")),
        ("200 OK", completion("x" * 2_001)),
        ("200 OK", completion("Too much air.") + b" " * 70_000),
        ("500 Oops", completion("No.")),
        ("429 Slow down", b""),
        ("302 Found", completion("Elsewhere.")),
        ("200 OK", None),
    ],
)
async def test_whatever_else_it_says_the_rules_speak(
    model: Model, told: Narrator, status: str, body: bytes | None
) -> None:
    model.status, model.body = status, body
    async with asyncio.timeout(2):
        assert await told.tell("ann", SHOWN, now_ms=0) is None
    assert len(model.asked) == 1


async def test_a_model_that_never_comes_to_an_end_is_cut_off(model: Model, told: Narrator) -> None:
    model.drips = True
    async with asyncio.timeout(2):
        assert await told.tell("ann", SHOWN, now_ms=0) is None


async def test_nobody_there_lets_the_rules_speak() -> None:
    settings = Settings(insights_url="http://127.0.0.1:9/v1", insights_model="small")
    async with running_narrator(settings) as running:
        assert running is not None
        assert await running.tell("ann", SHOWN, now_ms=0) is None


async def test_the_same_holdings_are_told_in_the_same_words(
    model: Model, told: Narrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    first = await told.tell("ann", SHOWN, now_ms=1)
    moved = portfolio_view(HELD, {"BTC": 200 * E8})
    for clock.ahead_s in (0.0, PAUSE_S + 1, KEPT_S - 1):
        assert await told.tell("ann", moved, now_ms=2) == first
    assert len(model.asked) == 1
    clock.ahead_s = KEPT_S + 1
    assert await told.tell("ann", moved, now_ms=3) == Told("You hold one bitcoin.", 3)
    assert len(model.asked) == 2


async def test_other_holdings_wait_for_a_minute(
    model: Model, told: Narrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    await told.tell("ann", SHOWN, now_ms=1)
    sold = portfolio_view(HELD[:1], {})
    assert await told.tell("ann", sold, now_ms=2) is None
    assert await told.tell("bob", sold, now_ms=2) is not None
    clock.ahead_s = PAUSE_S + 1
    assert await told.tell("ann", sold, now_ms=3) is not None
    assert len(model.asked) == 3


async def test_all_together_may_not_ask_more_than_so_often(
    model: Model, told: Narrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    monkeypatch.setattr(narrator, "CALLS_PER_MINUTE", 3)
    words = [await told.tell(f"user-{n}", SHOWN, now_ms=1) for n in range(5)]
    assert [each is not None for each in words] == [True, True, True, False, False]
    clock.ahead_s = 61
    assert await told.tell("late", SHOWN, now_ms=1) is not None
    assert len(model.asked) == 4


async def test_a_broken_model_is_left_alone_for_a_while(
    model: Model, told: Narrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)
    model.status = "500 Oops"
    assert await told.tell("ann", SHOWN, now_ms=1) is None
    model.status = "200 OK"
    assert await told.tell("bob", SHOWN, now_ms=1) is None
    assert len(model.asked) == 1
    clock.ahead_s = REST_S + 1
    assert await told.tell("bob", SHOWN, now_ms=1) is not None


async def test_without_a_setting_there_is_none() -> None:
    async with running_narrator(Settings()) as running:
        assert running is None
    with pytest.raises(ValidationError, match="CNOP_INSIGHTS_MODEL"):
        Settings(insights_url="http://127.0.0.1:9/v1")


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    history = History(4, accounts=1).live(30)
    models = (activity, orders, portfolio, markets)
    table = MemoryTable([spec for each in models for spec in each.TABLES])
    await Projector((PROJECTION,), ACCOUNTS_JOURNAL, 0, table).step(history.records, now_s=0)
    async with running_gateway(table, history.accounts[0]) as gateway:
        yield gateway


async def test_an_answer_says_who_speaks(model: Model, told: Narrator, gateway: Gateway) -> None:
    async def insight() -> dict[str, Any]:
        answer = await gateway.get("/insights/portfolio")
        assert answer.status_code == 200, answer.text
        return answer.json()["data"]

    assert (await insight())["model"] == "rules"
    gateway.services.narrator = told
    spoken = await insight()
    assert (spoken["summary"], spoken["model"]) == ("You hold one bitcoin.", "small")
    gateway.now_ms += 5_000
    assert await insight() == spoken
    told._asked.clear()
    model.body = b"rubbish"
    assert (await insight())["model"] == "rules"
