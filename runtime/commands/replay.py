"""`cnop replay`: a journal's valid records as typed JSON lines."""

import asyncio
import os
import sys
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from runtime.kafka_log import KafkaLog
from runtime.replay import Bound, Selection, ends, journal_named, parse_bound, replay
from runtime.settings import settings
from schemas.codec import PoisonMessage

_BOUND = "An offset, <partition>:<offset>, or an RFC 3339 time"


def command(
    journal: Annotated[str, typer.Argument(help="identity, accounts or markets.")],
    *,
    start: Annotated[str, typer.Option("--from", help=f"{_BOUND}; the first shown.")] = "0",
    end: Annotated[str | None, typer.Option("--to", help=f"{_BOUND}; not shown.")] = None,
    event_type: Annotated[
        list[str] | None, typer.Option("--type", help="Event type; * and ? match; repeatable.")
    ] = None,
    entity: Annotated[
        str | None, typer.Option("--entity", "--key", help="Only this entity's events.")
    ] = None,
) -> None:
    """Write the journal's valid records to stdout, one JSON object a line."""
    try:
        selection = Selection(
            parse_bound(start),
            Bound() if end is None else parse_bound(end),
            tuple(event_type or ()),
            entity,
        )
        asyncio.run(_write(journal_named(journal), selection))
    except (ValueError, PoisonMessage) as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(2) from problem
    except BrokenPipeError:  # whoever read it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


async def _write(journal: str, selection: Selection) -> None:
    log = await KafkaLog.open(settings(), writes=False)
    try:
        until = await ends(log, journal, selection)
        with _progress() as progress:
            bar = progress.add_task(journal, total=sum(until.values()))
            async for line in replay(
                log, selection, until, advanced=lambda passed: progress.advance(bar, passed)
            ):
                sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
        sys.stdout.buffer.flush()
    finally:
        await log.close()


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
