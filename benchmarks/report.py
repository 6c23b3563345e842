"""What a run says: tables and ratios, on the terminal and as JSON and Markdown files."""

import os
import platform
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec
import psutil
from rich.console import Console
from rich.table import Table as RichTable

from benchmarks.measure import Ratio

RESULTS: Final = Path(__file__).with_name("results")
_PACKAGES: Final = ("aiokafka", "uvloop", "msgspec", "aioboto3", "starlette", "uvicorn")


class Table(msgspec.Struct, frozen=True):
    """Figures as they are shown."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


class Section(msgspec.Struct, frozen=True):
    """What one benchmark found; `skipped` says why it found nothing."""

    name: str
    tables: tuple[Table, ...] = ()
    ratios: tuple[Ratio, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: str | None = None


class Report(msgspec.Struct, frozen=True):
    """A whole run on one machine, which is described without its name."""

    machine: dict[str, str]
    quick: bool
    took_s: float
    sections: tuple[Section, ...]

    @property
    def ratios(self) -> tuple[Ratio, ...]:
        """All of them."""
        return tuple(ratio for each in self.sections for ratio in each.ratios)


def machine() -> dict[str, str]:
    """CPU, memory and versions; `load` is how busy others keep it (processes, 1 minute)."""
    return {
        "cpu": _cpu(),
        "cores": str(os.cpu_count()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "java": _java(),
        "kafka": "4.1.1 (one broker, on the same machine)",
        "dynamodb": "DynamoDB Local 3.1.0 (on the same machine)",
        "load before": f"{os.getloadavg()[0]:.1f}",
    } | {each: version(each) for each in _PACKAGES}


def show(section: Section, console: Console) -> None:
    """Print one section."""
    for each in section.tables:
        console.print(_rich(each))
    for note in section.notes:
        console.print(f"[dim]{note}[/dim]")
    if section.skipped:
        console.print(f"[yellow]{section.name}: {section.skipped}[/yellow]")


def show_ratios(report: Report, console: Console) -> None:
    """Print the ratios that the whole run ends with."""
    console.print(_rich(ratio_table(report.ratios)))


def ratio_table(ratios: Sequence[Ratio]) -> Table:
    """Each ratio beside what is asked for."""
    return Table(
        "Ratios (median of interleaved pairs)",
        ("ratio", "median", "spread", "pairs", "asked for", ""),
        tuple(
            (
                each.name,
                f"{each.median:.2f}",
                each.spread,
                str(each.pairs),
                each.asked,
                verdict(each),
            )
            for each in ratios
        ),
    )


def verdict(ratio: Ratio) -> str:
    """Whether it is as asked for; empty when nothing is."""
    if not ratio.asked:
        return ""
    return "kept" if ratio.is_kept else "MISSED"


def write(report: Report, directory: Path = RESULTS) -> tuple[Path, Path]:
    """Write the run as JSON and Markdown; a later one of the same kind replaces it."""
    directory.mkdir(exist_ok=True)
    name = "quick" if report.quick else "full"
    as_json, as_text = directory / f"{name}.json", directory / f"{name}.md"
    as_json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    as_text.write_text(markdown(report))
    return as_json, as_text


def markdown(report: Report) -> str:
    """The run as a page."""
    machine_rows = tuple(report.machine.items())
    lines = ["# Benchmark results", ""]
    lines += [f"One run of `make bench`, {report.took_s:.0f} s. How: benchmarks/README.md.", ""]
    for each in (Table("Machine", ("what", "which"), machine_rows), ratio_table(report.ratios)):
        lines += _markdown_table(each)
    for section in report.sections:
        for table in section.tables:
            lines += _markdown_table(table)
        lines += [f"{note}\n" for note in section.notes]
        if section.skipped:
            lines += [f"{section.name}: {section.skipped}\n"]
    return "\n".join(lines).rstrip() + "\n"


def markdown_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table."""
    return [f"| {' | '.join(each)} |" for each in (columns, ["---"] * len(columns), *rows)]


def _markdown_table(table: Table) -> list[str]:
    return [f"## {table.title}", "", *markdown_rows(table.columns, table.rows), ""]


def _rich(table: Table) -> RichTable:
    shown = RichTable(title=table.title, title_justify="left")
    for n, column in enumerate(table.columns):
        shown.add_column(column, justify="left" if n == 0 else "right")
    for row in table.rows:
        shown.add_row(*row)
    return shown


def _cpu() -> str:
    with Path("/proc/cpuinfo").open() as lines:
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _java() -> str:
    if (java := shutil.which("java")) is None:
        return "none"
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)  # noqa: S603  # fixed arguments
    return answer.stderr.partition("\n")[0]
