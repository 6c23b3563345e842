"""An erasure that is interrupted: the journal knows, and whoever reads it destroys the key."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from vaults import identity_journal, replayed_hash

from consumers.auth.app import auth_app
from consumers.identity.context import IdentityContext
from producers import erasing
from producers.operators import operator
from runtime.dynamodb import DynamoTable, create_tables, open_dynamodb
from runtime.security.files import ensure_secrets
from runtime.security.profiles import Profile, encrypt_profile
from runtime.security.vault import VAULT, Vault
from runtime.settings import Settings
from runtime.worker import Worker
from schemas.identity import RegisterUser, UserErased
from schemas.journal import Checkpoint
from schemas.topics import (
    AUTH_REQUESTS,
    GATEWAY_REPLIES,
    IDENTITY,
    IDENTITY_COMMANDS,
    IDENTITY_JOURNAL,
    SECURITY_AUDIT,
    dlq_of,
    snapshots_of,
)

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

TOPICS = (
    AUTH_REQUESTS,
    dlq_of(AUTH_REQUESTS),
    GATEWAY_REPLIES,
    IDENTITY_COMMANDS,
    dlq_of(IDENTITY_COMMANDS),
    IDENTITY_JOURNAL,
    SECURITY_AUDIT,
    snapshots_of("identity"),
)
ANN = Profile(username="ann_lee", email="ann@example.org", first_name="Ann", last_name="Lee")
NAME, EMAIL = "a" * 32, "e" * 32


@pytest.fixture
async def settings(  # noqa: ANN201  # an async generator
    make_topics,  # noqa: ANN001  # tests/conftest.py
    dynamodb_endpoint: str,
    tmp_path: Path,
):
    settings: Settings = await make_topics(
        *TOPICS,
        partitions=1,
        snapshot_every_records=4,
        dynamodb_endpoint=dynamodb_endpoint,
        state_dir=tmp_path,
    )
    ensure_secrets(settings.secrets)
    async with open_dynamodb(settings) as dynamodb:
        await create_tables(dynamodb, settings, [VAULT])
        worker = Worker(IdentityContext(), settings, on_failure=lambda: None)
        await worker.start()
        yield settings
        await worker.stop()
        assert worker.failure is None
        await dynamodb.delete_table(TableName=settings.table(VAULT.name))


@asynccontextmanager
async def auth(settings: Settings) -> AsyncIterator[None]:
    """The auth service, for a while."""
    app = auth_app(settings)
    started = asyncio.Event()
    app.after_startup(started.set)
    running = asyncio.create_task(app.run())
    async with asyncio.timeout(60):
        await started.wait()
    yield
    app.exit()
    async with asyncio.timeout(20):
        await running


@asynccontextmanager
async def vault_rows(settings: Settings) -> AsyncIterator[DynamoTable]:
    """The vault's table."""
    async with open_dynamodb(settings) as dynamodb:
        yield DynamoTable(dynamodb, settings)


async def register(settings: Settings) -> erasing.Found:
    """Ann, as the journal has her."""
    async with vault_rows(settings) as rows:
        vault = Vault(rows)
        profile = await encrypt_profile(vault, await vault.create(), ANN)
    command = RegisterUser(
        username_hmac=NAME,
        email_hmac=EMAIL,
        profile=profile,
        password_hash=profile,
        marketing_emails_consent=False,
    )
    async with operator(settings, IDENTITY) as asking:
        await asking.decided_for(NAME, command)
    async with asyncio.timeout(20):
        while (  # noqa: ASYNC110  # only asking tells
            found := await erasing.find(settings, username_hmac=NAME)
        ) is None:
            await asyncio.sleep(0.05)
    assert found.key_id == profile.key_id
    return found


async def gone(rows: DynamoTable, key_id: str) -> None:
    """Wait until the vault has no such key."""
    async with asyncio.timeout(20):
        while await rows.get(VAULT.name, {"key_id": key_id}) is not None:  # noqa: ASYNC110  # only asking tells
            await asyncio.sleep(0.05)


async def test_auth_destroys_the_key_that_a_dead_command_left_and_one_that_a_backup_brought(
    settings: Settings,
) -> None:
    ann = await register(settings)
    async with vault_rows(settings) as rows:
        backup = await rows.get(VAULT.name, {"key_id": ann.key_id})
        assert backup is not None
        await erasing.decide(settings, ann)  # and then the operator's machine dies
        assert await rows.get(VAULT.name, {"key_id": ann.key_id}) is not None
        async with auth(settings):
            await gone(rows, ann.key_id)
        await rows.put(VAULT.name, backup)
        async with auth(settings):
            await gone(rows, ann.key_id)


async def test_an_erasure_asked_again_is_completed_whichever_step_it_came_to(
    settings: Settings,
) -> None:
    ann = await register(settings)
    await erasing.decide(settings, ann)
    again = await erasing.find(settings, user_id=ann.user_id)
    assert again == ann._replace(is_erased=True)
    for _ in range(2):
        await erasing.decide(settings, ann)
        await erasing.destroy_key(settings, ann)
    async with vault_rows(settings) as rows:
        assert await rows.get(VAULT.name, {"key_id": ann.key_id}) is None
    (records,) = (await identity_journal(settings)).values()
    assert [each.header("ce_type") for each in records].count(UserErased.TYPE) == 1


async def test_replay_without_the_key_is_what_the_writer_had(settings: Settings) -> None:
    ann = await register(settings)
    await erasing.decide(settings, ann)
    await erasing.destroy_key(settings, ann)
    checked = 0
    async with asyncio.timeout(30):
        while checked < 2:
            (records,) = (await identity_journal(settings)).values()
            types = [each.header("ce_type") for each in records]
            erased = types.index(UserErased.TYPE)
            checked = types[erased:].count(Checkpoint.TYPE)
            await erasing.decide(settings, ann)  # refused: more records, more checkpoints
    for at, each in enumerate(records):
        if types[at] == Checkpoint.TYPE:
            stated = json.loads(each.value or b"{}")
            seen = [record for record in records if record.offset < stated["offset"]]
            assert replayed_hash(seen) == stated["state_hash"]
