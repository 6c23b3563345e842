"""What an order must keep to be accepted, and how much it locks.

The caps are of the whole exchange; tick, lot, least notional and prices are of the market, fees of
the account's tier and the market, all as this partition was last told (they came in the command
stream, so replay knows them).
"""

from typing import Final, NamedTuple

from msgspec.structs import replace

from consumers.accounts.state import Account, State
from schemas.accounts import (
    BUY,
    CASH,
    DAY,
    FOK,
    GTD,
    IOC,
    LIMIT,
    MARKET,
    RESTING,
    SELL,
    CollarSet,
    MarketTerms,
    Order,
    PlaceOrder,
    Reason,
    Replacement,
    TimeInForce,
)
from schemas.candles import DAY_MS
from schemas.fees import tier_of, volume_of
from schemas.money import E8, PPM, fee_ceil, notional_ceil

QUANTITY_MIN_E8: Final = E8 // 1000
PRICE_MAX_E8: Final = 1_000_000 * E8
ORDER_VALUE_MAX_E8: Final = 10_000 * E8
OPEN_ORDERS_MAX: Final = 500
LIFE_MAX_MS: Final = 366 * DAY_MS
"""How far ahead a GTD order may end."""


class Quoted(NamedTuple):
    """A market that takes orders now."""

    terms: MarketTerms
    collar: CollarSet


class Rates(NamedTuple):
    """What an order pays of its notional, in parts per million."""

    maker_ppm: int
    taker_ppm: int


class Lock(NamedTuple):
    """What is set aside for an order: the worst price it may trade at, and how much of what."""

    protection_price_e8: int
    asset: str
    amount_e8: int


def quoted(state: State, asset: str, now_ms: int) -> Quoted | Reason:
    """The asset's market with a fresh price, or why it takes no orders at log time `now_ms`."""
    market = state.market_of(asset)
    if market is None or market.terms is None:
        return Reason.UNKNOWN_ASSET
    if not market.terms.is_open:
        return Reason.MARKET_HALTED
    if market.collar is None or now_ms - market.collar_at_ms > market.terms.stale_after_ms:
        return Reason.NO_PRICE
    return Quoted(market.terms, market.collar)


def rates_of(state: State, account: Account, terms: MarketTerms, now_ms: int) -> Rates:
    """The rates of the account's tier at log time `now_ms`, and the market's own on top.

    Together they never exceed the notional, which is all that a sale brings.
    """
    tiers = state.tiers
    tier = tiers[tier_of(tiers, volume_of(account.volumes, now_ms)) if len(tiers) > 1 else 0]
    return Rates(
        min(PPM, tier.maker_fee_ppm + terms.maker_fee_ppm),
        min(PPM, tier.taker_fee_ppm + terms.taker_fee_ppm),
    )


def limit_of(order: PlaceOrder) -> int | None:
    """The limit price; the price that a market order may name means nothing."""
    return None if order.order_type is MARKET else order.price_e8


def time_in_force_of(order: PlaceOrder) -> TimeInForce:
    """Market orders never rest: all but FOK are IOC; of a stop it says how long it waits."""
    is_limit, is_stop = order.order_type is LIMIT, order.stop_price_e8 is not None
    if is_limit or is_stop or order.time_in_force is FOK:
        return order.time_in_force
    return IOC


