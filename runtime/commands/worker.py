"""`cnop worker`: one consumer or read-model process in the foreground."""

from typing import Annotated

import typer

from runtime.devstack.errors import CannotStart
from runtime.devstack.processes import TARGETS, WORKERS
from runtime.process import run

_NAMES = ", ".join(each.name for each in WORKERS)


def command(name: Annotated[str, typer.Argument(help=f"One of {_NAMES}.")]) -> None:
    """Run one worker process until it is told to stop."""
    if name not in TARGETS:
        raise CannotStart(f"There is no worker named {name!r}; there are {_NAMES}.")
    raise typer.Exit(run(name, TARGETS[name]))
