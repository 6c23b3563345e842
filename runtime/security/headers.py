"""Headers of every HTTP answer that tell browsers what not to do with it."""

from typing import Final

Header = tuple[bytes, bytes]

NOTHING: Final = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
"""A Content-Security-Policy: nothing is loaded, framed or sent from here."""
SECURITY_HEADERS: Final[tuple[Header, ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
STRICT_TRANSPORT: Final[Header] = (
    b"strict-transport-security",
    b"max-age=31536000; includeSubDomains",
)
"""For answers over TLS alone (RFC 6797, section 7.2)."""
