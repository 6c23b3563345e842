"""What must be true of a partition after every event; tests and the simulation ask it."""

from collections import Counter

from consumers.accounts.rules import OPEN_ORDERS_MAX, need_of, need_while_replacing
from consumers.accounts.state import FINAL_ORDERS_MAX, Account, State, is_house
from runtime.errors import InvariantBroken
from schemas.accounts import Order, Posting
from schemas.codec import Message
from schemas.fees import VOLUME_DAYS


def check(state: State) -> None:
    """Check each account of the partition.

    Raises:
        InvariantBroken: naming the account and the rule.
    """
    for account_id, account in state.accounts.items():
        check_account(account_id, account)


def check_account(account_id: str, account: Account) -> None:
    """Nothing below zero, locks are those of the open orders, fills within quantity, bounds kept.

    Raises:
        InvariantBroken: naming the account and the rule.
    """
    locked: Counter[str] = Counter()
    for order in account.orders.values():
        _check_order(account_id, order)
        locked[order.locked_asset] += order.locked_e8
    for asset, held in account.holdings.items():
        if held.locked_e8 != locked.pop(asset, 0):
            raise InvariantBroken(f"{account_id}: locked {asset} is not what its orders locked")
        if not is_house(account_id) and (held.free_e8 < 0 or held.cost_e8 < 0):
            raise InvariantBroken(f"{account_id}: {asset} is below zero")
    if any(locked.values()):
        raise InvariantBroken(f"{account_id}: an order locks what the account never held")
    if len(account.orders) > OPEN_ORDERS_MAX or len(account.final_orders) > FINAL_ORDERS_MAX:
        raise InvariantBroken(f"{account_id}: remembers too many orders")
    if len(account.volumes) > VOLUME_DAYS or any(each < 0 for each in account.volumes.values()):
        raise InvariantBroken(f"{account_id}: volumes are not those of {VOLUME_DAYS} days")
    _check_client_order_ids(account_id, account)


def check_event(event: Message) -> None:
    """The postings of an event sum to zero per asset.

    Raises:
        InvariantBroken: naming the asset.
    """
    sums: Counter[str] = Counter()
    postings: tuple[Posting, ...] = getattr(event, "postings", ())
    for posting in postings:
        sums[posting.asset] += posting.amount_e8
    for asset, amount_e8 in sums.items():
        if amount_e8:
            raise InvariantBroken(f"postings of {type(event).__name__} leave {amount_e8} {asset}")


def _check_order(account_id: str, order: Order) -> None:
    if order.locked_e8 < 0 or order.cum_quantity_e8 > order.quantity_e8:
        raise InvariantBroken(f"{account_id}: order {order.order_id} took more than it may")
    if order.locked_e8 < need_of(order):
        raise InvariantBroken(f"{account_id}: order {order.order_id} locks less than it may need")
    wanted = order.replacing
    if wanted is None or wanted.quantity_e8 <= order.cum_quantity_e8:
        return
    if order.locked_e8 < need_while_replacing(order, wanted):
        raise InvariantBroken(f"{account_id}: order {order.order_id} cannot become what was asked")


def _check_client_order_ids(account_id: str, account: Account) -> None:
    known = [each.client_order_id for each in account.orders.values()]
    known.extend(account.final_orders.values())
    if sorted(each for each in known if each is not None) != sorted(account.client_order_ids):
        raise InvariantBroken(f"{account_id}: client order ids are not those of its orders")
