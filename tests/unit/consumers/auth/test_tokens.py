"""Access tokens: what we signed is read back, and nothing else is."""

import base64
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.auth.tokens import Claims, InvalidToken, Tokens

PRIVATE = b"s" * 32
TOKENS = Tokens(PRIVATE)
KEY = Ed25519PrivateKey.from_private_bytes(PRIVATE)
PUBLIC = KEY.public_key().public_bytes_raw()
NOW_S = int(time.time())
GOOD = TOKENS.issue(
    user_id="u" * 32,
    username_hmac="h" * 32,
    session_id="s" * 32,
    role="trader",
    issued_at_s=NOW_S,
    expires_at_s=NOW_S + 36_000,
)
HEADER: dict[str, Any] = jwt.get_unverified_header(GOOD)
PAYLOAD: dict[str, Any] = jwt.decode(GOOD, options={"verify_signature": False})
LEFT, MIDDLE, RIGHT = GOOD.split(".")


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def part(content: dict[str, Any]) -> str:
    return b64(json.dumps(content).encode())


def signed(
    header: dict[str, Any] | None = None,
    key: Ed25519PrivateKey = KEY,
    without: str = "",
    **claims: Any,  # any claim
) -> str:
    """A token as our own key (or another) would sign it, with some things changed."""
    payload = {name: each for name, each in (PAYLOAD | claims).items() if name != without}
    text = f"{part(HEADER | (header or {}))}.{part(payload)}"
    return f"{text}.{b64(key.sign(text.encode()))}"


def hs256(secret: bytes) -> str:
    text = f"{part(HEADER | {'alg': 'HS256'})}.{MIDDLE}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"


def pem() -> bytes:
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415  # only here
        Encoding,
        PublicFormat,
    )

    return KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def flipped(text: str, at: int) -> str:
    letter = "A" if text[at] != "A" else "B"
    return text[:at] + letter + text[at + 1 :]


