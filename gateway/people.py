"""Users' profiles: what the vault's keys decrypt of them."""

from typing import Any, Final, Protocol

from gateway.freshness import Freshness
from gateway.problems import Problem
from read_models.users import queries as users
from read_models.users.queries import UserRow
from runtime.security.profiles import (
    Profile,
    decrypt_profile,
    encrypt_profile,
    readable_profile,
)
from runtime.security.vault import Erased, Vault
from runtime.table import Readable
from schemas.auth import Verdict
from schemas.codec import PoisonMessage
from schemas.envelope import rfc3339
from schemas.identity import Ciphertext


class Personal(Protocol):
    """A user, be it in an event or a row."""

    @property
    def profile(self) -> Ciphertext:
        """Username, email, names, phone and date of birth, encrypted."""
        ...

    @property
    def marketing_emails_consent(self) -> bool:
        """Whether mail may be sent."""
        ...

    @property
    def created_at_ms(self) -> int:
        """Broker time of the registration."""
        ...

    @property
    def updated_at_ms(self) -> int:
        """Broker time of the last change."""
        ...


class People:
    """Reads users, and what is personal of them."""

    def __init__(self, table: Readable, vault: Vault, freshness: Freshness) -> None:
        self._table: Final = table
        self._vault: Final = vault
        self._freshness: Final = freshness

    async def user(self, verdict: Verdict) -> tuple[UserRow, bool]:
        """The caller's row, and whether it shows all that was decided.

        Raises:
            Problem: there is no such user (any more), or none is projected yet.
        """
        row: UserRow | None = None

        async def read() -> UserRow | None:
            nonlocal row
            row = await users.user(self._table, verdict.user_id)
            return row

        is_fresh = await self._freshness.user(verdict.username_hmac, read)
        if row is None:
            raise Problem("unknown-user" if is_fresh else "version-not-reached")
        return row, is_fresh

    async def profile(self, user: Personal) -> Profile:
        """The user's personal fields.

        Raises:
            Problem: the person was erased.
        """
        try:
            return await decrypt_profile(self._vault, user.profile)
        except (Erased, PoisonMessage):
            raise Problem("unknown-user") from None

    async def encrypted(self, user: Personal, profile: Profile) -> Ciphertext:
        """Another profile under the same person's key.

        Raises:
            Problem: the person was erased.
        """
        try:
            return await encrypt_profile(self._vault, user.profile.key_id, profile)
        except Erased:
            raise Problem("unknown-user") from None

    async def view(self, user: Personal) -> dict[str, Any]:
        """The profile as the contract writes it; an erased person's says so in each field.

        Raises:
            Problem: it cannot be read.
        """
        try:
            profile = await readable_profile(self._vault, user.profile)
        except PoisonMessage:
            raise Problem("unknown-user") from None
        return {
            "username": profile.username,
            "email": profile.email,
            "first_name": profile.first_name,
            "last_name": profile.last_name,
            "phone": profile.phone,
            "date_of_birth": profile.date_of_birth,
            "marketing_emails_consent": user.marketing_emails_consent,
            "created_at": rfc3339(user.created_at_ms),
            "updated_at": rfc3339(user.updated_at_ms),
        }
