"""Texts that are almost a token: none of them may be taken for one."""

import base64
import hmac
import json
import time
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_OTHER: Final = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def is_sendable(text: str) -> bool:
    """Whether HTTP takes it in a header, and does not strip it to the genuine token."""
    return bool(text) and text.isascii() and text.isprintable() and text == text.strip()


class Forger:
    """Changes a good token, signs with its key or another; `private` is the key's 32 bytes."""

    def __init__(self, good: str, private: bytes) -> None:
        self.good: Final = good
        self.key: Final = Ed25519PrivateKey.from_private_bytes(private)
        self.header: Final[dict[str, Any]] = jwt.get_unverified_header(good)
        self.payload: Final[dict[str, Any]] = jwt.decode(good, options={"verify_signature": False})

    def signed(
        self,
        header: dict[str, Any] | None = None,
        key: Ed25519PrivateKey | None = None,
        without: str = "",
        **claims: Any,
    ) -> str:
        """A token as our own key (or another) would sign it, with some things changed."""
        payload = {name: each for name, each in (self.payload | claims).items() if name != without}
        text = f"{_part(self.header | (header or {}))}.{_part(payload)}"
        return f"{text}.{_b64((key or self.key).sign(text.encode()))}"

    def mutants(self) -> dict[str, str]:
        """All of them by name."""
        good, header, payload, signed = self.good, self.header, self.payload, self.signed
        left, middle, right = good.split(".")
        public = self.key.public_key().public_bytes_raw()
        now_s = int(time.time())
        return {
            "alg none": f"{_part(header | {'alg': 'none'})}.{middle}.",
            "alg None with the signature": f"{_part(header | {'alg': 'None'})}.{middle}.{right}",
            "HS256 with the public key": self._hs256(public),
            "HS256 with the public key as PEM": self._hs256(self._pem()),
            "HS256 with nothing": self._hs256(b""),
            "alg RS256": signed({"alg": "RS256"}),
            "alg in lower case": signed({"alg": "eddsa"}),
            "no alg": f"{_part({'kid': header['kid'], 'typ': 'at+jwt'})}.{middle}.{right}",
            "another key": signed(key=_OTHER),
            "another kid": signed({"kid": "0" * 16}),
            "kid of a path": signed({"kid": "../../auth-sign.pub"}),
            "no kid": signed({"kid": None}),
            "kid a list": signed({"kid": ["a"]}),
            "typ JWT": signed({"typ": "JWT"}),
            "no typ": signed({"typ": None}),
            "jku": signed({"jku": "https://evil.example/jwks.json"}),
            "own jwk": signed({"jwk": {"kty": "OKP", "crv": "Ed25519", "x": _b64(public)}}),
            "x5u": signed({"x5u": "https://evil.example/cert"}),
            "crit": signed({"crit": ["exp"]}),
            "b64 false": signed({"b64": False}),
            "expired": signed(exp=now_s - 1),
            "expired long ago": signed(exp=0),
            "exp as text": signed(exp="tomorrow"),
            "exp null": signed(exp=None),
            "no exp": signed(without="exp"),
            "not yet valid": signed(nbf=now_s + 86_400),
            "another audience": signed(aud="another-api"),
            "audience as part of a word": signed(aud="cnop"),
            "no audience": signed(without="aud"),
            "another issuer": signed(iss="evil"),
            "no issuer": signed(without="iss"),
            "no subject": signed(without="sub"),
            "subject as number": signed(sub=1),
            "no session": signed(without="sid"),
            "session as list": signed(sid=["a"]),
            "no role": signed(without="role"),
            "no jti": signed(without="jti"),
            "no iat": signed(without="iat"),
            "another subject under the old signature": (
                f"{left}.{_part(payload | {'sub': 'x' * 32})}.{right}"
            ),
            "role operator under the old signature": (
                f"{left}.{_part(payload | {'role': 'operator'})}.{right}"
            ),
            "truncated": good[:-1],
            "truncated by half": good[: len(good) // 2],
            "no signature": f"{left}.{middle}.",
            "two parts": f"{left}.{middle}",
            "four parts": f"{good}.{right}",
            "parts exchanged": f"{middle}.{left}.{right}",
            "signature of zeros": f"{left}.{middle}.{_b64(bytes(64))}",
            "signature with unused bits": f"{left}.{middle}.{_unused_bits(right)}",
            "signature plus the group order": f"{left}.{middle}.{_malleable(right)}",
            "padding": f"{good}==",
            "white space": f"{good}\n",
            "leading white space": f" {good}",
            "base64 with plus": good.replace("-", "+").replace("_", "/") + "+",
            "Bearer in front": f"Bearer {good}",
            "nothing": "",
            "dots": "..",
            "NUL": "\0.\0.\0",
            "other script": "é.ü.ß",
            "payload a list": f"{left}.{_b64(b'[]')}.{right}",
            "payload no JSON": f"{left}.{_b64(b'{')}.{right}",
            "header a list": f"{_b64(b'[]')}.{middle}.{right}",
            "header nested deeply": f"{_b64(b'[' * 1_000)}.{middle}.{right}",
            "too long": signed(role="t" * 4_000),
        }

    def _hs256(self, secret: bytes) -> str:
        text = f"{_part(self.header | {'alg': 'HS256'})}.{self.good.split('.')[1]}"
        return f"{text}.{_b64(hmac.digest(secret, text.encode(), 'sha256'))}"

    def _pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _part(content: dict[str, Any]) -> str:
    return _b64(json.dumps(content).encode())


def _unused_bits(signature: str) -> str:
    """Another text of the same 64 bytes: the last letter carries 4 bits that nobody reads."""
    return signature[:-1] + _ALPHABET[_ALPHABET.index(signature[-1]) ^ 1]


def _malleable(signature: str) -> str:
    raw = base64.urlsafe_b64decode(signature + "==")
    scalar = int.from_bytes(raw[32:], "little") + _ORDER
    return _b64(raw[:32] + scalar.to_bytes(32, "little"))
