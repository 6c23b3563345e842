"""What the reference asks of an order, as tables of what must not be; and what an order locks.

An order is the fields of `schemas.accounts.Order` by name, in 1e-8 units.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from schemas.accounts import (
    MarketTerms,
    OrderType,
    PlaceOrder,
    PriceCollar,
    Reason,
    Side,
    TimeInForce,
)
from schemas.money import E8, PPM
from simulation.reference.moment import ceil_div

Rule = tuple[bool, Reason]
"""Whether it is broken, and what is said then."""

_NEVER_RESTS: Final = {TimeInForce.IOC, TimeInForce.FOK}
_YEAR_MS: Final = 366 * 86_400_000
_PRICE_MAX: Final = 1_000_000 * E8
_VALUE_MAX: Final = 10_000 * E8


class Terms(NamedTuple):
    """What a partition knows of a market, if it does, and since when its price band."""

    known: MarketTerms | None
    band: PriceCollar | None
    band_at_ms: int

    @property
    def market(self) -> MarketTerms:
        assert self.known is not None
        return self.known

    @property
    def collar(self) -> PriceCollar:
        assert self.band is not None
        return self.band


def first(*rules: Rule) -> Reason | None:
    """The first rule that is broken."""
    return next((reason for is_broken, reason in rules if is_broken), None)


def untradable(terms: Terms, now_ms: int) -> Reason | None:
    """Why a market takes no orders now."""
    known = terms.known
    if known is None:
        return Reason.UNKNOWN_ASSET
    return first(
        (not known.is_open, Reason.MARKET_HALTED),
        (terms.band is None, Reason.NO_PRICE),
        (now_ms - terms.band_at_ms > known.stale_after_ms, Reason.NO_PRICE),
    )


def shape(order: Mapping[str, Any], terms: Terms) -> Iterator[Rule]:
    """Size and limit."""
    tick, price = terms.market.tick_e8, order["price_e8"]
    is_limit = order["order_type"] is OrderType.LIMIT
    yield not is_limit and price is not None, Reason.INVALID_PRICE
    yield order["quantity_e8"] < E8 // 1000, Reason.INVALID_QUANTITY
    if is_limit:
        yield not 0 < (price or 0) <= _PRICE_MAX, Reason.INVALID_PRICE
        yield (price or 0) % tick != 0, Reason.TICK_SIZE
    yield order["quantity_e8"] % terms.market.lot_e8 != 0, Reason.LOT_SIZE


def stop(order: Mapping[str, Any], terms: Terms) -> Iterator[Rule]:
    """The stop price, where there is one."""
    price = order["stop_price_e8"]
    if price is not None:
        at_once = order["post_only"] or order["time_in_force"] is TimeInForce.FOK
        yield at_once, Reason.INVALID_TIME_IN_FORCE
        yield not 0 < price <= _PRICE_MAX, Reason.INVALID_PRICE
        yield price % terms.market.tick_e8 != 0, Reason.TICK_SIZE


def life(asked: PlaceOrder, order: Mapping[str, Any], now_ms: int) -> Iterator[Rule]:
    """How long it may live."""
    tif, until = order["time_in_force"], asked.expires_at_ms
    yield asked.post_only and tif in _NEVER_RESTS, Reason.INVALID_TIME_IN_FORCE
    yield (until is not None) != (tif is TimeInForce.GTD), Reason.INVALID_EXPIRY
    if until is not None:
        yield not now_ms < until <= now_ms + _YEAR_MS, Reason.INVALID_EXPIRY


def value(order: Mapping[str, Any], terms: Terms) -> Iterator[Rule]:
    """Its worth in USD; one at market is worth the last price, or a worse stop price."""
    last, price = terms.collar.last_e8, order["price_e8"]
    if price is None:
        worse = max if order["side"] is Side.BUY else min
        price = last if order["stop_price_e8"] is None else worse(last, order["stop_price_e8"])
    quantity = order["quantity_e8"]
    yield quantity * max(price, last) > _VALUE_MAX * E8, Reason.ORDER_VALUE
    yield quantity * price < terms.market.min_notional_e8 * E8, Reason.MIN_NOTIONAL


def worst_price(order: Mapping[str, Any], terms: Terms) -> int:
    """The limit; at market the collar's edge, or as far beyond a stop price if that is worse."""
    collar, stop, is_buy = terms.collar, order["stop_price_e8"], order["side"] is Side.BUY
    if order["price_e8"] is not None:
        return order["price_e8"]
    edge = collar.high_e8 if is_buy else collar.low_e8
    if stop is None:
        return edge
    if is_buy:
        return max(edge, ceil_div(stop * edge, collar.last_e8))
    return min(edge, stop * edge // collar.last_e8)


def fee_so_far(order: Mapping[str, Any], taken: int = 0) -> int:
    """All its fees, rounded up once, if it trades so much more at its dearer rate."""
    maker, taker = order["maker_fee_ppm"], order["taker_fee_ppm"]
    made = order["cum_notional_e8"] - order["taker_notional_e8"]
    total = made * maker + order["taker_notional_e8"] * taker + taken * max(maker, taker)
    return ceil_div(total, PPM)


def need(order: Mapping[str, Any]) -> int:
    """What an order may still take from its lock."""
    left = order["quantity_e8"] - order["cum_quantity_e8"]
    if order["side"] is Side.SELL:
        return left
    return _cash(order, ceil_div(order["protection_price_e8"] * left, E8))


def need_of_both(order: Mapping[str, Any], wanted: Mapping[str, Any]) -> int:
    """What it may take while its market has not said whether it is now what is wanted.

    It may fill wholly as it was before the market gets there, and then only the larger rest is new.
    """
    if order["side"] is Side.SELL:
        return max(need(order), need(wanted))
    grown = max(0, wanted["quantity_e8"] - order["quantity_e8"])
    left = order["quantity_e8"] - order["cum_quantity_e8"]
    wanted_left = wanted["quantity_e8"] - order["cum_quantity_e8"]
    old, new = order["protection_price_e8"], wanted["protection_price_e8"]
    filled_before = ceil_div(old * left, E8) + ceil_div(new * grown, E8)
    return _cash(order, max(filled_before, ceil_div(new * wanted_left, E8)))


def _cash(order: Mapping[str, Any], notional: int) -> int:
    return notional + fee_so_far(order, notional) - order["fee_e8"]
