"""Which passwords everybody tries first: a common word with the usual decoration around it.

`common_passwords.txt` holds the words in lower case. A password is common when nothing is left of
it but one of them once separators, and digits and symbols around it, are taken off; letters may be
written as digits (`p4ssw0rd`).
"""

from functools import lru_cache
from importlib import resources
from typing import Final

_LETTERS: Final = str.maketrans("0134578@$!", "oieastbasi")
_UNSHIFTED: Final = str.maketrans("!@#$%^&*()", "1234567890")
_BETWEEN: Final = str.maketrans("", "", " -_.")
_AROUND: Final = "0123456789!@#$%^&*()-_=+.,?~ "
_WORD_CHARACTERS_MIN: Final = 4


def is_common(password: str) -> bool:
    """Whether the password is among the first that somebody guesses."""
    joined = password.lower().translate(_BETWEEN)
    bare = joined.strip(_AROUND)
    typed = joined.translate(_UNSHIFTED)
    return any(map(_is_a_word, (joined, typed, bare, bare.translate(_LETTERS))))


def _is_a_word(text: str) -> bool:
    return len(text) >= _WORD_CHARACTERS_MIN and text in _words()


@lru_cache(maxsize=1)
def _words() -> frozenset[str]:
    listed = resources.files("gateway").joinpath("common_passwords.txt").read_text()
    words = listed.split()
    return frozenset((*words, *(each.strip(_AROUND) for each in words)))
