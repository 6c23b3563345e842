"""PUT /auth/profile changes what it is given and keeps what others changed meanwhile."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from desks import Desk

from gateway.app import app
from gateway.auth import Auth
from gateway.freshness import Freshness
from gateway.journal_tail import JournalTail
from gateway.people import People
from gateway.sessions import Sessions
from read_models.users import queries as users
from read_models.users.queries import UserRow
from runtime.errors import Unavailable
from runtime.security.profiles import Profile, decrypt_profile, encrypt_profile
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.vault import Vault
from runtime.settings import Settings
from schemas.auth import Verdict
from schemas.identity import RegisterUser, UpdateProfile

PROFILE = Profile(username="ann_lee", email="ann@example.org", first_name="Ann", last_name="Lee")
HMAC = "ann"


class Shown:
    """A read model that shows everything, or is known to be behind."""

    def __init__(self) -> None:
        self.is_fresh = True

    async def user(self, _: str, row: Callable[[], Awaitable[object]]) -> bool:
        await row()
        return self.is_fresh


class Ann:
    """A registered user, her token, and what others do to her profile."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.desk = Desk()
        self.vault = Vault(self.desk.table)
        self.shown = Shown()
        self.user_id = ""
        self._client = client
        self._pseudonyms = Pseudonyms(b"k" * 32)

    async def register(self) -> None:
        key_id = await self.vault.create()
        profile = await encrypt_profile(self.vault, key_id, PROFILE)
        command = RegisterUser(
            username_hmac=HMAC,
            email_hmac=self._pseudonyms.email(PROFILE.email),
            profile=profile,
            password_hash=profile,
            marketing_emails_consent=True,
        )
        await self.desk.decide(command, "registration")
        (row,) = self.desk.table.rows("users").values()
        self.user_id = row["user_id"]
        app.state.services = self._services()

    def _services(self) -> Any:  # stands for Services
        verdict = Verdict(
            user_id=self.user_id,
            username_hmac=HMAC,
            session_id="s",
            role="trader",
            expires_at_ms=round(time.time() * 1_000) + 60_000,
        )
        sessions = Sessions(60.0)
        sessions.put(hashlib.blake2b(b"token", digest_size=32).digest(), verdict)
        return SimpleNamespace(
            auth=Auth(None, None, sessions),  # type: ignore[arg-type]
            people=People(self.desk.table, self.vault, self.shown),  # type: ignore[arg-type]
            deciding=self.desk.deciding(),
            pseudonyms=self._pseudonyms,
        )

    async def row(self) -> UserRow:
        row = await users.user(self.desk.table, self.user_id)
        assert row is not None
        return row

    async def put(self, **headers: str) -> httpx.Response:
        return await self._client.put(
            "/api/v1/auth/profile",
            json={"first_name": "Anna"},
            headers={"Authorization": "Bearer token"} | headers,
        )

    async def get(self) -> httpx.Response:
        headers = {"Authorization": "Bearer token"}
        return await self._client.get("/api/v1/auth/profile", headers=headers)

    async def withdraw_consent(self) -> None:
        row = await self.row()
        profile = await decrypt_profile(self.vault, row.profile)
        command = UpdateProfile(
            username_hmac=HMAC,
            based_on=row.profile.nonce,
            profile=await encrypt_profile(self.vault, row.profile.key_id, profile),
            email_hmac=row.email_hmac,
            marketing_emails_consent=False,
        )
        await self.desk.decide(command, f"withdrawal {row.version}")

    async def interfere_always(self) -> None:
        await self.withdraw_consent()
        self.desk.meanwhile = self.interfere_always


@pytest.fixture
async def ann() -> AsyncIterator[Ann]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        one = Ann(client)
        await one.register()
        yield one


async def test_consent_withdrawn_meanwhile_does_not_come_back(ann: Ann) -> None:
    ann.desk.meanwhile = ann.withdraw_consent
    answer = await ann.put()
    assert answer.status_code == 200
    assert (answer.json()["user"]["first_name"], (await ann.row()).marketing_emails_consent) == (
        "Anna",
        False,
    )


async def test_a_change_merged_twice_is_answered_the_same_again(ann: Ann) -> None:
    ann.desk.meanwhile = ann.withdraw_consent
    key = {"Idempotency-Key": "one"}
    first = await ann.put(**key)
    again = await ann.put(**key)
    assert (again.status_code, again.json()) == (200, first.json())
    assert again.headers["idempotency-replayed"] == "true"


async def test_a_profile_that_others_change_all_the_time_is_a_409(ann: Ann) -> None:
    ann.desk.meanwhile = ann.interfere_always
    answer = await ann.put()
    assert (answer.status_code, answer.json()["code"]) == (409, "profile-changed")
    assert len(ann.desk.published) == 5


async def test_nothing_is_merged_onto_a_profile_known_to_be_old(ann: Ann) -> None:
    ann.shown.is_fresh = False
    answer = await ann.put()
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert ann.desk.published == []


async def test_a_user_who_is_not_projected_yet_is_not_unknown(ann: Ann) -> None:
    ann.desk.table.rows("users").clear()
    ann.shown.is_fresh = False
    behind = await ann.put()
    assert (behind.status_code, behind.json()["code"]) == (503, "version-not-reached")
    ann.shown.is_fresh = True
    there = await ann.put()
    assert (there.status_code, there.json()["code"]) == (404, "unknown-user")


async def test_the_profile_of_an_erased_person_says_so_and_is_not_changed(ann: Ann) -> None:
    await ann.vault.destroy((await ann.row()).profile.key_id)
    read = await ann.get()
    assert read.status_code == 200
    assert [read.json()[each] for each in ("username", "email", "first_name", "last_name")] == [
        "[erased]"
    ] * 4
    assert read.json()["phone"] is None
    changed = await ann.put()
    assert (changed.status_code, changed.json()["code"]) == (404, "unknown-user")
    assert ann.desk.published == []


async def test_a_read_is_not_fresh_while_nobody_knows_the_journals_end() -> None:
    async def no_partitions(_: str) -> int:
        raise Unavailable("no broker")

    async def no_row() -> None:
        await asyncio.sleep(0)

    tail = JournalTail(Settings(), [], no_partitions)
    assert not await Freshness(tail, []).user(HMAC, no_row)
