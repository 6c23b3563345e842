"""Users' profiles: what the vault's keys decrypt of them."""

from typing import Any, Final, Protocol

from gateway.freshness import Freshness
from gateway.problems import Problem
from read_models.users import queries as users
from read_models.users.queries import UserRow
from runtime.security.profiles import (
    API_KEY_NAME,
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


class NamedKey(Protocol):
    """An API key, be it in an event or a row; times are broker ms."""

    @property
    def api_key_id(self) -> str:
        """32 hex digits."""
        ...

    @property
    def name(self) -> Ciphertext:
        """What its user calls it, encrypted."""
        ...

    @property
    def scopes(self) -> tuple[str, ...]:
        """What it may do."""
        ...

    @property
    def made_at_ms(self) -> int:
        """When it was made."""
        ...

    @property
    def expires_at_ms(self) -> int | None:
        """When its time is over; None for never."""
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

    async def encrypted_name(self, user: Personal, name: str) -> Ciphertext:
        """The name that a person gives an API key, under the person's key.

        Raises:
            Problem: the person was erased.
        """
        try:
            return await self._vault.encrypt(user.profile.key_id, name.encode(), use=API_KEY_NAME)
        except Erased:
            raise Problem("unknown-user") from None

    async def api_key_view(self, key: NamedKey) -> dict[str, Any]:
        """An API key as its user sees it.

        Raises:
            Problem: the person was erased.
        """
        try:
            name = await self._vault.decrypt(key.name, use=API_KEY_NAME)
        except (Erased, PoisonMessage):
            raise Problem("unknown-user") from None
        return {
            "api_key_id": key.api_key_id,
            "name": name.decode(),
            "scopes": list(key.scopes),
            "created_at": rfc3339(key.made_at_ms),
            "expires_at": None if key.expires_at_ms is None else rfc3339(key.expires_at_ms),
        }

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
