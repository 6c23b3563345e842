"""`cnop feed`: the market feed in the foreground."""

import typer

from runtime.devstack.processes import TARGETS
from runtime.process import run


def command() -> None:
    """Run the market feed until it is told to stop."""
    raise typer.Exit(run("feed", TARGETS["feed"]))
