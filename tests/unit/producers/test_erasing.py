"""Whom an operator means who erases a user, as the journal tells it."""

from producers.erasing import folded, is_user_id
from schemas.identity import Ciphertext, SessionEnded, User, UserErased, UserRegistered

SECRET = Ciphertext(key_id="key", nonce="n", bytes="b")


def registered(user_id: str, key_id: str, at_ms: int) -> UserRegistered:
    profile = Ciphertext(key_id=key_id, nonce="n", bytes="b")
    return UserRegistered(
        user=User(
            user_id=user_id,
            username_hmac="ann",
            email_hmac="e",
            profile=profile,
            password_hash=SECRET,
            marketing_emails_consent=False,
            created_at_ms=at_ms,
        )
    )


def erased(user_id: str, key_id: str) -> UserErased:
    return UserErased(user_id=user_id, username_hmac="ann", email_hmac="e", key_id=key_id)


def test_who_took_the_name_of_an_erased_user_is_somebody_else() -> None:
    ended = SessionEnded(user_id="one", username_hmac="ann", session_id="s")
    found = folded(
        [registered("one", "k1", 1), ended, erased("one", "k1"), registered("two", "k2", 9)]
    )
    assert list(found) == ["one", "two"]
    assert (found["one"].is_erased, found["one"].key_id) == (True, "k1")
    assert (found["two"].is_erased, found["two"].key_id) == (False, "k2")
    assert found["two"].registered_ms == 9


def test_an_id_is_told_from_a_username_by_its_length() -> None:
    assert is_user_id("0123456789abcdef0123456789abcdef")
    assert not is_user_id("abcdefabcdefabcdefabcdefabcdef")  # 30 is the longest name
    assert not is_user_id("ann_lee")
