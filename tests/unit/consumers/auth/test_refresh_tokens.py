"""Refresh tokens: what we made is read back, nothing else is, and no secret is kept."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.auth.refresh_tokens import InvalidRefreshToken, RefreshToken, RefreshTokens

TOKENS = RefreshTokens(b"m" * 32)
TOKEN = RefreshToken("a" * 32, "b" * 32, 3, b"s" * 32)
TEXT = TOKENS.encode(TOKEN)


def test_a_token_comes_back_as_it_was_made() -> None:
    assert TOKENS.decode(TEXT) == TOKEN
    assert len(TEXT) == 118


def test_what_is_kept_of_a_secret_is_a_keyed_hmac() -> None:
    kept = TOKENS.kept(TOKEN.secret)
    assert len(kept) == 32
    assert kept not in TEXT
    assert kept != RefreshTokens(b"n" * 32).kept(TOKEN.secret)


def test_another_key_reads_no_token_of_ours() -> None:
    with pytest.raises(InvalidRefreshToken):
        RefreshTokens(b"n" * 32).decode(TEXT)


def test_another_session_or_generation_under_the_old_tag_is_none() -> None:
    raw = bytearray(base64.urlsafe_b64decode(TEXT + "=="))
    for at in (0, 16, 39, 40, len(raw) - 1):
        changed = bytearray(raw)
        changed[at] ^= 1
        with pytest.raises(InvalidRefreshToken):
            TOKENS.decode(base64.urlsafe_b64encode(changed).rstrip(b"=").decode())


@settings(deadline=None)
@given(at=st.integers(0, len(TEXT) - 1), letter=st.sampled_from("ABCxyz019-_=+/ é\n"))
def test_no_single_changed_letter_leaves_a_token(at: int, letter: str) -> None:
    text = TEXT[:at] + letter + TEXT[at + 1 :]
    if text == TEXT:
        return
    with pytest.raises(InvalidRefreshToken):
        TOKENS.decode(text)


@settings(deadline=None)
@given(text=st.text(max_size=130))
def test_no_text_is_a_token(text: str) -> None:
    with pytest.raises(InvalidRefreshToken):
        TOKENS.decode(text)
