"""Which journal records are valid: those of the newest claim before them (W1, R1)."""

from typing import Final

from schemas.journal import WriterClaimed

NO_EPOCH: Final = 0


class Claims:
    """The newest claim seen so far while a journal is read in order."""

    __slots__ = ("epoch", "offset")

    def __init__(self, epoch: int = NO_EPOCH) -> None:
        self.epoch = epoch
        self.offset = -1

    def admits(self, event_type: str, epoch: int, offset: int) -> bool:
        """Take the next record in; False for a record of a fenced writer and for a lost claim.

        An epoch belongs to the first claim that carries it.
        """
        if event_type == WriterClaimed.TYPE:
            if epoch <= self.epoch:
                return False
            self.epoch, self.offset = epoch, offset
            return True
        return epoch == self.epoch
