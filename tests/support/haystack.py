"""Looks for texts in everything that is stored, whatever disguises them."""

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote

from topics import Stored


def forms(needle: str) -> set[bytes]:
    """The text as it is and as base64, hex, JSON and URLs would hide it."""
    plain = needle.encode()
    found = {
        plain,
        needle.encode("utf-16-le"),
        plain.hex().encode(),
        plain.hex().upper().encode(),
        json.dumps(needle)[1:-1].encode(),
        json.dumps(needle, ensure_ascii=False)[1:-1].encode(),
        "".join(f"\\u{ord(each):04x}" for each in needle).encode(),
        quote(needle, safe="").encode(),
    }
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):  # as part of something longer it may begin at any sixth bit
            whole = encode(b"\0" * shift + plain).rstrip(b"=")
            ragged = (len(plain) + shift) % 3 != 0
            found.add(whole[-(-shift * 8 // 6) : len(whole) - ragged])
    return found


class Haystack:
    """Everything that somebody chose in these records, in lower case, each part once."""

    def __init__(self, records: Iterable[Stored]) -> None:
        self._records = list(records)
        parts = {part for each in self._records for part in each.parts()}
        self._bytes = b"\n".join(parts).lower()

    def hits(self, needles: Iterable[str]) -> list[str]:
        """Where any form of any needle lies, and what was found."""
        found = {form.lower() for each in needles for form in forms(each) if len(form) >= 5}
        return [place for form in found if form in self._bytes for place in self._places(form)]

    def _places(self, form: bytes) -> list[str]:
        return [
            f"{each.topic} {each.partition}@{each.offset}: {form!r}"
            for each in self._records
            if any(form in part.lower() for part in each.parts())
        ]
