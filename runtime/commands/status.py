"""`cnop status`: how the system that runs here is."""

from typing import Annotated

import msgspec
import typer
from rich.console import Console

from runtime.devstack.background import Stack
from runtime.devstack.config import StackConfig
from runtime.devstack.view import panel


def command(*, json: Annotated[bool, typer.Option(help="As one JSON object.")] = False) -> None:
    """Show every process with its pid and restarts; exits non-zero when nothing runs."""
    status = Stack(StackConfig().files).status
    if json:
        typer.echo(msgspec.json.encode(status))
    else:
        Console().print(panel(status))
