"""Access tokens: what we signed is read back, and nothing else is."""

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutants import Forger

from consumers.auth.tokens import Claims, InvalidToken, TokenKey, Tokens, read_keys
from runtime.security.files import ensure_secrets
from runtime.security.signing import jwks, key_names, rotate

PRIVATE = b"s" * 32
TOKENS = Tokens(lambda: [TokenKey(PRIVATE)])
KID = TOKENS.key.kid
NOW_S = int(time.time())
TOKEN_MS = 900_000


def issued(tokens: Tokens) -> str:
    return tokens.issue(
        user_id="u" * 32,
        username_hmac="h" * 32,
        session_id="s" * 32,
        role="trader",
        issued_at_s=NOW_S,
        expires_at_s=NOW_S + 36_000,
    )


GOOD = issued(TOKENS)
FORGER = Forger(GOOD, PRIVATE)
MUTANTS = FORGER.mutants()


def flipped(text: str, at: int) -> str:
    letter = "A" if text[at] != "A" else "B"
    return text[:at] + letter + text[at + 1 :]


def test_a_token_says_whose_session_it_is() -> None:
    assert TOKENS.read(GOOD) == Claims(**FORGER.payload)
    assert FORGER.header == {"alg": "EdDSA", "kid": KID, "typ": "at+jwt"}
    assert FORGER.payload["exp"] - FORGER.payload["iat"] == 36_000


def test_a_token_that_was_good_before_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    TOKENS.read(GOOD)
    monkeypatch.setattr(time, "time", lambda: NOW_S + 36_000.0)
    with pytest.raises(InvalidToken):
        TOKENS.read(GOOD)


def test_the_helper_that_makes_mutants_can_make_a_good_token() -> None:
    assert TOKENS.read(FORGER.signed()) == Claims(**FORGER.payload)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_no_mutant_is_a_token(mutant: str) -> None:
    token = MUTANTS[mutant]
    assert token != GOOD
    with pytest.raises(InvalidToken):
        TOKENS.read(token)


@settings(deadline=None)
@given(at=st.integers(0, len(GOOD) - 1))
def test_no_single_changed_letter_leaves_a_token(at: int) -> None:
    with pytest.raises(InvalidToken):
        TOKENS.read(flipped(GOOD, at))


@settings(deadline=None)
@given(text=st.text(max_size=300))
def test_no_text_is_a_token(text: str) -> None:
    with pytest.raises(InvalidToken):
        TOKENS.read(text)


def test_two_tokens_of_one_session_differ() -> None:
    assert issued(TOKENS) != GOOD


def rotated(directory: Path, now_ms: int) -> str:
    """Rotate at that time, to a key that signs at once."""
    return rotate(directory, now_ms=now_ms, active_ms=now_ms, token_ms=TOKEN_MS)


def kid(directory: Path) -> str:
    return Tokens.of(directory).key.kid


def test_a_new_key_is_known_at_once_and_signs_a_little_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = ensure_secrets(tmp_path)
    tokens, now_ms = Tokens.of(directory), int(time.time() * 1_000)
    first = tokens.key.kid
    new = rotate(directory, now_ms=now_ms, active_ms=now_ms + 10_000, token_ms=TOKEN_MS)
    assert [each["kid"] for each in jwks(directory)["keys"]] == [first, new]
    tokens.read_keys_again()
    before = issued(tokens)
    monkeypatch.setattr(time, "time", lambda: (now_ms + 10_000) / 1_000)
    after = issued(tokens)
    assert [Forger(each, PRIVATE).header["kid"] for each in (before, after)] == [first, new]
    assert tokens.read(before).sub == tokens.read(after).sub


def test_a_process_that_has_not_read_a_new_key_reads_it_when_a_token_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = ensure_secrets(tmp_path)
    behind = Tokens.of(directory)
    rotated(directory, int(time.time() * 1_000))
    ahead = issued(Tokens.of(directory))
    since_s = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: since_s + 60)
    assert behind.read(ahead).role == "trader"


def test_a_key_goes_when_its_last_token_has_died(tmp_path: Path) -> None:
    directory = ensure_secrets(tmp_path)
    first, now_ms = kid(directory), int(time.time() * 1_000)
    old_ms = now_ms - TOKEN_MS
    second = rotated(directory, old_ms)
    third = rotated(directory, now_ms)
    assert [each.kid for each in read_keys(directory)] == [first, second, third]
    fourth = rotated(directory, now_ms + 100_000)
    ensure_secrets(directory)  # a first key is made only where there is none
    assert [each.kid for each in read_keys(directory)] == [second, third, fourth]
    assert [each["kid"] for each in jwks(directory)["keys"]] == [second, third, fourth]


def test_a_key_that_was_taken_away_ends_its_tokens_though_they_were_good_before(
    tmp_path: Path,
) -> None:
    directory = ensure_secrets(tmp_path)
    tokens = Tokens.of(directory)
    token = issued(tokens)
    assert tokens.read(token)
    rotated(directory, int(time.time() * 1_000))
    (first, _) = key_names(directory, ".key")
    (directory / f"{first.stem}.key").unlink()
    tokens.read_keys_again()
    with pytest.raises(InvalidToken):
        tokens.read(token)


def test_public_keys_tell_nothing_of_the_private_ones(tmp_path: Path) -> None:
    directory = ensure_secrets(tmp_path)
    (key,) = jwks(directory)["keys"]
    assert set(key) == {"kty", "crv", "use", "alg", "kid", "x"}
    assert key["kid"] == kid(directory)