def unused_bits(signature: str) -> str:
    """Another text of the same 64 bytes: the last letter carries 4 bits that nobody reads."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return signature[:-1] + alphabet[alphabet.index(signature[-1]) ^ 1]


OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
ORDER = 2**252 + 27742317777372353535851937790883648493


def malleable(signature: str) -> str:
    raw = base64.urlsafe_b64decode(signature + "==")
    scalar = int.from_bytes(raw[32:], "little") + ORDER
    return b64(raw[:32] + scalar.to_bytes(32, "little"))


MUTANTS: dict[str, Callable[[], str]] = {
    "alg none": lambda: f"{part(HEADER | {'alg': 'none'})}.{MIDDLE}.",
    "alg None with the signature": lambda: f"{part(HEADER | {'alg': 'None'})}.{MIDDLE}.{RIGHT}",
    "HS256 with the public key": lambda: hs256(PUBLIC),
    "HS256 with the public key as PEM": lambda: hs256(pem()),
    "HS256 with nothing": lambda: hs256(b""),
    "alg RS256": lambda: signed({"alg": "RS256"}),
    "alg in lower case": lambda: signed({"alg": "eddsa"}),
    "no alg": lambda: f"{part({'kid': TOKENS.kid, 'typ': 'at+jwt'})}.{MIDDLE}.{RIGHT}",
    "another key": lambda: signed(key=OTHER),
    "another kid": lambda: signed({"kid": "0" * 16}),
    "kid of a path": lambda: signed({"kid": "../../auth-sign.pub"}),
    "no kid": lambda: signed({"kid": None}),
    "typ JWT": lambda: signed({"typ": "JWT"}),
    "no typ": lambda: signed({"typ": None}),
    "jku": lambda: signed({"jku": "https://evil.example/jwks.json"}),
    "own jwk": lambda: signed({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": b64(PUBLIC)}}),
    "x5u": lambda: signed({"x5u": "https://evil.example/cert"}),
    "crit": lambda: signed({"crit": ["exp"]}),
    "b64 false": lambda: signed({"b64": False}),
    "expired": lambda: signed(exp=NOW_S - 1),
    "expired long ago": lambda: signed(exp=0),
    "exp as text": lambda: signed(exp="tomorrow"),
    "exp null": lambda: signed(exp=None),
    "no exp": lambda: signed(without="exp"),
    "not yet valid": lambda: signed(nbf=NOW_S + 86_400),
    "another audience": lambda: signed(aud="another-api"),
    "audience as part of a word": lambda: signed(aud="cnop"),
    "no audience": lambda: signed(without="aud"),
    "another issuer": lambda: signed(iss="evil"),
    "no issuer": lambda: signed(without="iss"),
    "no subject": lambda: signed(without="sub"),
    "subject as number": lambda: signed(sub=1),
    "no session": lambda: signed(without="sid"),
    "session as list": lambda: signed(sid=["a"]),
    "no role": lambda: signed(without="role"),
    "no jti": lambda: signed(without="jti"),
    "no iat": lambda: signed(without="iat"),
    "another subject under the old signature": lambda: (
        f"{LEFT}.{part(PAYLOAD | {'sub': 'x' * 32})}.{RIGHT}"
    ),
    "role operator under the old signature": lambda: (
        f"{LEFT}.{part(PAYLOAD | {'role': 'operator'})}.{RIGHT}"
    ),
    "truncated": lambda: GOOD[:-1],
    "truncated by half": lambda: GOOD[: len(GOOD) // 2],
    "no signature": lambda: f"{LEFT}.{MIDDLE}.",
    "two parts": lambda: f"{LEFT}.{MIDDLE}",
    "four parts": lambda: f"{GOOD}.{RIGHT}",
    "parts exchanged": lambda: f"{MIDDLE}.{LEFT}.{RIGHT}",
    "signature of zeros": lambda: f"{LEFT}.{MIDDLE}.{b64(bytes(64))}",
    "signature with unused bits": lambda: f"{LEFT}.{MIDDLE}.{unused_bits(RIGHT)}",
    "signature plus the group order": lambda: f"{LEFT}.{MIDDLE}.{malleable(RIGHT)}",
    "padding": lambda: f"{GOOD}==",
    "white space": lambda: f"{GOOD}\n",
    "leading white space": lambda: f" {GOOD}",
    "base64 with plus": lambda: GOOD.replace("-", "+").replace("_", "/") + "+",
    "Bearer in front": lambda: f"Bearer {GOOD}",
    "nothing": lambda: "",
    "dots": lambda: "..",
    "NUL": lambda: "\0.\0.\0",
    "other script": lambda: "é.ü.ß",
    "payload a list": lambda: f"{LEFT}.{b64(b'[]')}.{RIGHT}",
    "payload no JSON": lambda: f"{LEFT}.{b64(b'{')}.{RIGHT}",
    "header a list": lambda: f"{b64(b'[]')}.{MIDDLE}.{RIGHT}",
    "header nested deeply": lambda: f"{b64(b'[' * 1_000)}.{MIDDLE}.{RIGHT}",
    "too long": lambda: signed(role="t" * 4_000),
}


def test_a_token_says_whose_session_it_is() -> None:
    assert TOKENS.read(GOOD) == Claims(**PAYLOAD)
    assert {"alg": "EdDSA", "kid": TOKENS.kid, "typ": "at+jwt"} == HEADER
    assert PAYLOAD["exp"] - PAYLOAD["iat"] == 36_000


def test_a_token_that_was_good_before_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    TOKENS.read(GOOD)
    monkeypatch.setattr(time, "time", lambda: NOW_S + 36_000.0)
    with pytest.raises(InvalidToken):
        TOKENS.read(GOOD)


def test_the_helper_that_makes_mutants_can_make_a_good_token() -> None:
    assert TOKENS.read(signed()) == Claims(**PAYLOAD)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_no_mutant_is_a_token(mutant: str) -> None:
    token = MUTANTS[mutant]()
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
    again = TOKENS.issue(
        user_id="u" * 32,
        username_hmac="h" * 32,
        session_id="s" * 32,
        role="trader",
        issued_at_s=NOW_S,
        expires_at_s=NOW_S + 36_000,
    )
    assert again != GOOD
