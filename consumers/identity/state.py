"""What one partition of identity knows: people by username, owners of emails, attempts, sessions.

Everything is keyed by HMAC and bounded: an address, or a username that nobody has, is dropped by
an event once its window passed; a user keeps the last few wrong attempts and live sessions.
"""

from typing import Final

import msgspec

from schemas.identity import User

ATTEMPTS_MAX: Final = 5
"""Wrong attempts within the window after which the next one is blocked."""
WINDOW_MS: Final = 300_000
FAMILIAR_MAX: Final = 8
"""Addresses of a user that are remembered: wrong attempts from elsewhere do not block them."""
RESERVATION_MS: Final = 30_000
"""A reserved attempt that nobody settles stops counting after this."""
SESSIONS_MAX: Final = 100
"""Sessions per user; one more ends the oldest."""
API_KEYS_MAX: Final = 20
"""API keys per user; one more is refused."""
SESSION_MS_MAX: Final = 90 * 86_400_000
"""How long a session lives however often it is refreshed."""
LEEWAY_MS: Final = 10_000
"""A refresh token presented again so soon after its use is a client's own retry or race."""
_USES_MAX: Final = 64
"""Uses remembered for the leeway; a client that refreshes more often gets none for the oldest."""

USER: Final = "user:"
EMAIL: Final = "email:"
ADDRESS: Final = "address:"


class Attempts(msgspec.Struct, omit_defaults=True):
    """Sign-in attempts: times of the last wrong ones, and reserved ones by attempt id, in ms."""

    wrong_ms: list[int] = []
    reserved_ms: dict[str, int] = {}

    def wrong(self, now_ms: int) -> int:
        """How many wrong attempts are in the window."""
        return sum(at > now_ms - WINDOW_MS for at in self.wrong_ms)

    def reserved(self, now_ms: int) -> int:
        """How many reserved attempts may still turn out wrong."""
        return sum(at > now_ms - RESERVATION_MS for at in self.reserved_ms.values())

    def reserve(self, attempt_id: str, now_ms: int) -> None:
        """Count this attempt as if it were wrong until it is settled."""
        live = {each: at for each, at in self.reserved_ms.items() if at > now_ms - RESERVATION_MS}
        self.reserved_ms = live | {attempt_id: now_ms}

    def settle(self, attempt_id: str, now_ms: int, *, wrong: bool) -> None:
        """Give the attempt back, or count it from now on."""
        self.reserved_ms.pop(attempt_id, None)
        if wrong:
            recent = [at for at in self.wrong_ms if at > now_ms - WINDOW_MS]
            self.wrong_ms = [*recent, now_ms][-ATTEMPTS_MAX:]

    def forgettable_at_ms(self) -> int:
        """When nothing of it counts any more; 0 when nothing does already."""
        wrong = max(self.wrong_ms, default=-WINDOW_MS) + WINDOW_MS
        reserved = max(self.reserved_ms.values(), default=-RESERVATION_MS) + RESERVATION_MS
        return max(wrong, reserved)


class PendingClaim(msgspec.Struct, frozen=True):
    """An email claim under way: what the user becomes when it is granted."""

    request_id: str
    user: User


class Session(msgspec.Struct, omit_defaults=True):
    """A live session and its newest refresh token; `used_ms` are the last uses, oldest first."""

    started_ms: int
    expires_ms: int
    refresh_hmac: str = ""
    generation: int = 0
    used_ms: list[int] = []

    def refresh(self, refresh_hmac: str, generation: int, *, now_ms: int, expires_ms: int) -> None:
        """The newest token was used, this one is the next."""
        recent = [at for at in self.used_ms if at >= now_ms - LEEWAY_MS]
        self.used_ms = [*recent, now_ms][-_USES_MAX:]
        self.refresh_hmac, self.generation, self.expires_ms = refresh_hmac, generation, expires_ms

    def was_just_used(self, generation: int, now_ms: int) -> bool:
        """Whether the token of this generation was used within the leeway."""
        uses_since = self.generation - generation
        if not 0 < uses_since <= len(self.used_ms):
            return False
        return self.used_ms[-uses_since] >= now_ms - LEEWAY_MS


class Person(msgspec.Struct, omit_defaults=True):
    """One username: its user once registered, the claim under way, attempts, sessions, API keys."""

    user: User | None = None
    claim: PendingClaim | None = None
    attempts: Attempts = msgspec.field(default_factory=Attempts)
    sessions: dict[str, Session] = {}
    """Oldest first."""
    api_keys: dict[str, int | None] = {}
    """By id, when each expires in ms; None for never."""
    familiar: dict[str, Attempts] = {}
    """Addresses that signed in, by HMAC, with attempts of their own; the latest is the last. They
    are the same for a day, as their HMACs are."""
    void_attempts: list[str] = []
    """Reserved with a password that was changed since, so that they start no session."""

    @property
    def is_nobody(self) -> bool:
        """Whether only attempts are known of the username."""
        return self.user is None and self.claim is None

    def attempts_at(self, address_hmac: str) -> Attempts:
        """What an attempt from this address counts with."""
        return self.familiar.get(address_hmac, self.attempts)

    def attempts_with(self, attempt_id: str, address_hmac: str) -> Attempts:
        """Where the attempt was reserved; its address may have become familiar since."""
        there = self.attempts_at(address_hmac)
        return there if attempt_id in there.reserved_ms else self.attempts

    def reserved(self) -> list[str]:
        """The ids of all attempts under way."""
        return [each for counted in self.all_attempts() for each in counted.reserved_ms]

    def all_attempts(self) -> tuple[Attempts, ...]:
        """Those of familiar addresses, and those of all others."""
        return (self.attempts, *self.familiar.values())

    def remember(self, address_hmac: str) -> None:
        """Somebody signed in there."""
        others = {at: each for at, each in self.familiar.items() if at != address_hmac}
        kept = dict([*others.items()][-(FAMILIAR_MAX - 1) :])
        self.familiar = kept | {address_hmac: self.familiar.get(address_hmac, Attempts())}


class Owner(msgspec.Struct, frozen=True):
    """Who has an email."""

    user_id: str
    username_hmac: str


class State(msgspec.Struct):
    """One partition's people, emails and addresses, by HMAC.

    `due` is a heap of (time in ms, entity) that names what may be forgotten; only its head is
    sure to be up to date.
    """

    people: dict[str, Person] = {}
    emails: dict[str, Owner] = {}
    addresses: dict[str, Attempts] = {}
    due: list[tuple[int, str]] = []
