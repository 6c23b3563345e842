"""The topic registry: every topic, who writes it, who reads it, how it is kept.

The local stack, the charts and the docs are made from it; auto-creation is off.
"""

from dataclasses import dataclass
from typing import Final, Literal

Cleanup = Literal["delete", "compact"]
TimestampType = Literal["LogAppendTime", "CreateTime"]

_FOR_EVER: Final = -1
_MINUTE_MS: Final = 60_000
_DAY_MS: Final = 24 * 60 * _MINUTE_MS
_LARGE_BYTES: Final = 4 * 1_048_576
"""For what a writer appends: a command's records stay in one batch (W4), a letter adds headers."""

IDENTITY: Final = "identity"
ACCOUNTS: Final = "accounts"
MARKETS: Final = "markets"
CONTEXTS: Final = (IDENTITY, ACCOUNTS, MARKETS)

IDENTITY_COMMANDS: Final = "identity.commands"
IDENTITY_JOURNAL: Final = "identity.journal"
ACCOUNTS_COMMANDS: Final = "accounts.commands"
ACCOUNTS_JOURNAL: Final = "accounts.journal"
MARKETS_COMMANDS: Final = "markets.commands"
MARKETS_JOURNAL: Final = "markets.journal"
AUTH_REQUESTS: Final = "auth.requests"
GATEWAY_REPLIES: Final = "gateway.replies"
SECURITY_AUDIT: Final = "security.audit"

READ_MODELS: Final = frozenset(
    {"users", "orders", "portfolio", "activity", "commands", "markets-read-model"}
)
"""Readers that are read models; one process keeps them all."""
PEOPLE: Final = frozenset({"operators", "analysts"})
"""Writers and readers that are people, with the CLI or a tool of theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic: `partitions` locally, `partitions_production` at scale, retention in ms."""

    name: str
    key: str
    partitions: int
    partitions_production: int
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    retention_ms: int = _FOR_EVER
    cleanup: Cleanup = "delete"
    timestamps: TimestampType = "LogAppendTime"
    max_message_bytes: int = 1_048_576

    def config(self) -> dict[str, str]:
        """The topic's Kafka configuration (T2)."""
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            "message.timestamp.type": self.timestamps,
            "max.message.bytes": str(self.max_message_bytes),
            "unclean.leader.election.enable": "false",
        }


_WRITE_NO_LETTERS: Final = PEOPLE | {"gateway"}
"""People ask again; gateways, which the internet reaches, write commands and requests alone."""


def inbox_of(context: str) -> str:
    """The commands topic of a deciding context."""
    return f"{context}.commands"


def journal_of(context: str) -> str:
    """The journal topic of a deciding context."""
    return f"{context}.journal"


def snapshots_of(context: str) -> str:
    """The compacted snapshots topic of a deciding context."""
    return f"{context}.snapshots"


def dlq_of(topic: str) -> str:
    """The dead-letter topic of a topic."""
    return f"{topic}.dlq"


def group_of_read_models(journal: str) -> str:
    """The consumer group of a journal's read models, without namespace; they share its records."""
    return f"read-models-{journal.removesuffix('.journal')}"


_COMMANDS_AND_JOURNALS: Final = (
    Topic(
        name=IDENTITY_COMMANDS,
        key="HMAC of the entity: username, email or address",
        partitions=4,
        partitions_production=16,
        writers=("gateway", "auth", "operators", "identity"),
        readers=("identity",),
    ),
    Topic(
        name=IDENTITY_JOURNAL,
        max_message_bytes=_LARGE_BYTES,
        key="partition of its command",
        partitions=4,
        partitions_production=16,
        writers=("identity",),
        readers=("users", "commands", "auth", "gateway", "analysts"),
    ),
    Topic(
        name=ACCOUNTS_COMMANDS,
        key="account id",
        partitions=4,
        partitions_production=64,
        writers=("gateway", "operators", "accounts", "markets"),
        readers=("accounts",),
    ),
    Topic(
        name=ACCOUNTS_JOURNAL,
        max_message_bytes=_LARGE_BYTES,
        key="partition of its command",
        partitions=4,
        partitions_production=64,
        writers=("accounts",),
        readers=("orders", "portfolio", "activity", "commands", "gateway", "auditor", "analysts"),
    ),
    Topic(
        name=MARKETS_COMMANDS,
        key="symbol",
        partitions=4,
        partitions_production=32,
        writers=("accounts", "markets", "gateway", "feed", "clock", "operators"),
        readers=("markets",),
    ),
    Topic(
        name=MARKETS_JOURNAL,
        max_message_bytes=_LARGE_BYTES,
        key="partition of its command",
        partitions=4,
        partitions_production=32,
        writers=("markets",),
        readers=("markets-read-model", "auditor", "gateway", "analysts"),
    ),
)

_REQUESTS: Final = (
    Topic(
        name=AUTH_REQUESTS,
        key="none",
        partitions=4,
        partitions_production=16,
        writers=("gateway",),
        readers=("auth",),
        retention_ms=10 * _MINUTE_MS,
    ),
    Topic(
        name=GATEWAY_REPLIES,
        key="partition of the asking gateway",
        partitions=16,
        partitions_production=64,
        writers=("auth", *CONTEXTS),
        readers=("gateway",),
        retention_ms=10 * _MINUTE_MS,
    ),
    Topic(
        name=SECURITY_AUDIT,
        key="HMAC of the user",
        partitions=4,
        partitions_production=16,
        writers=("gateway", "auth", "identity"),
        readers=("operators", "analysts"),
        retention_ms=30 * _DAY_MS,
    ),
)


def _snapshots(journal: Topic) -> Topic:
    context = journal.name.removesuffix(".journal")
    return Topic(
        name=snapshots_of(context),
        key="entity@epoch",
        partitions=journal.partitions,
        partitions_production=journal.partitions_production,
        writers=(context,),
        readers=(context,),
        cleanup="compact",
        max_message_bytes=_LARGE_BYTES,
    )


def _dead_letters(topic: Topic) -> Topic:
    return Topic(
        name=dlq_of(topic.name),
        key="as the original",
        partitions=topic.partitions,
        partitions_production=topic.partitions_production,
        writers=tuple(each for each in topic.readers if each not in _WRITE_NO_LETTERS),
        readers=("operators",),
        max_message_bytes=_LARGE_BYTES,
        retention_ms=30 * _DAY_MS,
    )


TOPICS: Final = (
    *_COMMANDS_AND_JOURNALS,
    *_REQUESTS,
    *(_snapshots(each) for each in _COMMANDS_AND_JOURNALS if each.name.endswith(".journal")),
    *(
        _dead_letters(each)
        for each in (*_COMMANDS_AND_JOURNALS, *_REQUESTS)
        if each.name.endswith((".commands", ".journal", ".requests"))
    ),
)
REGISTRY: Final = {each.name: each for each in TOPICS}
