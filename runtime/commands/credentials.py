"""`cnop credentials`: the passwords with which processes sign in to Kafka."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from runtime.errors import Unavailable
from runtime.kafka_access import set_passwords
from runtime.security.kafka_passwords import (
    SIGNED_IN,
    ensure_passwords,
    kafka_passwords,
    read_password,
)
from runtime.settings import settings

app = typer.Typer(help="Passwords of Kafka's principals.", no_args_is_help=True)

_Directory = Annotated[
    Path | None, typer.Option(help="Where they lie; <secrets>/kafka when not given.")
]


@app.command()
def create(
    directory: _Directory = None,
    *,
    group_readable: Annotated[
        bool, typer.Option("--group-readable", help="Let the group of their owner read them.")
    ] = False,
) -> None:
    """Make those that are missing, `<principal>/password` each; nothing is shown."""
    chosen = directory or kafka_passwords(settings())
    ensure_passwords(chosen, mode=0o640 if group_readable else 0o600)
    typer.echo(f"The passwords are in {chosen}.")


@app.command()
def apply(
    principals: Annotated[
        list[str] | None, typer.Argument(help="All principals when none is named.")
    ] = None,
    directory: _Directory = None,
) -> None:
    """Let principals sign in to Kafka with these passwords; the broker gets salted hashes."""
    chosen = directory or kafka_passwords(settings())
    passwords = {each: read_password(chosen, each) for each in principals or SIGNED_IN}
    try:
        asyncio.run(set_passwords(settings(), passwords))
    except KafkaError as error:
        raise Unavailable(f"Kafka at {settings().kafka_bootstrap}: {error!r}") from error
    typer.echo(f"{len(passwords)} principals sign in with these from now on.")
