"""`cnop topics`: what the registry declares, on the broker."""

import asyncio

import typer

from runtime.admin import create_topics
from runtime.settings import settings

app = typer.Typer(help="Topics of the registry.", no_args_is_help=True)


@app.command()
def create() -> None:
    """Create the topics that are missing; idempotent."""
    made = asyncio.run(create_topics(settings()))
    typer.echo(f"{len(made)} topics created on {settings().kafka_bootstrap}.")
