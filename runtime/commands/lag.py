"""`cnop lag`: how far every consumer group is behind."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Final

import msgspec
import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from runtime.lag import Lag, Observer, observer
from runtime.settings import settings

_WATCH_S: Final = 2.0
_COLUMNS: Final = ("group", "topic", "partition", "position", "end", "messages", "seconds")


def command(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every 2 s.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show every consumer group's lag on every partition, in messages and in seconds."""
    try:
        asyncio.run(_show(watch=watch, json=json))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _show(*, watch: bool, json: bool) -> None:
    async with observer(settings()) as looking:
        if json:
            await _follow(looking, _print_lines, watch=watch)
        elif watch:
            with Live(auto_refresh=False) as live:
                await _follow(
                    looking, lambda lags: live.update(_table(lags), refresh=True), watch=True
                )
        else:
            Console().print(_table(await looking.measure()))


async def _follow(looking: Observer, show: Callable[[Sequence[Lag]], None], *, watch: bool) -> None:
    show(await looking.measure())
    while watch:
        await asyncio.sleep(_WATCH_S)
        show(await looking.measure())


def _print_lines(lags: Sequence[Lag]) -> None:
    for each in lags:
        typer.echo(msgspec.json.encode(each._asdict()))


def _table(lags: Sequence[Lag]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for name in _COLUMNS[:2]:
        table.add_column(name, overflow="fold")
    for name in _COLUMNS[2:]:
        table.add_column(name, justify="right")
    for each in lags:
        position = "-" if each.position is None else str(each.position)
        style = "yellow" if each.messages else None
        figures = (each.partition, position, each.end, each.messages, f"{each.seconds:.1f}")
        names = (name.removeprefix(settings().namespace) for name in (each.group, each.topic))
        table.add_row(*names, *map(str, figures), style=style)
    return table
