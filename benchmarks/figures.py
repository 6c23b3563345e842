"""The table of figures in README.md, made from the results of a whole run."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from benchmarks.measure import Ratio
from benchmarks.report import RESULTS, Report, Section, markdown_rows, verdict

README: Final = Path(__file__).parents[1] / "README.md"
_BEGIN: Final = "<!-- figures: written by `make bench` -->"
_END: Final = "<!-- /figures -->"


class _Shown(NamedTuple):
    """Rows of a section's first table: what they are called, and the columns worth showing."""

    section: str
    what: str
    columns: tuple[str, ...]


_SHOWN: Final = (
    _Shown("append", "one idempotent acks=all append", ("p50", "p99")),
    _Shown("orders", "market orders over HTTP, {} at once", ("filled/s", "p50", "p99")),
    _Shown("latency", "one at a time: {}", ("p50", "p99")),
    _Shown("sharing", "20 clients {}", ("filled/s", "p50")),
    _Shown("matching", "one order book in memory", ("per second",)),
    _Shown("restore", "a writer of {} starts", ("accounts", "open orders", "took")),
    _Shown("accounts-growth", "market orders among {} accounts", ("p50",)),
)


def newest() -> Report:
    """The last whole run."""
    return msgspec.json.decode(RESULTS.joinpath("full.json").read_bytes(), type=Report)


def write(report: Report, readme: Path = README) -> None:
    """Put the figures between their marks."""
    readme.write_text(with_figures(readme.read_text("utf-8"), report), "utf-8")


def with_figures(page: str, report: Report) -> str:
    """The page with these figures in place of those that it has."""
    text = f"{_BEGIN}\n{figures(report)}{_END}"
    return re.sub(f"{re.escape(_BEGIN)}.*{re.escape(_END)}", lambda _: text, page, flags=re.DOTALL)


def figures(report: Report) -> str:
    """A sentence about the machine, and a table."""
    rows = [*map(_ratio_row, report.ratios), *_section_rows(report.sections)]
    lines = markdown_rows(("what", "figure", "asked for"), rows)
    return "\n".join([_machine(report), "", *lines, ""])


def _machine(report: Report) -> str:
    machine = report.machine
    java = machine["java"].replace('"', "")
    return (
        f"One run on {machine['cores']} cores ({machine['cpu']}), {machine['memory']}, "
        f"{machine['system']}, Python {machine['python']}, {java}; broker, store, the whole system "
        "and the load generator share them."
    )


def _ratio_row(ratio: Ratio) -> tuple[str, ...]:
    asked = ", ".join(filter(None, (ratio.asked, verdict(ratio))))
    return ratio.name, f"{ratio.median:.2f} ({ratio.spread})", asked


def _section_rows(sections: Sequence[Section]) -> Iterator[tuple[str, ...]]:
    found = {each.name: each for each in sections}
    for shown in _SHOWN:
        section = found.get(shown.section)
        if section is not None and section.tables:
            yield from _shown_rows(shown, section)


def _shown_rows(shown: _Shown, section: Section) -> Iterator[tuple[str, ...]]:
    """One for each label; where several pairs have one, that in the middle of them."""
    table = section.tables[0]
    places = [table.columns.index(each) for each in shown.columns]
    for label in dict.fromkeys(row[0] for row in table.rows):
        pairs = sorted(
            (row for row in table.rows if row[0] == label), key=lambda row: _number(row[places[0]])
        )
        middle = pairs[len(pairs) // 2]
        cells = zip(shown.columns, (middle[each] for each in places), strict=True)
        yield shown.what.format(label), ", ".join(f"{name} {cell}" for name, cell in cells), ""


def _number(cell: str) -> float:
    return float(cell.partition(" ")[0].replace(",", ""))
