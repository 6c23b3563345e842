"""The users read model: whole rows, ciphertexts only."""

import pytest

from read_models.users.projection import UsersProjection
from read_models.users.queries import (
    ApiKeyRow,
    ApiKeyRows,
    SessionRow,
    SessionRows,
    UserRow,
    api_keys,
    sessions,
    user,
)
from runtime.memory_table import MemoryTable
from runtime.table import Delete, Put
from schemas.codec import Message
from schemas.envelope import Cause, Recorded
from schemas.identity import (
    ApiKeyDeleted,
    ApiKeyMade,
    Ciphertext,
    ProfileUpdated,
    RegistrationStarted,
    Role,
    Scope,
    SessionEnded,
    SessionRefreshed,
    SessionStarted,
    User,
    UserErased,
    UserRegistered,
)

PROFILE = Ciphertext(key_id="k", nonce="bm9uY2U=", bytes="cHJvZmlsZQ==")
HASH = Ciphertext(key_id="k", nonce="bm9uY2U=", bytes="aGFzaA==")
ANN = User(
    user_id="u" * 32,
    username_hmac="h" * 32,
    email_hmac="e" * 32,
    profile=PROFILE,
    password_hash=HASH,
    marketing_emails_consent=True,
    created_at_ms=1_000,
    updated_at_ms=2_000,
)
PROJECTION = UsersProjection()


def recorded(version: int) -> Recorded:
    cause = Cause("identity.commands", 0, 0, 2_000, "c")
    return Recorded("identity.journal", 0, 0, 1, "", "user:" + ANN.username_hmac, version, cause)


@pytest.mark.parametrize("event", [UserRegistered(user=ANN), ProfileUpdated(user=ANN)])
async def test_a_user_is_found_as_the_last_event_left_them(event: Message) -> None:
    (change,) = PROJECTION.project(event, recorded(3))
    assert isinstance(change, Put)
    table = MemoryTable(PROJECTION.tables)
    await table.put(change.table, change.row)
    assert await user(table, ANN.user_id) == UserRow(
        user_id=ANN.user_id,
        username_hmac=ANN.username_hmac,
        email_hmac=ANN.email_hmac,
        profile=PROFILE,
        marketing_emails_consent=True,
        role="trader",
        created_at_ms=1_000,
        updated_at_ms=2_000,
        version=3,
    )
    assert await user(table, "somebody else") is None


def test_an_erased_user_has_no_row() -> None:
    erased = UserErased(
        user_id=ANN.user_id, username_hmac=ANN.username_hmac, email_hmac=ANN.email_hmac, key_id="k"
    )
    (change,) = PROJECTION.project(erased, recorded(4))
    assert change == Delete("users", {"user_id": ANN.user_id})
    assert UserErased.TYPE in PROJECTION.concerns


def test_the_password_hash_stays_in_the_journal() -> None:
    (change,) = PROJECTION.project(UserRegistered(user=ANN), recorded(1))
    assert isinstance(change, Put)
    assert HASH.bytes not in str(change.row)


def test_what_is_no_user_leaves_no_row() -> None:
    assert PROJECTION.project(RegistrationStarted(user=ANN), recorded(1)) == ()


def started(session_id: str) -> SessionStarted:
    return SessionStarted(
        address_hmac="a",
        username_hmac="h",
        attempt_id="t",
        user_id=ANN.user_id,
        session_id=session_id,
        role="trader",
        expires_at_ms=9_000,
        refresh_hmac="kept",
    )


async def test_sessions_are_listed_until_they_end_or_expire() -> None:
    table = MemoryTable(PROJECTION.tables)
    refreshed = SessionRefreshed(
        user_id=ANN.user_id,
        username_hmac="h",
        session_id="b",
        role="trader",
        generation=1,
        refresh_hmac="kept",
        expires_at_ms=12_000,
    )
    ended = SessionEnded(user_id=ANN.user_id, username_hmac="h", session_id="c")
    events = (started("a"), started("b"), started("c"), refreshed, ended)
    for version, event in enumerate(events, 1):
        changes = PROJECTION.project(event, recorded(version))
        assert "kept" not in str(changes)
        await table.transact(changes, checkpoints=())
    seen = await sessions(table, ANN.user_id, now_ms=8_000)
    assert seen == SessionRows(
        (SessionRow("b", 2_000, 2_000, 12_000), SessionRow("a", 2_000, 2_000, 9_000)), 5
    )
    later = await sessions(table, ANN.user_id, now_ms=9_000)
    assert [each.session_id for each in later.rows] == ["b"]
    assert (await sessions(table, "somebody else", now_ms=0)).version == 0


def made(api_key_id: str, *, made_at_ms: int, expires_at_ms: int | None = None) -> ApiKeyMade:
    return ApiKeyMade(
        user_id=ANN.user_id,
        username_hmac="h",
        api_key_id=api_key_id,
        role=Role.TRADER,
        name=PROFILE,
        scopes=(Scope.READ, Scope.TRADE),
        secret_hash="the hash",  # noqa: S106  # of nothing
        made_at_ms=made_at_ms,
        expires_at_ms=expires_at_ms,
    )


async def test_api_keys_are_listed_without_their_hashes_until_deleted_or_expired() -> None:
    table = MemoryTable(PROJECTION.tables)
    deleted = ApiKeyDeleted(user_id=ANN.user_id, username_hmac="h", api_key_id="c")
    events = (
        made("a", made_at_ms=1),
        made("b", made_at_ms=2, expires_at_ms=9_000),
        made("c", made_at_ms=3),
        deleted,
    )
    for version, event in enumerate(events, 1):
        assert event.TYPE in PROJECTION.concerns
        changes = PROJECTION.project(event, recorded(version))
        assert "the hash" not in str(changes)
        await table.transact(changes, checkpoints=())
    seen = await api_keys(table, ANN.user_id, now_ms=8_999)
    assert seen == ApiKeyRows(
        (
            ApiKeyRow("b", PROFILE, ("read", "trade"), 2, 9_000),
            ApiKeyRow("a", PROFILE, ("read", "trade"), 1, None),
        ),
        4,
    )
    later = await api_keys(table, ANN.user_id, now_ms=9_000)
    assert [each.api_key_id for each in later.rows] == ["a"]
    assert await api_keys(table, "somebody else", now_ms=0) == ApiKeyRows((), 0)
    assert (await sessions(table, ANN.user_id, now_ms=0)).version == 0
