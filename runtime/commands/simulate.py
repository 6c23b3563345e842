"""`cnop simulate`: seeded histories of the whole system in memory, crashes and all."""

import importlib
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import track

_COMMANDS = 300


def command(
    *,
    seed: Annotated[int, typer.Option(min=0, help="The first history.")] = 0,
    count: Annotated[int, typer.Option(min=1, help="How many histories from there on.")] = 1,
    commands: Annotated[int, typer.Option(min=1, help="Client commands in each.")] = _COMMANDS,
    trace: Annotated[
        bool, typer.Option(help="Tell every command, event and fault; of one history only.")
    ] = True,
) -> None:
    """Run histories and judge them; the same seed and commands give the same history."""
    histories = importlib.import_module("simulation.histories")
    if count == 1:
        histories.prepare()
        happened = histories.run(seed, commands, histories.Told(typer.echo) if trace else None)
        typer.echo(f"History {seed} holds: {_said(happened)}.")
        return
    failed = _run_all(histories, range(seed, seed + count), commands)
    if failed:
        typer.echo(f"cnop simulate --seed {failed[0]} --commands {commands} tells the first.")
        raise typer.Exit(1)
    typer.echo(f"{count:,} histories of {commands:,} commands hold.")


def _run_all(histories: Any, seeds: range, commands: int) -> list[int]:  # noqa: ANN401  # loaded by name
    failed: list[int] = []
    every = histories.run_all(seeds, commands)
    for each in track(every, "histories", total=len(seeds), console=Console(stderr=True)):
        if each.problem is not None:
            failed.append(each.seed)
            typer.echo(f"History {each.seed} does not hold:\n{each.problem}", err=True)
    return failed


def _said(happened: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(happened.items()))
