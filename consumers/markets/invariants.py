"""What must hold of every book after every decision; for tests and the simulation."""

from typing import Final

from consumers.markets.book import Book
from consumers.markets.state import Markets
from runtime.errors import InvariantBroken
from schemas.accounts import BUY, SELL, Side

_EVERY_PRICE_E8: Final = 1 << 62


def check(state: Markets) -> None:
    """Check every book of a partition.

    Raises:
        InvariantBroken: says which book and what.
    """
    for book in state.books.values():
        for problem, is_broken in _problems(book).items():
            if is_broken:
                raise InvariantBroken(f"{book.symbol}: {problem}")


def _problems(book: Book) -> dict[str, bool]:
    bids, asks = (list(book.ladders[side]) for side in (BUY, SELL))
    resting = bids + asks
    stops = list(book.stops.orders.values())
    return {
        "bids are not sorted": bids != sorted(bids, key=lambda each: -each.price_e8),
        "asks are not sorted": asks != sorted(asks, key=lambda each: each.price_e8),
        "a bid lies among the asks, or the reverse": any(
            order.side is not side for side in Side for order in book.ladders[side]
        ),
        "an order is at another price than its level": any(
            ladder.rank(order.price_e8) != rank
            for ladder in book.ladders.values()
            for rank, queue in ladder.levels.items()
            for order in queue.values()
        ),
        "a level is empty": any(
            not queue for ladder in book.ladders.values() for queue in ladder.levels.values()
        ),
        "an order has nothing left, or more than it came with": any(
            not 0 < each.leaves_e8 <= each.quantity_e8 for each in resting
        ),
        "the index differs from the levels": book.orders != {o.order_id: o for o in resting}
        or len(book.orders) != len(resting),
        "what ends by itself differs from the index": sorted(book.expiries)
        != sorted(
            (each.expires_at_ms, each.order_id)
            for each in (*resting, *(stop.order for stop in stops))
            if each.expires_at_ms is not None
        ),
        "an order rests and is a stop": not book.orders.keys().isdisjoint(book.stops.orders),
        "a stop lies under another id": book.stops.orders != {o.order_id: o for o in stops},
        "two stops came at once, or one that was not counted": len({o.number for o in stops})
        != len(stops)
        or any(not 0 < each.number <= book.stops.count for each in stops),
        "stops that wait differ from the index": sorted(
            each.order_id for each in book.stops.due(0, _EVERY_PRICE_E8)
        )
        != sorted(each.order_id for each in stops if not each.is_triggered),
        "resting orders cross": bool(bids and asks) and bids[0].price_e8 >= asks[0].price_e8,
        "the house sold more than it offered": min(book.house_e8.values()) < 0,
    }
