"""What the gateway may ask about users."""

from typing import Any, NamedTuple, Protocol

from read_models.users.table import TABLES, USERS
from runtime.table import Row
from schemas.identity import Ciphertext

__all__ = ["TABLES", "Rows", "UserRow", "user"]


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
