import ast
from pathlib import Path

import pytest

from runtime.devstack.processes import PRODUCERS, WORKERS
from runtime.docs import ACLS_PAGE, PAGE, acls_section, section, with_section
from schemas import topics
from schemas.topics import (
    CONTEXTS,
    PEOPLE,
    READ_MODELS,
    REGISTRY,
    TOPICS,
    dlq_of,
    inbox_of,
    journal_of,
    snapshots_of,
)

REPOSITORY = Path(__file__).parents[2]
SOURCES = ("runtime", "producers", "consumers", "read_models", "gateway")


def test_names_are_unique() -> None:
    assert len(REGISTRY) == len(TOPICS)


@pytest.mark.parametrize("context", CONTEXTS)
def test_every_context_has_inbox_journal_snapshots_and_dead_letters(context: str) -> None:
    inbox, journal = REGISTRY[inbox_of(context)], REGISTRY[journal_of(context)]
    snapshots = REGISTRY[snapshots_of(context)]
    assert journal.writers == (context,)
    assert inbox.readers == (context,)
    assert inbox.partitions == journal.partitions == snapshots.partitions
    assert inbox.partitions_production == journal.partitions_production
    assert snapshots.cleanup == "compact"
    assert dlq_of(inbox.name) in REGISTRY


@pytest.mark.parametrize("name", [name for name in REGISTRY if name.endswith(".journal")])
def test_journals_are_kept_for_ever_in_log_order_and_never_compacted(name: str) -> None:
    config = REGISTRY[name].config()
    assert config["retention.ms"] == "-1"
    assert config["cleanup.policy"] == "delete"
    assert config["message.timestamp.type"] == "LogAppendTime"
    assert config["unclean.leader.election.enable"] == "false"


@pytest.mark.parametrize(
    "name", [name for name in REGISTRY if name.endswith((".commands", ".journal", ".requests"))]
)
def test_what_somebody_decodes_has_dead_letters_of_the_same_width(name: str) -> None:
    letters = REGISTRY[dlq_of(name)]
    assert letters.partitions == REGISTRY[name].partitions
    assert set(letters.writers) == set(REGISTRY[name].readers) - PEOPLE - {"gateway"}
    assert letters.max_message_bytes >= REGISTRY[name].max_message_bytes
    assert letters.retention_ms >= 30 * 24 * 60 * 60 * 1000


def test_writers_and_readers_are_processes_read_models_or_people() -> None:
    processes = {each.name for each in (*WORKERS, *PRODUCERS)} | {"gateway"}
    known = processes | READ_MODELS | PEOPLE
    for topic in TOPICS:
        assert set(topic.writers) | set(topic.readers) <= known, topic.name
        assert topic.writers, topic.name
        assert topic.readers, topic.name


def test_every_topic_that_the_code_names_is_in_the_registry() -> None:
    constants = {
        name: value
        for name, value in vars(topics).items()
        if name.isupper() and isinstance(value, str) and "." in value
    }
    assert set(constants.values()) <= REGISTRY.keys()
    endings = (".commands", ".journal", ".snapshots", ".dlq", ".requests", ".replies", ".audit")
    for source in SOURCES:
        for path in (REPOSITORY / source).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    text = node.value
                    is_topic = text.endswith(endings) and text.count(".") in {1, 2}
                    names_one = is_topic and text.replace(".", "").isalpha() and text[0] != "."
                    assert not names_one or text in REGISTRY, (path, text)


def test_the_architecture_page_says_what_the_registry_says() -> None:
    page = PAGE.read_text()
    assert page == with_section(page), "run `python -m runtime.docs`"
    assert all(f"`{name}`" in section() for name in REGISTRY)


def test_the_page_of_kafka_s_security_says_what_is_granted() -> None:
    page = ACLS_PAGE.read_text()
    assert page == with_section(page, acls_section()), "run `python -m runtime.docs`"


def test_every_client_reaches_kafka_by_the_same_options() -> None:
    clients = {
        "AIOKafkaProducer",
        "AIOKafkaConsumer",
        "AIOKafkaAdminClient",
        "AIOKafkaClient",
        "KafkaBroker",
    }
    found: set[str] = set()
    sources = [REPOSITORY / each for each in (*SOURCES, "benchmarks")]
    for path in (each for source in sources for each in source.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Name(id=name)) if name in clients:
                    found.add(name)
                    given = {ast.unparse(each.value).split("(")[0] for each in node.keywords}
                    assert given & {"kafka_options", "kafka_security"}, (path, node.lineno)
                case _:
                    pass
    assert found == clients
