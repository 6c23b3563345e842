"""`cnop down`: stops what `cnop up` started."""

import typer

from runtime.devstack.background import Stack
from runtime.devstack.config import StackConfig


def command() -> None:
    """Stop the system; its data stay."""
    stopped = Stack(StackConfig().files).stop()
    typer.echo("Stopped; the data stay." if stopped else "Nothing was running.")
