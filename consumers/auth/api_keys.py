"""The API keys that are good, by their hashes, as identity's journals tell of them."""

from typing import Final

from schemas.auth import Verdict
from schemas.codec import Message
from schemas.identity import ApiKeyDeleted, ApiKeyMade

_NEVER_MS: Final = 253_402_300_799_000
"""The end of the year 9999, for keys that do not expire."""


class ApiKeys:
    """Holds of each key its hash and whose it is."""

    def __init__(self) -> None:
        self._verdicts: Final[dict[str, Verdict]] = {}
        self._hashes: Final[dict[str, str]] = {}

    def __len__(self) -> int:
        return len(self._verdicts)

    def fold(self, event: Message) -> None:
        """Learn of a key that was made or deleted; other events say nothing of keys."""
        match event:
            case ApiKeyMade():
                self._hashes[event.api_key_id] = event.secret_hash
                self._verdicts[event.secret_hash] = _verdict(event)
            case ApiKeyDeleted():
                secret_hash = self._hashes.pop(event.api_key_id, None)
                if secret_hash is not None:
                    del self._verdicts[secret_hash]
            case _:
                pass

    def verdict(self, secret_hash: str, *, now_ms: float) -> Verdict | None:
        """Who holds the key of this hash; None when it is not good, or not any more."""
        verdict = self._verdicts.get(secret_hash)
        return verdict if verdict and verdict.expires_at_ms > now_ms else None


def _verdict(made: ApiKeyMade) -> Verdict:
    return Verdict(
        user_id=made.user_id,
        username_hmac=made.username_hmac,
        session_id=made.api_key_id,
        role=made.role,
        expires_at_ms=_NEVER_MS if made.expires_at_ms is None else made.expires_at_ms,
        scopes=made.scopes,
    )
