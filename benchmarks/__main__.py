"""`python -m benchmarks`: everything side by side in one run, and a table with the ratios."""

import logging
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Annotated, Final

import typer
from rich.console import Console

from benchmarks import figures, growth, http, latency, suite
from benchmarks import report as reports
from benchmarks.report import Report, Section
from benchmarks.servers import servers
from benchmarks.suite import Bench, Sizes

BENCHMARKS: Final[dict[str, Callable[[Bench], Section]]] = {
    "worker": suite.worker,
    "append": suite.append,
    "orders": http.orders,
    "latency": latency.latency,
    "sharing": latency.sharing,
    "projector": suite.projector,
    "matching": suite.book,
    "restore": growth.restore,
    "accounts-growth": growth.growth,
    "restart": suite.restart,
}
_WIDTH: Final = 150
_FULL_S: Final = 780.0
_QUICK_S: Final = 240.0


def main(
    only: Annotated[
        list[str] | None, typer.Option(help=f"One of {', '.join(BENCHMARKS)}; repeatable.")
    ] = None,
    *,
    quick: Annotated[bool, typer.Option(help="Small sizes, in 5 minutes.")] = False,
    budget_s: Annotated[
        float | None, typer.Option(help="Seconds after which nothing new begins; 780, quick 240.")
    ] = None,
    write: Annotated[
        bool, typer.Option(help="Write results, and of a whole run README.md's table.")
    ] = True,
    results: Annotated[Path, typer.Option(help="The folder that results go to.")] = reports.RESULTS,
) -> None:
    """Measure against bare loops on the same servers, and say how far each ratio is kept."""
    chosen = _chosen(only or [])
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # topics just made have no leader yet
    console = Console()
    if not console.is_terminal:
        console.width = _WIDTH
    began = monotonic()
    sizes = _sizes(quick=quick, deadline=began + (budget_s or (_QUICK_S if quick else _FULL_S)))
    machine = reports.machine()
    with servers() as settings:
        bench = Bench(settings, sizes, console.print)
        sections = tuple(_run(each, bench, console) for each in chosen)
    report = Report(machine, quick, monotonic() - began, sections)
    reports.show_ratios(report, console)
    if write and not only:
        reports.write(report, results)
        if not quick and results == reports.RESULTS:
            figures.write(report)
    below = [each.name for each in report.ratios if not each.is_kept]
    raise typer.Exit(1 if below else 0)


def _chosen(names: list[str]) -> list[str]:
    if unknown := set(names) - BENCHMARKS.keys():
        raise typer.BadParameter(f"no benchmark named {', '.join(sorted(unknown))}")
    return names or list(BENCHMARKS)


def _run(name: str, bench: Bench, console: Console) -> Section:
    if not bench.sizes.has_time:
        section = Section(name, skipped="no time was left for it in this run")
    else:
        with console.status(name) as status:

            def say(step: str) -> None:
                status.update(f"{name}: {step}")
                if not console.is_terminal:
                    console.print(f"{name}: {step}")

            section = BENCHMARKS[name](bench._replace(say=say))
    reports.show(section, console)
    return section


def _sizes(*, quick: bool, deadline: float) -> Sizes:
    if quick:
        return Sizes(
            commands=10_000,
            pairs=2,
            appends=300,
            asked=200,
            grown=50_000,
            projected=1_000,
            restarts=(),
            accounts=64,
            registering_s=15.0,
            load_s=4.0,
            connections=(1, 16, 64),
            deadline=deadline,
        )
    return Sizes(
        commands=40_000,
        pairs=5,
        appends=2_000,
        asked=300,
        grown=1_000_000,
        projected=4_000,
        restarts=(5_000, 40_000),
        accounts=1_000,
        registering_s=75.0,
        load_s=6.0,
        connections=(1, 16, 64, 256),
        deadline=deadline,
    )


if __name__ == "__main__":
    typer.run(main)
