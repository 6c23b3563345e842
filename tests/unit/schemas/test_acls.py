"""Who may do what on Kafka, principal by principal, in full."""

import pytest

from schemas.acls import (
    ADMIN,
    GATEWAY_REPLIES_GROUP,
    GROUPS,
    PRINCIPALS,
    grants,
    readers_of,
    writers_of,
)
from schemas.topics import CONTEXTS, REGISTRY, TOPICS, inbox_of, journal_of, snapshots_of

WRITES = {
    "gateway": (
        "identity.commands accounts.commands markets.commands auth.requests security.audit"
    ),
    "identity": (
        "identity.journal identity.snapshots identity.commands gateway.replies security.audit"
        " identity.commands.dlq"
    ),
    "accounts": (
        "accounts.journal accounts.snapshots accounts.commands markets.commands gateway.replies"
        " accounts.commands.dlq"
    ),
    "markets": (
        "markets.journal markets.snapshots markets.commands accounts.commands gateway.replies"
        " markets.commands.dlq"
    ),
    "auth": (
        "identity.commands gateway.replies security.audit auth.requests.dlq identity.journal.dlq"
    ),
    "read-models": "identity.journal.dlq accounts.journal.dlq markets.journal.dlq",
    "auditor": "accounts.journal.dlq markets.journal.dlq",
    "feed": "markets.commands",
    "clock": "markets.commands",
    "operators": "identity.commands accounts.commands markets.commands",
    "analysts": "",
}
JOURNALS = "identity.journal accounts.journal markets.journal"
FOLLOWED = f"{JOURNALS} identity.commands accounts.commands markets.commands auth.requests"
LETTERS = (
    "identity.commands.dlq accounts.commands.dlq markets.commands.dlq identity.journal.dlq"
    " accounts.journal.dlq markets.journal.dlq auth.requests.dlq"
)
READS = {
    "gateway": f"{JOURNALS} gateway.replies",
    "identity": "identity.commands identity.journal identity.snapshots",
    "accounts": "accounts.commands accounts.journal accounts.snapshots",
    "markets": "markets.commands markets.journal markets.snapshots",
    "auth": "auth.requests identity.journal",
    "read-models": JOURNALS,
    "auditor": FOLLOWED,
    "feed": "",
    "clock": "",
    "operators": f"{FOLLOWED} {LETTERS} security.audit",
    "analysts": f"{JOURNALS} security.audit",
}
JOINS = {
    "gateway": "gateway-replies",
    "identity": "identity",
    "accounts": "accounts",
    "markets": "markets",
    "auth": "auth",
    "read-models": "read-models-identity read-models-accounts read-models-markets",
    "auditor": "auditor",
}


def granted(principal: str, kind: str, operation: str) -> set[str]:
    return {
        each.name
        for each in grants()
        if (each.principal, each.kind, each.operation) == (principal, kind, operation)
    }


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_a_principal_may_write_and_read_exactly_these_topics(principal: str) -> None:
    assert granted(principal, "topic", "write") == set(WRITES[principal].split())
    assert granted(principal, "topic", "read") == set(READS[principal].split())
    assert granted(principal, "topic", "describe") == set()


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_a_principal_may_join_exactly_its_own_groups(principal: str) -> None:
    assert granted(principal, "group", "read") == set(JOINS.get(principal, "").split())
    assert granted(principal, "group", "write") == set()


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_only_auditor_and_operators_see_the_groups_that_fall_behind(principal: str) -> None:
    every = {group for followed in GROUPS.values() for group, _ in followed}
    seen = every - {GATEWAY_REPLIES_GROUP} if principal in {"auditor", "operators"} else set[str]()
    assert granted(principal, "group", "describe") == seen


@pytest.mark.parametrize("context", CONTEXTS)
def test_nobody_but_its_worker_writes_a_journal_or_snapshots(context: str) -> None:
    assert writers_of(REGISTRY[journal_of(context)]) == {context}
    assert writers_of(REGISTRY[snapshots_of(context)]) == {context}
    assert readers_of(REGISTRY[snapshots_of(context)]) == {context}
    assert "gateway" in writers_of(REGISTRY[inbox_of(context)])


def test_every_party_of_the_registry_is_a_principal() -> None:
    for topic in TOPICS:
        assert writers_of(topic) | readers_of(topic) <= set(PRINCIPALS), topic.name


def test_no_grant_is_the_administrator_s_or_everybody_s() -> None:
    assert {each.principal for each in grants()} == set(PRINCIPALS)
    assert ADMIN not in PRINCIPALS
    assert all(each.name in REGISTRY for each in grants() if each.kind == "topic")
