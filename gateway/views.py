"""What traders see: orders, transactions, holdings as the contract writes them."""

from typing import Any

from gateway.answers import dollars, optional_e8
from schemas.accounts import (
    CASH,
    CancelAllRequested,
    FundsDeposited,
    FundsWithdrawn,
    Order,
    OrderChecked,
    OrderStatus,
    OrderType,
    Side,
)
from schemas.envelope import rfc3339
from schemas.money import E8, format_e8, notional_floor

_OPEN = (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED)


def order_view(order: Order, *, version: int) -> dict[str, Any]:
    """An order; `version` is the account's at the order's last change."""
    average_e8 = average_price_e8(order.cum_notional_e8, order.cum_quantity_e8)
    price_e8 = average_e8 if order.price_e8 is None else order.price_e8
    return {
        "order_id": order.order_id,
        "order_type": f"{order.order_type.lower()}_{order.side.lower()}",
        "asset_id": order.asset,
        "quantity": format_e8(order.quantity_e8),
        "price": optional_e8(price_e8),
        "status": str(order.status),
        "total_amount": optional_e8(_total_e8(order)),
        "created_at": rfc3339(order.created_at_ms),
        "client_order_id": order.client_order_id,
        "time_in_force": str(order.time_in_force),
        "expires_at": None if order.expires_at_ms is None else rfc3339(order.expires_at_ms),
        "post_only": order.post_only,
        "stop_price": optional_e8(order.stop_price_e8),
        "self_trade_prevention": str(order.self_trade_prevention),
        "filled_quantity": format_e8(order.cum_quantity_e8),
        "remaining_quantity": format_e8(_remaining_e8(order)),
        "average_price": optional_e8(average_e8),
        "fee": format_e8(order.fee_e8),
        "reject_reason": None if order.reason is None else str(order.reason),
        "updated_at": rfc3339(order.updated_at_ms),
        "version": version,
    }


def canceling_view(event: CancelAllRequested) -> dict[str, Any]:
    """The orders whose cancel went to their market."""
    return {"data": [{"order_id": each} for each in event.order_ids]}


def checked_view(event: OrderChecked) -> dict[str, Any]:
    """What an order would lock and cost at worst; the market has not been asked."""
    checked = {
        "symbol": event.symbol,
        "worst_price": format_e8(event.protection_price_e8),
        "locked_asset": event.locked_asset,
        "locked": format_e8(event.locked_e8),
        "fee_asset": CASH,
        "fee_estimate": format_e8(event.fee_e8),
    }
    return {"data": checked}


def average_price_e8(notional_e8: int, quantity_e8: int) -> int | None:
    """The roundest price that gives this notional; None when nothing was filled.

    The notional was rounded down, so prices in [n, n + 1) / q fit; of one fill, its own price.
    """
    if not quantity_e8:
        return None
    lowest, step = -(-notional_e8 * E8 // quantity_e8), E8
    while step > 1:
        rounded = -(-lowest // step) * step
        if rounded * quantity_e8 < (notional_e8 + 1) * E8:
            return rounded
        step //= 10
    return lowest


def money_view(event: FundsDeposited | FundsWithdrawn, *, time_ms: int) -> dict[str, Any]:
    """What a deposit or withdrawal answers."""
    verb = "deposited" if isinstance(event, FundsDeposited) else "withdrew"
    return {
        "success": True,
        "message": f"Successfully {verb} {dollars(event.amount_e8)}",
        "transaction_id": event.transaction_id,
        "timestamp": rfc3339(time_ms),
    }


def _remaining_e8(order: Order) -> int:
    """FIX 151 LeavesQty: nothing is left of an order that ended."""
    return order.quantity_e8 - order.cum_quantity_e8 if order.status in _OPEN else 0


def _total_e8(order: Order) -> int | None:
    """What it may come to while open, what it came to afterwards (with a buyer's fee)."""
    if order.status not in _OPEN:
        return order.cum_notional_e8 + (order.fee_e8 if order.side is Side.BUY else 0)
    if order.order_type is OrderType.MARKET or order.price_e8 is None:
        return order.cum_notional_e8 or None
    return notional_floor(order.price_e8, order.quantity_e8)
