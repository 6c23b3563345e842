"""What the gateway may ask about users."""

from typing import Any, NamedTuple, Protocol

from read_models.users.projection import API_KEY_EVENTS, SESSION_EVENTS, USER_EVENTS
from read_models.users.table import API_KEYS, HEAD, SESSIONS, TABLES, USERS
from runtime.table import Readable, Row
from schemas.identity import Ciphertext

__all__ = [
    "API_KEY_EVENTS",
    "SESSION_EVENTS",
    "TABLES",
    "USER_EVENTS",
    "ApiKeyRow",
    "ApiKeyRows",
    "Rows",
    "SessionRow",
    "SessionRows",
    "UserRow",
    "api_keys",
    "sessions",
    "user",
]


class Rows(Protocol):
    """What these queries need of the table store; raises `Unavailable` when it fails."""

    async def get(self, table: str, key: Row) -> Row | None:
        """The row with this key."""
        ...


class UserRow(NamedTuple):
    """A user as projected; `version` is its identity entity's version, times broker ms."""

    user_id: str
    username_hmac: str
    email_hmac: str
    profile: Ciphertext
    marketing_emails_consent: bool
    role: str
    created_at_ms: int
    updated_at_ms: int
    version: int


async def user(rows: Rows, user_id: str) -> UserRow | None:
    """The user with this id, as far as projected."""
    row = await rows.get(USERS.name, {"user_id": user_id})
    if row is None:
        return None
    fields: dict[str, Any] = {name: row[name] for name in UserRow._fields}
    fields["profile"] = Ciphertext(**row["profile"])
    return UserRow(**fields)


class SessionRow(NamedTuple):
    """A session as projected; times are broker ms."""

    session_id: str
    created_at_ms: int
    last_used_at_ms: int
    expires_at_ms: int


class SessionRows(NamedTuple):
    """A user's sessions, newest first, as of this version of the user's identity entity."""

    rows: tuple[SessionRow, ...]
    version: int


async def sessions(table: Readable, user_id: str, *, now_ms: int) -> SessionRows:
    """The user's sessions that have not ended and whose time is not over."""
    rows = await table.query(SESSIONS.name, {"user_id": user_id})
    version = next((row["version"] for row in rows if row["session_id"] == HEAD), 0)
    found = [
        SessionRow(*(row[name] for name in SessionRow._fields))
        for row in rows
        if row["session_id"] != HEAD and row["expires_at_ms"] > now_ms
    ]
    found.sort(key=lambda each: (each.created_at_ms, each.session_id), reverse=True)
    return SessionRows(tuple(found), version)


class ApiKeyRow(NamedTuple):
    """An API key as projected; times are broker ms."""

    api_key_id: str
    name: Ciphertext
    scopes: tuple[str, ...]
    made_at_ms: int
    expires_at_ms: int | None


class ApiKeyRows(NamedTuple):
    """A user's API keys, newest first, as of this version of the user's identity entity."""

    rows: tuple[ApiKeyRow, ...]
    version: int


async def api_keys(table: Readable, user_id: str, *, now_ms: int) -> ApiKeyRows:
    """The user's API keys that are not deleted and whose time is not over."""
    rows = await table.query(API_KEYS.name, {"user_id": user_id})
    version = next((row["version"] for row in rows if row["api_key_id"] == HEAD), 0)
    found = [_api_key(row) for row in rows if row["api_key_id"] != HEAD]
    live = [each for each in found if each.expires_at_ms is None or each.expires_at_ms > now_ms]
    live.sort(key=lambda each: (each.made_at_ms, each.api_key_id), reverse=True)
    return ApiKeyRows(tuple(live), version)


def _api_key(row: Row) -> ApiKeyRow:
    return ApiKeyRow(
        api_key_id=row["api_key_id"],
        name=Ciphertext(**row["name"]),
        scopes=tuple(row["scopes"]),
        made_at_ms=row["made_at_ms"],
        expires_at_ms=row["expires_at_ms"],
    )
