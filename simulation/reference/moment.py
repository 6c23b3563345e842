"""When and where a message was taken, as every part of the reference sees it."""

from typing import NamedTuple

from schemas.envelope import derived_id


class Moment(NamedTuple):
    """The place of a message in its inbox, the log time there, and the client's command if any."""

    topic: str
    partition: int
    offset: int
    time_ms: int
    command_id: str
    expires_at_ms: int | None

    def new_id(self, n: int = 0) -> str:
        """The nth id that this message creates (C2)."""
        return derived_id(self.topic, self.partition, self.offset, n)


def ceil_div(dividend: int, divisor: int) -> int:
    """A quotient rounded up."""
    return (dividend + divisor - 1) // divisor
