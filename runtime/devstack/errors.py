"""What keeps the local stack from starting, as a sentence for the person at the terminal."""


class CannotStart(Exception):  # noqa: N818  # named by the reaction
    """Something outside is missing or in the way: print the sentence and exit non-zero."""
