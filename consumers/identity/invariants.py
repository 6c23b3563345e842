"""What must hold of identity after every step, and of all its partitions when it is idle."""

from collections.abc import Iterable

from consumers.identity.state import (
    API_KEYS_MAX,
    ATTEMPTS_MAX,
    FAMILIAR_MAX,
    SESSIONS_MAX,
    Attempts,
    State,
)
from runtime.errors import InvariantBroken


def check(state: State) -> None:
    """Attempts, sessions and API keys are within their bounds.

    Raises:
        InvariantBroken: they are not.
    """
    for username_hmac, person in state.people.items():
        for counted in person.all_attempts():
            _check_attempts(counted)
        if len(person.familiar) > FAMILIAR_MAX:
            raise InvariantBroken(f"user {username_hmac} has {len(person.familiar)} addresses")
        if len(person.sessions) > SESSIONS_MAX:
            raise InvariantBroken(f"user {username_hmac} has {len(person.sessions)} sessions")
        if len(person.api_keys) > API_KEYS_MAX:
            raise InvariantBroken(f"user {username_hmac} has {len(person.api_keys)} API keys")
        if len(person.void_attempts) > ATTEMPTS_MAX * (FAMILIAR_MAX + 1):
            raise InvariantBroken(f"user {username_hmac} has {person.void_attempts} void attempts")
    for attempts in state.addresses.values():
        _check_attempts(attempts)


def check_idle(partitions: Iterable[State]) -> None:
    """With no message in flight nobody claims, and each email belongs to exactly its user.

    Raises:
        InvariantBroken: an email is lost, doubled or orphaned, or somebody gets in who may not.
    """
    states = tuple(partitions)
    people = [person for state in states for person in state.people.values()]
    if any(person.claim for person in people):
        raise InvariantBroken("an email claim was never settled")
    outside = [person for person in people if person.user is None or person.user.locked]
    if any(person.sessions or person.api_keys for person in outside):
        raise InvariantBroken("somebody who may not sign in has sessions or API keys")
    held = sorted((each.user.email_hmac, each.user.user_id) for each in people if each.user)
    owned = sorted((email, who.user_id) for state in states for email, who in state.emails.items())
    if held != owned:
        raise InvariantBroken("emails and their users disagree")


def _check_attempts(attempts: Attempts) -> None:
    counted = max(len(attempts.wrong_ms), len(attempts.reserved_ms))
    if counted > ATTEMPTS_MAX:
        raise InvariantBroken(f"{counted} attempts count, more than {ATTEMPTS_MAX}")
