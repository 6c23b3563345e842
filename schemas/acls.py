"""Who may do what on Kafka: one principal per kind of process, its grants made from the registry.

Nobody else may do anything: there is no grant to all, none on the cluster, none to a
transactional id (no process uses transactions), and none to create, alter or delete anything.
An idempotent producer needs no more than to write some topic (KIP-679); to write or read a topic
is also to see its description, and to use a group is to see it.
"""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

from schemas.topics import (
    AUTH_REQUESTS,
    CONTEXTS,
    GATEWAY_REPLIES,
    READ_MODELS,
    TOPICS,
    Topic,
    group_of_read_models,
    inbox_of,
)

GATEWAY: Final = "gateway"
AUTH: Final = "auth"
AUDITOR: Final = "auditor"
OPERATORS: Final = "operators"
ANALYSTS: Final = "analysts"
PROJECTORS: Final = "read-models"
ADMIN: Final = "admin"
"""Makes topics and grants: a super user, which no process of the system is."""
GATEWAY_REPLIES_GROUP: Final = "gateway-replies"
AUDITOR_GROUP: Final = "auditor"

PRINCIPALS: Final = (
    GATEWAY,
    *CONTEXTS,
    AUTH,
    PROJECTORS,
    AUDITOR,
    "feed",
    "clock",
    OPERATORS,
    ANALYSTS,
)
GROUPS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    **{context: ((context, inbox_of(context)),) for context in CONTEXTS},
    AUTH: ((AUTH, AUTH_REQUESTS),),
    GATEWAY: ((GATEWAY_REPLIES_GROUP, GATEWAY_REPLIES),),
    AUDITOR: tuple((AUDITOR_GROUP, each.name) for each in TOPICS if AUDITOR in each.readers),
    PROJECTORS: tuple(
        (group_of_read_models(each.name), each.name)
        for each in TOPICS
        if each.name.endswith(".journal") and not READ_MODELS.isdisjoint(each.readers)
    ),
}
"""The consumer groups of each principal, each with a topic that it follows."""
FALL_BEHIND: Final = frozenset(
    each for principal, followed in GROUPS.items() if principal != GATEWAY for each in followed
)
"""Every (group, topic) that must be consumed; a gateway that is gone waits for no replies."""
_SEE_LAG: Final = (AUDITOR, OPERATORS)
"""They ask for the position of those groups, and read the oldest record that each has before it."""

Kind = Literal["topic", "group"]
Operation = Literal["read", "write", "describe"]


class Grant(NamedTuple):
    """One thing that a principal may do to one topic or group; the name lacks the namespace."""

    principal: str
    kind: Kind
    name: str
    operation: Operation


def grants(topics: Iterable[Topic] = TOPICS) -> frozenset[Grant]:
    """All that is allowed."""
    found: set[Grant] = set()
    for topic in topics:
        found |= {Grant(each, "topic", topic.name, "write") for each in writers_of(topic)}
        found |= {Grant(each, "topic", topic.name, "read") for each in readers_of(topic)}
    for principal, followed in GROUPS.items():
        found |= {Grant(principal, "group", group, "read") for group, _ in followed}
    for group, _ in FALL_BEHIND:
        found |= {Grant(each, "group", group, "describe") for each in _SEE_LAG}
    return frozenset(found)


def writers_of(topic: Topic) -> frozenset[str]:
    """The principals that may write the topic."""
    return frozenset(map(principal_of, topic.writers))


def readers_of(topic: Topic) -> frozenset[str]:
    """The principals that may read the topic: a context reads its own journal back too (W1)."""
    readers = set(map(principal_of, topic.readers))
    if topic.name.endswith(".journal"):
        readers |= writers_of(topic)
    if any(topic.name == each for _, each in FALL_BEHIND):
        readers |= set(_SEE_LAG)
    return frozenset(readers)


def principal_of(party: str) -> str:
    """The principal of a writer or reader in the registry: read models share a process."""
    return PROJECTORS if party in READ_MODELS else party
