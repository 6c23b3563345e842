"""The stop orders of one market: they wait for the last price, and nobody sees them meanwhile."""

from collections.abc import Iterator, MutableMapping

import msgspec
from msgspec.structs import replace
from sortedcontainers import SortedDict

from runtime.errors import InvariantBroken
from schemas.accounts import BUY, SELL, Side
from schemas.markets import SubmitOrder


class StopOrder(msgspec.Struct, kw_only=True, gc=False):
    """An order with a stop price and the number of its arrival.

    One that `is_triggered` waits only for the command that lets it into the book.
    """

    number: int
    order: SubmitOrder
    is_triggered: bool = False

    @property
    def order_id(self) -> str:
        """Of the order."""
        return self.order.order_id

    @property
    def account_id(self) -> str:
        """Whose it is."""
        return self.order.account_id

    @property
    def cum_quantity_e8(self) -> int:
        """Nothing has traded before it came to the book."""
        return 0

    @property
    def rank(self) -> tuple[int, int]:
        """When it is triggered: buys by rising stop price, sells by falling, then first come."""
        return _sign(self.order.side) * stop_price(self.order), self.number

    def is_over(self, now_ms: int) -> bool:
        """Whether its time has come at log time `now_ms`."""
        return self.order.expires_at_ms is not None and self.order.expires_at_ms <= now_ms


def _sign(side: Side) -> int:
    return 1 if side is BUY else -1


def stop_price(order: SubmitOrder) -> int:
    """The stop price of an order.

    Raises:
        InvariantBroken: it has none.
    """
    if order.stop_price_e8 is None:
        raise InvariantBroken(f"order {order.order_id} is no stop")
    return order.stop_price_e8


def is_reached(order: SubmitOrder, last_e8: int) -> bool:
    """A buy is triggered at its stop price and above, a sell at it and below (FIX 99)."""
    return _sign(order.side) * stop_price(order) <= _sign(order.side) * last_e8


class Stops:
    """Stop orders by id in order of arrival; `count` numbers all that ever came."""

    __slots__ = ("_armed", "count", "orders")

    def __init__(self) -> None:
        self.count = 0
        self.orders: dict[str, StopOrder] = {}
        self._armed: dict[Side, MutableMapping[tuple[int, int], StopOrder]] = {
            BUY: SortedDict(),
            SELL: SortedDict(),
        }

    def add(self, stop: StopOrder) -> None:
        """Let one wait, as what it is; one that was triggered may come back to wait again."""
        self.orders[stop.order_id] = stop
        if not stop.is_triggered:
            self._armed[stop.order.side][stop.rank] = stop

    def remove(self, order_id: str) -> StopOrder | None:
        """Take one out, if it is there."""
        stop = self.orders.pop(order_id, None)
        if stop is not None:
            self._armed[stop.order.side].pop(stop.rank, None)
        return stop

    def trigger(self, order_id: str) -> None:
        """From now on it only waits for its command."""
        stop = self.orders[order_id]
        del self._armed[stop.order.side][stop.rank]
        stop.is_triggered = True

    def change(self, order_id: str, quantity_e8: int, price_e8: int | None) -> None:
        """Give one another quantity, and another limit if it has one; it keeps its place."""
        stop = self.orders[order_id]
        changed = replace(stop.order, quantity_e8=quantity_e8)
        if price_e8 is not None:
            changed = replace(changed, price_e8=price_e8, protection_price_e8=price_e8)
        stop.order = changed

    def due(self, low_e8: int, high_e8: int) -> Iterator[StopOrder]:
        """Those that wait and that prices from `low_e8` to `high_e8` reach, in their order."""
        for side, last_e8 in ((BUY, high_e8), (SELL, low_e8)):
            for stop in self._armed[side].values():
                if not is_reached(stop.order, last_e8):
                    break
                yield stop
