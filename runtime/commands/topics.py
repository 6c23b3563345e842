"""`cnop topics`: what the registry declares, on the broker."""

import asyncio
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from runtime.admin import create_topics
from runtime.settings import settings
from schemas.acls import Grant, grants

app = typer.Typer(help="Topics of the registry.", no_args_is_help=True)


@app.command()
def create() -> None:
    """Create the topics that are missing; idempotent."""
    made = asyncio.run(create_topics(settings()))
    typer.echo(f"{len(made)} topics created on {settings().kafka_bootstrap}.")
    if settings().kafka_username:
        typer.echo("Each principal may do there what `cnop topics acls` shows.")


@app.command()
def acls(
    *,
    json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show what each process may do on Kafka; `create` grants exactly this."""
    rows = sorted(each._replace(name=settings().topic(each.name)) for each in grants())
    if json:
        for each in rows:
            typer.echo(msgspec.json.encode(each._asdict()))
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    for name in Grant._fields:
        table.add_column(name, overflow="fold")
    for each in rows:
        table.add_row(*each)
    Console().print(table)
