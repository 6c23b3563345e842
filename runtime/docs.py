"""Writes what the topic registry says into docs/architecture.md: `python -m runtime.docs`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from schemas.topics import TOPICS, Topic

PAGE: Final = Path(__file__).parents[1] / "docs" / "architecture.md"
_BEGIN: Final = "<!-- from the topic registry: python -m runtime.docs -->"
_END: Final = "<!-- end of what the registry says -->"
_DAY_MS: Final = 24 * 60 * 60 * 1000
_MINUTE_MS: Final = 60 * 1000
_SIDE_TOPICS: Final = (".dlq", ".snapshots")


def section(topics: Sequence[Topic] = TOPICS) -> str:
    """The diagram of who writes and reads what, and the table of all topics, as Markdown."""
    main = [each for each in topics if not each.name.endswith(_SIDE_TOPICS)]
    return "\n".join((_BEGIN, "", *_diagram(main), "", *_table(topics), "", _END))


def with_section(page: str) -> str:
    """The page with its marked section replaced.

    Raises:
        ValueError: the page has no marks.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError("the page lacks the marks of the registry's section")
    return before + section() + after


def main() -> None:
    """Write the page."""
    PAGE.write_text(with_section(PAGE.read_text()))


def _diagram(topics: Iterable[Topic]) -> Iterable[str]:
    yield "```mermaid"
    yield "flowchart LR"
    for topic in topics:
        yield f'  {_node(topic.name)}[("{topic.name}")]'
        yield from (f"  {_node(each)}({each}) --> {_node(topic.name)}" for each in topic.writers)
        yield from (f"  {_node(topic.name)} --> {_node(each)}({each})" for each in topic.readers)
    yield "```"


def _node(name: str) -> str:
    return name.replace(".", "_").replace("-", "_")


def _table(topics: Iterable[Topic]) -> Iterable[str]:
    yield "| topic | key | partitions | kept | cleanup | written by | read by |"
    yield "|---|---|---|---|---|---|---|"
    for each in topics:
        partitions = f"{each.partitions} / {each.partitions_production}"
        cells = (
            f"`{each.name}`",
            each.key,
            partitions,
            _kept(each.retention_ms),
            each.cleanup,
            ", ".join(each.writers),
            ", ".join(each.readers),
        )
        yield f"| {' | '.join(cells)} |"


def _kept(retention_ms: int) -> str:
    if retention_ms < 0:
        return "for ever"
    if retention_ms % _DAY_MS == 0:
        return f"{retention_ms // _DAY_MS} days"
    return f"{retention_ms // _MINUTE_MS} minutes"


if __name__ == "__main__":
    main()
