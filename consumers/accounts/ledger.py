"""Holdings after a movement, and its double entry: postings sum to zero per asset."""

from typing import Final

from schemas.accounts import BUY, CASH, ApplyExecution, Holding, Posting
from schemas.money import share_floor

FREE: Final = "free"
LOCKED: Final = "locked"
EXTERNAL: Final = "external"
FEES: Final = "fees"

Postings = tuple[Posting, ...]


def moved(
    held: Holding, *, free_e8: int = 0, locked_e8: int = 0, cost_e8: int = 0, realized_e8: int = 0
) -> Holding:
    """The holding after these changes, all in 1e-8 units."""
    return Holding(
        asset=held.asset,
        free_e8=held.free_e8 + free_e8,
        locked_e8=held.locked_e8 + locked_e8,
        cost_e8=held.cost_e8 + cost_e8,
        realized_e8=held.realized_e8 + realized_e8,
        created_at_ms=held.created_at_ms,
    )


def cost_of(held: Holding, quantity_e8: int) -> int:
    """The average-cost basis of a part, in 1e-8 USD rounded down; of all of it, all that is left.

    Bought fees are in the basis, and sold ones reduce what is realised.
    """
    return share_floor(held.cost_e8, quantity_e8, held.free_e8 + held.locked_e8)


def transfer(
    asset: str, amount_e8: int, *, source: tuple[str, str], sink: tuple[str, str]
) -> Postings:
    """Move an amount between two (ledger account, bucket) pairs."""
    return (
        Posting(source[0], asset, source[1], -amount_e8),
        Posting(sink[0], asset, sink[1], amount_e8),
    )


def trade_postings(fact: ApplyExecution, bucket: str, fee_e8: int) -> Postings:
    """One leg of a trade across the market's clearing account; what is paid lies in `bucket`.

    A buyer pays notional and fee and receives the asset free; a seller delivers the asset and
    receives the notional less the fee, free.
    """
    account, asset, through = fact.account_id, fact.asset, f"clearing:{fact.symbol}"
    quantity_e8, notional_e8 = fact.quantity_e8, fact.notional_e8
    if fact.side is BUY:
        legs = (
            Posting(account, CASH, bucket, -notional_e8 - fee_e8),
            Posting(through, CASH, FREE, notional_e8),
            Posting(through, asset, FREE, -quantity_e8),
            Posting(account, asset, FREE, quantity_e8),
        )
    else:
        legs = (
            Posting(account, asset, bucket, -quantity_e8),
            Posting(through, asset, FREE, quantity_e8),
            Posting(through, CASH, FREE, -notional_e8),
            Posting(account, CASH, FREE, notional_e8 - fee_e8),
        )
    return (*legs, Posting(FEES, CASH, FREE, fee_e8)) if fee_e8 else legs
