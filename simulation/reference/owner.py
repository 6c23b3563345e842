"""The reference's account: what it has, its open orders, and what its fills did to both."""

from dataclasses import dataclass, field
from typing import Any, Final

from schemas.accounts import (
    CASH,
    ApplyExecution,
    Holding,
    Liquidity,
    MarketTerms,
    OrderStatus,
    OrderType,
    PlaceOrder,
    Posting,
    Side,
    TimeInForce,
)
from schemas.fees import Tiers
from schemas.money import PPM
from simulation.reference import rules
from simulation.reference.moment import Moment

_DAY_MS: Final = 86_400_000
_VOLUME_DAYS: Final = 30


@dataclass(slots=True)
class Held:
    """What an account has of an asset."""

    since_ms: int
    free: int = 0
    locked: int = 0
    cost: int = 0
    realized: int = 0


@dataclass(slots=True)
class Owner:
    """An account; an open order is the fields of its `Order` by name."""

    held: dict[str, Held] = field(default_factory=dict[str, Held])
    orders: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    final: list[tuple[str, str | None]] = field(default_factory=list[tuple[str, str | None]])
    daily: dict[tuple[type, int], int] = field(default_factory=dict[tuple[type, int], int])
    traded: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    """The day and the notional of each fill."""
    accepted: int = 0
    movements: int = 0

    def free(self, asset: str) -> int:
        held = self.held.get(asset)
        return 0 if held is None else held.free

    def is_taken(self, client_order_id: str | None) -> bool:
        """Whether an open order or one of the last hundred has this id."""
        known = [each["client_order_id"] for each in self.orders.values()]
        known += [each for _, each in self.final]
        return client_order_id is not None and client_order_id in known

    def volume(self, first_day: int) -> int:
        """What it traded since the beginning of a day."""
        return sum(notional for day, notional in self.traded if day >= first_day)

    def rates(self, tiers: Tiers, terms: MarketTerms, at: Moment) -> tuple[int, int]:
        """What a maker and a taker pay, the market's part included, in parts per million."""
        volume = self.volume(day_of(at) - (_VOLUME_DAYS - 1))
        reached = [each for each in tiers if each.volume_e8 <= volume]
        tier = max(reached, key=lambda each: each.volume_e8, default=None)
        maker, taker = (0, 0) if tier is None else (tier.maker_fee_ppm, tier.taker_fee_ppm)
        return min(maker + terms.maker_fee_ppm, PPM), min(taker + terms.taker_fee_ppm, PPM)


def day_of(at: Moment) -> int:
    return at.time_ms // _DAY_MS


def as_asked(asked: PlaceOrder, at: Moment) -> dict[str, Any]:
    """The fields of an order as a client asks for it, before anything is known about it."""
    is_market, is_stop = asked.order_type is OrderType.MARKET, asked.stop_price_e8 is not None
    tif = asked.time_in_force
    if is_market and not is_stop and tif is not TimeInForce.FOK:
        tif = TimeInForce.IOC
    midnight_ms = at.time_ms - at.time_ms % _DAY_MS + _DAY_MS
    return {
        "order_id": at.new_id(),
        "number": 0,
        "symbol": asked.asset + "-USD",
        "asset": asked.asset,
        "side": asked.side,
        "order_type": asked.order_type,
        "time_in_force": tif,
        "quantity_e8": asked.quantity_e8,
        "price_e8": None if is_market else asked.price_e8,
        "cum_quantity_e8": 0,
        "cum_notional_e8": 0,
        "taker_notional_e8": 0,
        "fee_e8": 0,
        "status": OrderStatus.NEW,
        "client_order_id": asked.client_order_id,
        "command_id": at.command_id,
        "created_at_ms": at.time_ms,
        "updated_at_ms": at.time_ms,
        "expires_at_ms": midnight_ms if tif is TimeInForce.DAY else asked.expires_at_ms,
        "post_only": asked.post_only,
        "replacing": None,
        "stop_price_e8": asked.stop_price_e8,
        "self_trade_prevention": asked.self_trade_prevention,
    }


def fill(order: dict[str, Any], leg: ApplyExecution, at: Moment) -> int:
    """Count one leg in its order; returns the fee on it."""
    is_taker = leg.liquidity is Liquidity.TAKER
    order["cum_quantity_e8"] += leg.quantity_e8
    order["cum_notional_e8"] += leg.notional_e8
    order["taker_notional_e8"] += leg.notional_e8 if is_taker else 0
    fee = rules.fee_so_far(order) - order["fee_e8"]
    order["fee_e8"] += fee
    is_buy = leg.side is Side.BUY
    order["locked_e8"] -= leg.notional_e8 + fee if is_buy else leg.quantity_e8
    assert order["locked_e8"] >= 0, "an order pays more than it locked"
    assert order["cum_quantity_e8"] == leg.cum_quantity_e8 <= order["quantity_e8"]
    is_filled = order["cum_quantity_e8"] == order["quantity_e8"]
    order["status"] = OrderStatus.FILLED if is_filled else OrderStatus.PARTIALLY_FILLED
    order["updated_at_ms"] = at.time_ms
    return fee


def realize(asset: Held, leg: ApplyExecution, fee: int) -> None:
    """What is sold takes its share of the cost along, at the average."""
    cost = asset.cost * leg.quantity_e8 // (asset.free + asset.locked)
    asset.cost -= cost
    asset.realized += leg.notional_e8 - fee - cost


def legs_of(leg: ApplyExecution, bucket: str, fee: int) -> tuple[Posting, ...]:
    """The account against the market's clearing, and what goes to the fees."""
    account, through = leg.account_id, "clearing:" + leg.symbol
    if leg.side is Side.BUY:
        legs = (
            Posting(account, CASH, bucket, -leg.notional_e8 - fee),
            Posting(through, CASH, "free", leg.notional_e8),
            Posting(through, leg.asset, "free", -leg.quantity_e8),
            Posting(account, leg.asset, "free", leg.quantity_e8),
        )
    else:
        legs = (
            Posting(account, leg.asset, bucket, -leg.quantity_e8),
            Posting(through, leg.asset, "free", leg.quantity_e8),
            Posting(through, CASH, "free", -leg.notional_e8),
            Posting(account, CASH, "free", leg.notional_e8 - fee),
        )
    return (*legs, Posting("fees", CASH, "free", fee)) if fee else legs


def held_of(owner: Owner, asset: str, at: Moment) -> Held:
    return owner.held.setdefault(asset, Held(at.time_ms))


def holdings_of(owner: Owner, *assets: str) -> tuple[Holding, ...]:
    return tuple(_holding(asset, owner.held[asset]) for asset in assets)


def _holding(asset: str, held: Held) -> Holding:
    return Holding(
        asset=asset,
        free_e8=held.free,
        locked_e8=held.locked,
        cost_e8=held.cost,
        realized_e8=held.realized,
        created_at_ms=held.since_ms,
    )
