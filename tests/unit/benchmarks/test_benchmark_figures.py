"""README.md shows what the last whole run measured, not what somebody wished."""

from benchmarks.figures import README, figures, newest, with_figures
from benchmarks.measure import Ratio
from benchmarks.report import Report, Section, Table

MACHINE = {
    "cores": "2",
    "cpu": "some",
    "memory": "4 GiB",
    "system": "Linux 6",
    "python": "3.11",
    "java": 'openjdk version "17"',
}


def test_the_readme_has_the_figures_of_the_last_whole_run() -> None:
    page = README.read_text("utf-8")
    assert figures(newest()) in page
    assert with_figures(page, newest()) == page


def test_of_several_pairs_the_middle_one_is_shown_and_every_ratio_with_its_verdict() -> None:
    rows = (
        ("64", "1,000", "9 ms", "9 ms"),
        ("64", "90", "7 ms", "9 ms"),
        ("64", "200", "8 ms", "9 ms"),
    )
    table = Table("orders", ("connections", "filled/s", "p50", "p99"), rows)
    ratios = (Ratio.of("slow", [1.0, 5.0, 9.0], most=4.0), Ratio.of("shown", [2.0]))
    report = Report(
        MACHINE, quick=False, took_s=1.0, sections=(Section("orders", (table,), ratios),)
    )
    shown = figures(report)
    assert "| slow | 5.00 (1.00-9.00) | at most 4, MISSED |" in shown
    assert "| shown | 2.00 (2.00-2.00) |  |" in shown
    assert "| market orders over HTTP, 64 at once | filled/s 200, p50 8 ms, p99 9 ms |  |" in shown
    assert shown.count("64 at once") == 1