def expiry_of(order: PlaceOrder, now_ms: int) -> int | None:
    """When the order is over in broker time: a DAY order at the next midnight UTC."""
    if time_in_force_of(order) is DAY:
        return (now_ms // DAY_MS + 1) * DAY_MS
    return order.expires_at_ms


def lock_of(order: PlaceOrder, market: Quoted, rates: Rates) -> Lock:
    """The worst case: a buy pays its worst price and the dearer fee on it, a sell gives it all."""
    limit_e8 = limit_of(order)
    protection_e8 = market_protection(order, market.collar) if limit_e8 is None else limit_e8
    if order.side is SELL:
        return Lock(protection_e8, order.asset, order.quantity_e8)
    notional_e8 = notional_ceil(protection_e8, order.quantity_e8)
    return Lock(protection_e8, CASH, notional_e8 + fee_ceil(notional_e8, max(rates)))


def market_protection(order: PlaceOrder | Order, collar: CollarSet) -> int:
    """The collar's edge around the last price; of a stop around its stop price, if that is worse.

    The band is that of now, and a buy's edge is rounded up, so that the lock is never too small.
    """
    is_buy = order.side is BUY
    edge_e8 = collar.high_e8 if is_buy else collar.low_e8
    stop_e8 = order.stop_price_e8
    if stop_e8 is None:
        return edge_e8
    if is_buy:
        return max(edge_e8, -(-stop_e8 * edge_e8 // collar.last_e8))
    return min(edge_e8, stop_e8 * edge_e8 // collar.last_e8)


def refusal(
    account: Account, order: PlaceOrder, market: Quoted, lock: Lock, *, now_ms: int
) -> Reason | None:
    """Why the order is refused at log time `now_ms`, if it is."""
    limit_e8, is_limit = limit_of(order), order.order_type is LIMIT
    return (
        _shape_refusal(order.quantity_e8, limit_e8, market.terms, is_limit=is_limit)
        or _stop_refusal(order, market.terms)
        or _life_refusal(order, now_ms)
        or _value_refusal(
            order.quantity_e8,
            _market_price(order, market.collar.last_e8) if limit_e8 is None else limit_e8,
            market.collar.last_e8,
            market.terms,
        )
        or _account_refusal(account, order)
        or funds_refusal(account, lock.asset, lock.amount_e8)
    )


def replace_refusal(
    order: Order, wanted: Replacement, terms: MarketTerms, last_e8: int
) -> Reason | None:
    """Why an open order cannot become this, if it cannot; `last_e8` is the last known price."""
    is_limit = order.order_type is LIMIT
    if order.replacing is not None:
        return Reason.REPLACE_PENDING
    if wanted.price_e8 is not None and not is_limit:
        return Reason.INVALID_PRICE
    if reason := _shape_refusal(wanted.quantity_e8, wanted.price_e8, terms, is_limit=is_limit):
        return reason
    if wanted.quantity_e8 <= order.cum_quantity_e8:
        return Reason.QUANTITY_FILLED
    stop_e8 = wanted.stop_price_e8
    if stop_e8 is not None and (reason := _price_refusal(stop_e8, terms)):
        return reason
    asked = order if stop_e8 is None else replace(order, stop_price_e8=stop_e8)
    price_e8 = _market_price(asked, last_e8) if wanted.price_e8 is None else wanted.price_e8
    return _value_refusal(wanted.quantity_e8, price_e8, last_e8, terms)


def worst_price_of(order: Order, wanted: Replacement) -> int:
    """The protection price of what an open order is to become."""
    if wanted.protection_price_e8 is not None:
        return wanted.protection_price_e8
    return order.protection_price_e8 if wanted.price_e8 is None else wanted.price_e8


def need_of(order: Order) -> int:
    """What an open order may still take from its lock, and no less."""
    leaves_e8 = order.quantity_e8 - order.cum_quantity_e8
    if order.side is SELL:
        return leaves_e8
    return _cash_need(order, notional_ceil(order.protection_price_e8, leaves_e8))


def worst_fee(order: Order) -> int:
    """The fee if all of it fills at its protection price; post-only orders never take."""
    rate_ppm = order.maker_fee_ppm if order.post_only else order.taker_fee_ppm
    return fee_ceil(notional_ceil(order.protection_price_e8, order.quantity_e8), rate_ppm)


def need_while_replacing(order: Order, wanted: Replacement) -> int:
    """What it may take before and after its market replaces it.

    Whatever it trades first costs its old price, so a larger order at a lower price may need more
    than either of the two: all of the old one, and the new part at the new price.
    """
    if order.side is SELL:
        return max(order.quantity_e8, wanted.quantity_e8) - order.cum_quantity_e8
    old_price_e8, new_price_e8 = order.protection_price_e8, worst_price_of(order, wanted)
    before_e8 = notional_ceil(old_price_e8, order.quantity_e8 - order.cum_quantity_e8)
    more_e8 = notional_ceil(new_price_e8, max(0, wanted.quantity_e8 - order.quantity_e8))
    after_e8 = notional_ceil(new_price_e8, wanted.quantity_e8 - order.cum_quantity_e8)
    return _cash_need(order, max(before_e8 + more_e8, after_e8))


def _cash_need(order: Order, notional_e8: int) -> int:
    """That notional and the dearer fee on it, rounded with the fees so far as `settle` does."""
    maker_e8 = order.cum_notional_e8 - order.taker_notional_e8
    fees = (
        maker_e8 * order.maker_fee_ppm
        + order.taker_notional_e8 * order.taker_fee_ppm
        + notional_e8 * max(order.maker_fee_ppm, order.taker_fee_ppm)
    )
    return notional_e8 + -(-fees // PPM) - order.fee_e8


def _shape_refusal(
    quantity_e8: int, price_e8: int | None, terms: MarketTerms, *, is_limit: bool
) -> Reason | None:
    if quantity_e8 < QUANTITY_MIN_E8:
        return Reason.INVALID_QUANTITY
    if is_limit and (reason := _price_refusal(price_e8, terms)):
        return reason
    return Reason.LOT_SIZE if quantity_e8 % terms.lot_e8 else None


def _price_refusal(price_e8: int | None, terms: MarketTerms) -> Reason | None:
    if price_e8 is None or not 0 < price_e8 <= PRICE_MAX_E8:
        return Reason.INVALID_PRICE
    return Reason.TICK_SIZE if price_e8 % terms.tick_e8 else None


def _stop_refusal(order: PlaceOrder, terms: MarketTerms) -> Reason | None:
    """A stop takes what is there when it is triggered, and cannot know that before."""
    if order.stop_price_e8 is None:
        return None
    if order.post_only or order.time_in_force is FOK:
        return Reason.INVALID_TIME_IN_FORCE
    return _price_refusal(order.stop_price_e8, terms)


def _life_refusal(order: PlaceOrder, now_ms: int) -> Reason | None:
    time_in_force = time_in_force_of(order)
    if order.post_only and time_in_force not in RESTING:
        return Reason.INVALID_TIME_IN_FORCE
    if time_in_force is not GTD:
        return None if order.expires_at_ms is None else Reason.INVALID_EXPIRY
    is_sane = order.expires_at_ms is not None and 0 < order.expires_at_ms - now_ms <= LIFE_MAX_MS
    return None if is_sane else Reason.INVALID_EXPIRY


def _market_price(order: PlaceOrder | Order, last_e8: int) -> int:
    """What an order at market is worth: a stop the stop price, where that is not reached yet."""
    if order.stop_price_e8 is None:
        return last_e8
    return (max if order.side is BUY else min)(order.stop_price_e8, last_e8)


def _value_refusal(
    quantity_e8: int, price_e8: int, last_e8: int, terms: MarketTerms
) -> Reason | None:
    if quantity_e8 * max(price_e8, last_e8) > ORDER_VALUE_MAX_E8 * E8:
        return Reason.ORDER_VALUE
    if quantity_e8 * price_e8 < terms.min_notional_e8 * E8:
        return Reason.MIN_NOTIONAL
    return None


def _account_refusal(account: Account, order: PlaceOrder) -> Reason | None:
    if len(account.orders) >= OPEN_ORDERS_MAX:
        return Reason.OPEN_ORDERS
    if order.client_order_id is not None and order.client_order_id in account.client_order_ids:
        return Reason.DUPLICATE_CLIENT_ORDER_ID
    return None


def funds_refusal(account: Account, asset: str, amount_e8: int) -> Reason | None:
    """Why the account cannot lock that much more, if it cannot."""
    held = account.holdings.get(asset)
    if held is not None and amount_e8 <= held.free_e8:
        return None
    return Reason.INSUFFICIENT_FUNDS if asset == CASH else Reason.INSUFFICIENT_HOLDINGS
