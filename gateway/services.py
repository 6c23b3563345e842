"""What every request handler works with, started and stopped once per process."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from starlette.requests import Request

from gateway.auth import Auth
from gateway.deciding import Deciding
from gateway.freshness import Freshness
from gateway.ids import CommandIds
from gateway.journal_tail import Followed, JournalTail
from gateway.narrator import Narrator, running_narrator
from gateway.people import People
from gateway.replies import Replies
from gateway.sessions import Sessions
from producers.commands import CommandPublisher
from read_models.activity import queries as activity
from read_models.orders import queries as orders
from read_models.portfolio import queries as portfolio
from read_models.users import queries as users
from runtime.breaker import Breaker
from runtime.dynamodb import DynamoTable, open_dynamodb
from runtime.projection import TableSpec
from runtime.projector import Position, positions
from runtime.security.audit import Audit, AuditLog
from runtime.security.day_keys import DayKeys, each_hour
from runtime.security.files import PSEUDONYMS, ensure_secrets, read_secret
from runtime.security.kms import open_wrapping
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.sealed import SealingKey
from runtime.security.vault import Vault, Wrapping
from runtime.settings import Settings
from runtime.table import Readable
from schemas.identity import ApiKeyDeleted, SessionEnded
from schemas.topics import ACCOUNTS_JOURNAL, IDENTITY_JOURNAL

ORDERS: Final = "orders"
PORTFOLIO: Final = "portfolio"
ACTIVITY: Final = "activity"
_ANSWER_S: Final = 5.0
"""Of DynamoDB; who asks here waits for the answer."""
_MODELS: Final = {ORDERS: orders, PORTFOLIO: portfolio, ACTIVITY: activity}


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The gateway's parts."""

    settings: Settings
    table: Readable
    publisher: CommandPublisher
    replies: Replies
    tail: JournalTail
    freshness: Freshness
    deciding: Deciding
    auth: Auth
    people: People
    pseudonyms: Pseudonyms
    narrator: Narrator | None
    audit: Audit
    day_keys: DayKeys


def services_of(request: Request) -> Services:
    """The services of this process."""
    return request.app.state.services


@asynccontextmanager
async def running_services(settings: Settings) -> AsyncGenerator[Services]:
    """Connect to Kafka and DynamoDB, and give everything back at the end.

    Raises:
        Unavailable: Kafka does not answer.
    """
    async with (
        open_dynamodb(settings, answer_s=_ANSWER_S) as client,
        open_wrapping(settings) as wrapping,
        running_narrator(settings) as narrator,
    ):
        table = DynamoTable(client, settings, breaker=Breaker("dynamodb"))
        services = _wired(settings, table, wrapping, narrator)
        knowing = asyncio.create_task(each_hour(services.day_keys.read))
        try:
            await services.publisher.start()
            await services.replies.start()
            await services.tail.start()
            services.audit.start()
            yield services
        finally:
            knowing.cancel()
            await services.audit.stop()
            await services.tail.stop()
            await services.replies.stop()
            await services.publisher.stop()


def _wired(
    settings: Settings, table: DynamoTable, wrapping: Wrapping | None, narrator: Narrator | None
) -> Services:
    secrets = ensure_secrets(settings.secrets)
    publisher, replies = CommandPublisher(settings), Replies(settings)
    vault = Vault(table, wrapping)
    pseudonyms = Pseudonyms.of(secrets)
    deciding = Deciding(
        publisher=publisher,
        replies=replies,
        table=table,
        ids=CommandIds(read_secret(secrets, PSEUDONYMS)),
        pseudonyms=pseudonyms,
        deadline_ms=settings.command_deadline_ms,
    )
    auth = Auth(deciding, SealingKey.of_auth(secrets), Sessions(settings.verdict_cache_s))
    tail = JournalTail(settings, _followed(table, auth), publisher.partitions)
    heads = [partial(each.head, table) for each in _MODELS.values()]
    freshness = Freshness(tail, heads)
    return Services(
        settings=settings,
        table=table,
        publisher=publisher,
        replies=replies,
        tail=tail,
        freshness=freshness,
        deciding=deciding,
        auth=auth,
        people=People(table, vault, freshness),
        pseudonyms=pseudonyms,
        narrator=narrator,
        audit=Audit("gateway", AuditLog(settings)),
        day_keys=DayKeys(table, vault, pseudonyms),
    )


def _followed(table: Readable, auth: Auth) -> tuple[Followed, ...]:
    async def accounts_positions(partitions: int) -> tuple[Position, ...]:
        return await _lowest(
            table, ACCOUNTS_JOURNAL, partitions, [each.TABLES for each in _MODELS.values()]
        )

    async def identity_positions(partitions: int) -> tuple[Position, ...]:
        return await _lowest(table, IDENTITY_JOURNAL, partitions, [users.TABLES])

    return (
        Followed(ACCOUNTS_JOURNAL, _concerns(), accounts_positions),
        Followed(
            IDENTITY_JOURNAL,
            dict.fromkeys(users.USER_EVENTS, ("users",))
            | dict.fromkeys(users.SESSION_EVENTS, ("sessions",))
            | dict.fromkeys(users.API_KEY_EVENTS, ("api-keys",)),
            identity_positions,
            {
                SessionEnded.TYPE: auth.saw_session_end,
                ApiKeyDeleted.TYPE: auth.saw_api_key_end,
            },
        ),
    )


def _concerns() -> dict[str, tuple[str, ...]]:
    """Which read models project an event type."""
    types = frozenset[str]().union(*(each.CONCERNS for each in _MODELS.values()))
    return {
        each: tuple(name for name, model in _MODELS.items() if each in model.CONCERNS)
        for each in types
    }


async def _lowest(
    table: Readable, journal: str, partitions: int, models: Sequence[Sequence[TableSpec]]
) -> tuple[Position, ...]:
    """In each partition, the position of the projector that is furthest behind."""
    all_positions = [await positions(table, each, journal, partitions) for each in models]
    return tuple(
        min(here, key=lambda position: position.offset) for here in zip(*all_positions, strict=True)
    )
