"""Writes what the topic registry says into the docs: `python -m runtime.docs`."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from schemas.acls import PRINCIPALS, grants
from schemas.topics import TOPICS, Topic

_DOCS: Final = Path(__file__).parents[1] / "docs"
PAGE: Final = _DOCS / "architecture.md"
ACLS_PAGE: Final = _DOCS / "kafka-security.md"
_BEGIN: Final = "<!-- from the topic registry: python -m runtime.docs -->"
_END: Final = "<!-- end of what the registry says -->"
_DAY_MS: Final = 24 * 60 * 60 * 1000
_MINUTE_MS: Final = 60 * 1000
_SIDE_TOPICS: Final = (".dlq", ".snapshots")


def section(topics: Sequence[Topic] = TOPICS) -> str:
    """The diagram of who writes and reads what, and the table of all topics, as Markdown."""
    main = [each for each in topics if not each.name.endswith(_SIDE_TOPICS)]
    return "\n".join((_BEGIN, "", *_diagram(main), "", *_table(topics), "", _END))


def acls_section() -> str:
    """The table of what each principal may do on Kafka, as Markdown."""
    return "\n".join((_BEGIN, "", *_acls(), "", _END))


def with_section(page: str, told: str | None = None) -> str:
    """The page with its marked section replaced by what is told there, the topics' by default.

    Raises:
        ValueError: the page has no marks.
    """
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ValueError("the page lacks the marks of the registry's section")
    return before + (section() if told is None else told) + after


def main() -> None:
    """Write the pages."""
    PAGE.write_text(with_section(PAGE.read_text()))
    ACLS_PAGE.write_text(with_section(ACLS_PAGE.read_text(), acls_section()))


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


def _acls() -> Iterable[str]:
    yield "| principal | may write | may read | uses the groups | sees the groups |"
    yield "|---|---|---|---|---|"
    everything = grants()
    for principal in PRINCIPALS:
        own = [each for each in everything if each.principal == principal]
        cells = [
            ", ".join(
                f"`{name}`"
                for name in sorted(each.name for each in own if (each.kind, each.operation) == what)
            )
            for what in (
                ("topic", "write"),
                ("topic", "read"),
                ("group", "read"),
                ("group", "describe"),
            )
        ]
        yield f"| {principal} | {' | '.join(each or '-' for each in cells)} |"


def _kept(retention_ms: int) -> str:
    if retention_ms < 0:
        return "for ever"
    if retention_ms % _DAY_MS == 0:
        return f"{retention_ms // _DAY_MS} days"
    return f"{retention_ms // _MINUTE_MS} minutes"


if __name__ == "__main__":
    main()
