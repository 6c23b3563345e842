"""How an operator sets the fees by tier: in every partition of accounts, each by a command."""

from producers.operators import operator
from runtime.settings import Settings
from schemas.accounts import SetFees
from schemas.fees import Tiers
from schemas.topics import ACCOUNTS


async def set_fees(settings: Settings, tiers: Tiers) -> int:
    """Set them and wait until each partition has decided; returns how many there are.

    Raises:
        ValueError: they are no schedule.
        Unavailable: the broker or a partition's decider did not answer in time; asking for the
            same again does no harm.
    """
    command = SetFees(tiers=tiers)
    async with operator(settings, ACCOUNTS) as asking:
        partitions = await asking.partitions()
        for partition in range(partitions):
            await asking.decided(partition, command)
    return partitions
