"""`cnop clock`: the clock in the foreground."""

import typer

from runtime.devstack.processes import TARGETS
from runtime.process import run


def command() -> None:
    """Run the clock until it is told to stop."""
    raise typer.Exit(run("clock", TARGETS["clock"]))
