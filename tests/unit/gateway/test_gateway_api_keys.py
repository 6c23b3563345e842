"""API keys at the gateway: shown once, known to auth before they are shown, never after the end."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from desks import Desk

from consumers.auth.api_keys import ApiKeys
from gateway.app import app
from gateway.auth import Auth
from gateway.people import People
from gateway.services import _followed
from gateway.sessions import Sessions
from producers.commands import Acknowledgement
from runtime.security.api_keys import hash_of
from runtime.security.profiles import Profile, encrypt_profile
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.sealed import OpeningKey
from runtime.security.vault import Vault
from runtime.settings import Settings
from schemas.auth import TokensSecret, Validate, Verdict, Verdicts
from schemas.codec import Message, encode
from schemas.envelope import CE_TYPE, Cause
from schemas.identity import (
    ApiKeyDeleted,
    EndSession,
    RegisterUser,
    SessionStarted,
    SettleSignIn,
    UserRegistered,
)
from schemas.topics import IDENTITY_JOURNAL

HMAC = "ann"
PATH = "/api/v1/auth/api-keys"
BODY = {"name": "grid bot", "scopes": ["trade", "read", "trade"]}
DAY_MS = 86_400_000


class Door(Desk):
    """The desk, and auth: it learns what was decided only when it was asked `late` times."""

    def __init__(self) -> None:
        super().__init__()
        self.late = 0
        self.asked = 0
        self.decided: list[Message] = []
        self.opening = OpeningKey.generate()

    async def publish(
        self, _topic: str, _key: str | None, command: Message, *, command_id: str, **rest: object
    ) -> Acknowledgement:
        if not isinstance(command, Validate):
            return await super().publish(_topic, _key, command, command_id=command_id, **rest)
        self.asked += 1
        keys = ApiKeys()
        for event in self.decided if self.asked > self.late else ():
            keys.fold(event)
        now_ms = time.time() * 1_000
        tokens = self.opening.open(command.secret, TokensSecret).access_tokens
        verdicts = tuple(keys.verdict(hash_of(each), now_ms=now_ms) for each in tokens)
        answer = Verdicts(verdicts=verdicts)
        self.waiters.resolve(command_id, {CE_TYPE: answer.TYPE.encode()}, encode(answer))
        return asyncio.get_running_loop().create_future()

    async def _project(self, event: Message, cause: Cause) -> None:
        self.decided.append(event)
        await super()._project(event, cause)


class Shown:
    """A read model that shows everything."""

    async def user(self, _: str, row: Callable[[], Awaitable[object]], *, model: str = "") -> bool:  # noqa: ARG002
        await row()
        return True


class Ann:
    """A user who is signed in."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.door = Door()
        self.session_id = ""
        self._client = client

    async def sign_in(self) -> None:
        vault = Vault(self.door.table)
        profile = Profile(username="ann_lee", email="a@b.org", first_name="Ann", last_name="Lee")
        ciphertext = await encrypt_profile(vault, await vault.create(), profile)
        registering = RegisterUser(
            username_hmac=HMAC,
            email_hmac="email",
            profile=ciphertext,
            password_hash=ciphertext,
            marketing_emails_consent=True,
        )
        settling = SettleSignIn(
            address_hmac="a",
            username_hmac=HMAC,
            attempt_id="t",
            right=True,
            expires_at_ms=round(time.time() * 1_000) + DAY_MS,
        )
        await self.door.decide(registering, "registration")
        await self.door.decide(settling, "sign-in")
        (user,) = (each.user for each in self.door.decided if isinstance(each, UserRegistered))
        (self.session_id,) = (
            each.session_id for each in self.door.decided if isinstance(each, SessionStarted)
        )
        verdict = Verdict(
            user_id=user.user_id,
            username_hmac=HMAC,
            session_id=self.session_id,
            role="trader",
            expires_at_ms=round(time.time() * 1_000) + 60_000,
        )
        sessions = Sessions(60.0)
        sessions.put(hashlib.blake2b(b"token", digest_size=32).digest(), verdict)
        shown: Any = Shown()
        deciding = self.door.deciding()
        app.state.services = SimpleNamespace(
            auth=Auth(deciding, self.door.opening.sealing, sessions),
            people=People(self.door.table, vault, shown),
            deciding=deciding,
            table=self.door.table,
            publisher=self.door,
            freshness=shown,
            settings=Settings(),
            pseudonyms=Pseudonyms(b"k" * 32),
            audit=SimpleNamespace(tell=lambda _: None),
        )

    async def send(self, method: str, path: str = PATH, **headers: str) -> httpx.Response:
        body: dict[str, Any] = {"json": BODY} if method == "POST" else {}
        headers = {"Authorization": "Bearer token"} | headers
        return await self._client.request(method, path, headers=headers, **body)

    async def end_session(self) -> None:
        await self.door.decide(
            EndSession(username_hmac=HMAC, session_id=self.session_id), "sign-out"
        )


