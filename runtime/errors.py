"""Exceptions that say what to do next, one class per reaction (`PoisonMessage` is in schemas)."""


class Unavailable(Exception):  # noqa: N818  # named by the reaction
    """A dependency does not answer: back off and try again."""


class Fenced(Exception):  # noqa: N818  # named by the reaction
    """Another writer may be at work, or an append is unknown: drop all state and claim again."""


class Halted(Exception):  # noqa: N818  # named by the reaction
    """Going on would lose or double something: stop this partition until an operator acts (W8)."""


class InvariantBroken(Exception):  # noqa: N818  # named by the reaction
    """The state contradicts itself: stop the process."""