@pytest.fixture
async def ann() -> AsyncIterator[Ann]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        one = Ann(client)
        await one.sign_in()
        yield one


@pytest.mark.parametrize("late", [0, 3])
async def test_a_key_is_shown_once_auth_knows_it(ann: Ann, late: int) -> None:
    ann.door.late = late
    made = await ann.send("POST")
    assert made.status_code == 201
    assert ann.door.asked == late + 1
    listing = {"Authorization": f"Bearer {made.json()['api_key']}"}
    refused = await ann.send("GET", "/api/v1/auth/profile", **listing)
    assert refused.json()["code"] == "scope-not-granted"  # and not 401: the verdict is known
    assert ann.door.asked == late + 1


async def test_a_key_is_shown_even_if_auth_never_learns_of_it(
    ann: Ann, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.auth._KNOWN_S", 0.1)
    ann.door.late = 1_000
    made = await ann.send("POST")
    assert (made.status_code, len(made.json()["api_key"])) == (201, 69)
    assert ann.door.asked > 1


async def test_neither_replay_nor_list_nor_log_nor_table_has_the_key(ann: Ann) -> None:
    key = {"Idempotency-Key": "one"}
    first = (await ann.send("POST", **key)).json()
    asked = ann.door.asked
    again = await ann.send("POST", **key)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    secret = first.pop("api_key").removeprefix("cnop_")
    assert again.json() == first
    assert ann.door.asked == asked  # there is no new key that auth would have to know
    assert (await ann.send("GET")).json() == {"data": [first]}
    assert (first["name"], first["scopes"]) == ("grid bot", ["read", "trade"])
    kept = [str(each) for each in ann.door.decided]
    kept += [str(ann.door.table.rows(each)) for each in ("users", "api-keys", "commands")]
    for said in kept:
        assert secret not in said
        assert "grid bot" not in said


async def test_a_session_that_ends_meanwhile_leaves_no_key_behind(ann: Ann) -> None:
    ann.door.meanwhile = ann.end_session
    refused = await ann.send("POST")
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid-token")
    assert ann.door.table.rows("api-keys") == {}


async def test_a_deleted_key_is_dead_here_at_once(ann: Ann) -> None:
    made = (await ann.send("POST")).json()
    with_key = {"Authorization": f"Bearer {made['api_key']}"}
    assert (await ann.send("GET", "/api/v1/auth/profile", **with_key)).status_code == 403
    path = f"{PATH}/{made['api_key_id']}"
    assert (await ann.send("DELETE", path)).status_code == 204
    assert (await ann.send("GET", "/api/v1/auth/profile", **with_key)).status_code == 401
    assert (await ann.send("DELETE", path)).json()["code"] == "unknown-api-key"
    assert (await ann.send("GET")).json() == {"data": []}


@pytest.mark.parametrize("api_key_id", ["x", "0" * 31, "A" * 32])
async def test_what_is_no_key_id_is_no_key(ann: Ann, api_key_id: str) -> None:
    answer = await ann.send("DELETE", f"{PATH}/{api_key_id}")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown-api-key")
    assert ann.door.published == []


def test_a_key_deleted_through_another_gateway_is_dead_here_too() -> None:
    unused: Any = None
    auth = Auth(unused, unused, Sessions(60.0))
    verdict = Verdict(
        user_id="u",
        username_hmac=HMAC,
        session_id="key",
        role="trader",
        expires_at_ms=round(time.time() * 1_000) + 60_000,
        scopes=("read",),
    )
    auth.sessions.put(b"hash", verdict)
    (identity,) = (each for each in _followed(unused, auth) if each.topic == IDENTITY_JOURNAL)
    deleted = ApiKeyDeleted(user_id="u", username_hmac=HMAC, api_key_id="key")
    assert auth.sessions.get(b"hash") is not None
    identity.watched[ApiKeyDeleted.TYPE](encode(deleted))
    assert auth.sessions.get(b"hash") is None
    assert identity.concerns[ApiKeyDeleted.TYPE] == ("api-keys",)
