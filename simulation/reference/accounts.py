"""The reference's accounts: dictionaries that change in place, one event for each message."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from schemas.accounts import (
    CASH,
    ApplyExecution,
    ApplyReplace,
    CancelAllOrders,
    CancelAllRequested,
    Canceling,
    CancelOrder,
    CancelRequested,
    CheckOrder,
    CollarSet,
    CommandRefused,
    ContinueCancelAll,
    DepositFunds,
    EndOrder,
    EndReason,
    Execution,
    FeesSet,
    FundsDeposited,
    FundsWithdrawn,
    Holding,
    HouseTraded,
    MarketTerms,
    Order,
    OrderAccepted,
    OrderCanceled,
    OrderChecked,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderReplaced,
    OrderStatus,
    OrderTraded,
    PlaceOrder,
    Posting,
    PriceCollar,
    Reason,
    RefuseCancel,
    RefuseReplace,
    Replacement,
    ReplaceOrder,
    ReplaceRefused,
    ReplaceRequested,
    SetFees,
    Side,
    TermsSet,
    WithdrawFunds,
)
from schemas.codec import Message
from schemas.markets import CancelRestingOrder, ReplaceRestingOrder, SubmitOrder
from schemas.money import E8, PPM
from simulation.reference import rules
from simulation.reference.moment import Moment, ceil_div
from simulation.reference.owner import (
    Owner,
    as_asked,
    day_of,
    fill,
    held_of,
    holdings_of,
    legs_of,
    realize,
)
from simulation.reference.rules import Terms

if TYPE_CHECKING:
    from schemas.fees import Tiers

_FINAL_MAX: Final = 100
_CANCELS_MAX: Final = 100
_DAILY_E8: Final = {DepositFunds: 10_000 * E8, WithdrawFunds: 5_000 * E8}
_ENDS: Final = {
    EndReason.FILLED: OrderFilled,
    EndReason.CANCELED: OrderCanceled,
    EndReason.EXPIRED: OrderExpired,
    EndReason.REJECTED: OrderRejected,
}

Moved = tuple[tuple[Holding, ...], tuple[Posting, ...]]


class Accounts:
    """One partition; `sent` is what it told others, as (inbox, key, message)."""

    def __init__(self) -> None:
        self.owners: Final[dict[str, Owner]] = {}
        self.terms: Final[dict[str, MarketTerms]] = {}
        self.collars: Final[dict[str, tuple[PriceCollar, int]]] = {}
        self.tiers: Tiers = ()
        self.sent: list[tuple[str, str | None, Message]] = []
        self._takes: Final[Mapping[type, Callable[[Any, Moment], Message]]] = {
            DepositFunds: self._move_cash,
            WithdrawFunds: self._move_cash,
            PlaceOrder: self._place,
            CheckOrder: self._check,
            CancelOrder: self._cancel,
            CancelAllOrders: self._cancel_all,
            ContinueCancelAll: self._cancel_all,
            ReplaceOrder: self._replace,
            ApplyExecution: self._settle,
            EndOrder: self._end,
            ApplyReplace: self._replaced,
            RefuseReplace: self._unreplaced,
            RefuseCancel: self._uncanceled,
            PriceCollar: self._learn_collar,
            MarketTerms: self._learn_terms,
            SetFees: self._learn_fees,
        }

    def take(self, message: Message, at: Moment) -> list[Message]:
        """The events that a message leads to."""
        return [self._takes[type(message)](message, at)]

    def _owner(self, account_id: str) -> Owner:
        return self.owners.setdefault(account_id, Owner())

    # --- cash ----------------------------------------------------------------------------------

    def _move_cash(self, asked: DepositFunds | WithdrawFunds, at: Moment) -> Message:
        owner, amount = self._owner(asked.account_id), asked.amount_e8
        is_in, kind = isinstance(asked, DepositFunds), type(asked)
        day = (kind, day_of(at))
        total = owner.daily.get(day, 0) + amount
        is_amount = 0 < amount <= 1_000_000 * E8 and amount % (E8 // 100) == 0
        limit = Reason.DEPOSIT_LIMIT if is_in else Reason.WITHDRAWAL_LIMIT
        reason = rules.first(
            (not is_amount, Reason.INVALID_AMOUNT),
            (total > _DAILY_E8[kind], limit),
            (not is_in and amount > owner.free(CASH), Reason.INSUFFICIENT_FUNDS),
        )
        if reason is not None:
            command = "deposit-funds" if is_in else "withdraw-funds"
            return CommandRefused(account_id=asked.account_id, command=command, reason=reason)
        owner.daily[day] = total
        owner.movements += 1
        signed = amount if is_in else -amount
        held_of(owner, CASH, at).free += signed
        own = Posting(asked.account_id, CASH, "free", signed)
        other = Posting("external", CASH, "free", -signed)
        return (FundsDeposited if is_in else FundsWithdrawn)(
            account_id=asked.account_id,
            transaction_id=at.new_id(),
            amount_e8=amount,
            day_total_e8=total,
            holdings=holdings_of(owner, CASH),
            postings=(other, own) if is_in else (own, other),
            transactions=owner.movements,
        )

    # --- orders --------------------------------------------------------------------------------

    def _place(self, asked: PlaceOrder, at: Moment) -> OrderAccepted | OrderRejected:
        order, reason = self._consider(asked, at)
        if reason is not None:
            order |= {"status": OrderStatus.REJECTED, "reason": reason}
            return OrderRejected(account_id=asked.account_id, order=Order(**order))
        owner = self._owner(asked.account_id)
        owner.accepted += 1
        owner.orders[order["order_id"]] = order
        holdings, postings = self._lock(asked.account_id, order, order.pop("need"), at)
        self._submit(asked.account_id, order, at)
        return OrderAccepted(
            account_id=asked.account_id,
            order=Order(**order),
            deadline_ms=at.expires_at_ms,
            holdings=holdings,
            postings=postings,
        )

    def _check(self, asked: CheckOrder, at: Moment) -> Message:
        account_id = asked.order.account_id
        order, reason = self._consider(asked.order, at)
        if reason is not None:
            return CommandRefused(account_id=account_id, command="check-order", reason=reason)
        rate = order["maker_fee_ppm" if order["post_only"] else "taker_fee_ppm"]
        worst = ceil_div(order["protection_price_e8"] * order["quantity_e8"], E8)
        return OrderChecked(
            account_id=account_id,
            symbol=order["symbol"],
            protection_price_e8=order["protection_price_e8"],
            locked_asset=order["locked_asset"],
            locked_e8=order["need"],
            fee_e8=ceil_div(worst * rate, PPM),
        )

    def _consider(self, asked: PlaceOrder, at: Moment) -> tuple[dict[str, Any], Reason | None]:
        """The order as it would be, with what it `need`s; or as it was asked, and why not."""
        order = as_asked(asked, at)
        terms = self._terms(order["symbol"])
        if (reason := rules.untradable(terms, at.time_ms)) is not None:
            return order, reason
        owner = self._owner(asked.account_id)
        maker, taker = owner.rates(self.tiers, terms.market, at)
        is_sell = asked.side is Side.SELL
        priced: dict[str, Any] = order | {
            "number": owner.accepted + 1,
            "maker_fee_ppm": maker,
            "taker_fee_ppm": taker,
            "protection_price_e8": rules.worst_price(order, terms),
            "locked_asset": asked.asset if is_sell else CASH,
            "locked_e8": 0,
        }
        priced["need"] = rules.need(priced)
        lacks = Reason.INSUFFICIENT_HOLDINGS if is_sell else Reason.INSUFFICIENT_FUNDS
        reason = rules.first(
            *rules.shape(order, terms),
            *rules.stop(order, terms),
            *rules.life(asked, order, at.time_ms),
            *rules.value(order, terms),
            (len(owner.orders) >= 500, Reason.OPEN_ORDERS),
            (owner.is_taken(asked.client_order_id), Reason.DUPLICATE_CLIENT_ORDER_ID),
            (priced["need"] > owner.free(priced["locked_asset"]), lacks),
        )
        return (priced, None) if reason is None else (order, reason)

    def _submit(self, account_id: str, order: Mapping[str, Any], at: Moment) -> None:
        same = ("symbol", "order_id", "side", "order_type", "time_in_force", "quantity_e8")
        more = ("price_e8", "protection_price_e8", "expires_at_ms", "post_only", "stop_price_e8")
        submit = SubmitOrder(
            account_id=account_id,
            deadline_ms=at.expires_at_ms,
            self_trade_prevention=order["self_trade_prevention"],
            **{name: order[name] for name in (*same, *more)},
        )
        self.sent.append(("markets", order["symbol"], submit))

    def _cancel(self, asked: CancelOrder, at: Moment) -> Message:
        order = self._owner(asked.account_id).orders.get(asked.order_id)
        if order is None:
            return self._gone(asked, "cancel-order")
        order["updated_at_ms"] = at.time_ms
        self._forward_cancel(asked.account_id, order)
        return CancelRequested(account_id=asked.account_id, order=Order(**order))

    def _forward_cancel(self, account_id: str, order: Mapping[str, Any]) -> None:
        symbol, order_id = order["symbol"], order["order_id"]
        cancel = CancelRestingOrder(symbol=symbol, account_id=account_id, order_id=order_id)
        self.sent.append(("markets", symbol, cancel))

    def _cancel_all(
        self, asked: CancelAllOrders | ContinueCancelAll, _at: Moment
    ) -> CancelAllRequested:
        owner, told = self._owner(asked.account_id), ()
        first, last = 0, owner.accepted
        if isinstance(asked, ContinueCancelAll):
            first, last, told = asked.after_number, asked.until_number, asked.order_ids
        due = [
            each
            for each in owner.orders.values()
            if first < each["number"] <= last and asked.asset in {None, each["asset"]}
        ]
        now = due[:_CANCELS_MAX]
        for each in now:
            self._forward_cancel(asked.account_id, each)
        order_ids = (*told, *(each["order_id"] for each in now))
        more = None
        if len(due) > len(now):
            more = ContinueCancelAll(
                account_id=asked.account_id,
                asset=asked.asset,
                after_number=now[-1]["number"],
                until_number=last,
                order_ids=order_ids,
            )
            self.sent.append(("accounts", asked.account_id, more))
        canceling = [Canceling(order_id=each["order_id"], symbol=each["symbol"]) for each in now]
        return CancelAllRequested(
            account_id=asked.account_id, orders=tuple(canceling), order_ids=order_ids, next=more
        )

    def _replace(self, asked: ReplaceOrder, at: Moment) -> Message:
        owner = self._owner(asked.account_id)
        order = owner.orders.get(asked.order_id)
        if order is None:
            return self._gone(asked, "replace-order")
        terms = self._terms(order["symbol"])
        wanted, new = _wanted(order, asked, terms)
        more = max(0, rules.need_of_both(order, wanted) - order["locked_e8"])
        is_cash = order["locked_asset"] == CASH
        lacks = Reason.INSUFFICIENT_FUNDS if is_cash else Reason.INSUFFICIENT_HOLDINGS
        is_stop = order["stop_price_e8"] is not None
        reason = rules.first(
            (asked.stop_price_e8 is not None and not is_stop, Reason.NOT_A_STOP),
            (order["replacing"] is not None, Reason.REPLACE_PENDING),
            *rules.shape(wanted, terms),
            (wanted["quantity_e8"] <= order["cum_quantity_e8"], Reason.QUANTITY_FILLED),
            *rules.stop(wanted, terms),
            *rules.value(wanted, terms),
            (more > owner.free(order["locked_asset"]), lacks),
        )
        if reason is not None:
            return self._gone(asked, "replace-order", reason)
        order |= {"replacing": Replacement(**new), "updated_at_ms": at.time_ms}
        holdings, postings = self._lock(asked.account_id, order, more, at)
        who = {"account_id": asked.account_id, "order_id": asked.order_id}
        forwarded = ReplaceRestingOrder(symbol=order["symbol"], **who, **new)
        self.sent.append(("markets", order["symbol"], forwarded))
        return ReplaceRequested(
            account_id=asked.account_id,
            order=Order(**order),
            holdings=holdings,
            postings=postings,
        )

    def _gone(
        self,
        asked: CancelOrder | ReplaceOrder | RefuseReplace,
        command: str,
        reason: Reason | None = None,
    ) -> CommandRefused:
        final = [order_id for order_id, _ in self._owner(asked.account_id).final]
        why = Reason.ORDER_FINAL if asked.order_id in final else Reason.UNKNOWN_ORDER
        return CommandRefused(
            account_id=asked.account_id,
            command=command,
            reason=reason or why,
            order_id=asked.order_id,
        )

    # --- what markets say ----------------------------------------------------------------------

    def _settle(self, leg: ApplyExecution, at: Moment) -> OrderTraded | HouseTraded:
        owner = self._owner(leg.account_id)
        order = None if leg.order_id is None else owner.orders[leg.order_id]
        fee = 0 if order is None else fill(order, leg, at)
        bucket = "free" if order is None else "locked"
        execution = Execution(
            trade_id=leg.trade_id,
            price_e8=leg.price_e8,
            quantity_e8=leg.quantity_e8,
            notional_e8=leg.notional_e8,
            fee_e8=fee,
            liquidity=leg.liquidity,
        )
        cash, asset = held_of(owner, CASH, at), held_of(owner, leg.asset, at)
        if leg.side is Side.BUY:
            paid = leg.notional_e8 + fee
            setattr(cash, bucket, getattr(cash, bucket) - paid)
            asset.free += leg.quantity_e8
            asset.cost += paid if order is not None else 0
        else:
            if order is not None:
                realize(asset, leg, fee)
            setattr(asset, bucket, getattr(asset, bucket) - leg.quantity_e8)
            cash.free += leg.notional_e8 - fee
        holdings = holdings_of(owner, CASH, leg.asset)
        postings = legs_of(leg, bucket, fee)
        if order is None:
            return HouseTraded(
                account_id=leg.account_id,
                symbol=leg.symbol,
                side=leg.side,
                execution=execution,
                holdings=holdings,
                postings=postings,
            )
        owner.movements += 2 if fee else 1
        owner.traded.append((day_of(at), leg.notional_e8))
        return OrderTraded(
            account_id=leg.account_id,
            order=Order(**order),
            execution=execution,
            holdings=holdings,
            postings=postings,
            transactions=owner.movements,
            day_volume_e8=owner.volume(day_of(at)),
        )

    def _end(self, fact: EndOrder, at: Moment) -> Message:
        owner = self._owner(fact.account_id)
        order = owner.orders.pop(fact.order_id)
        assert order["cum_quantity_e8"] == fact.cum_quantity_e8
        owner.final = [*owner.final, (fact.order_id, order["client_order_id"])][-_FINAL_MAX:]
        order |= {
            "status": OrderStatus[fact.end.name],
            "reason": fact.reason,
            "replacing": None,
            "updated_at_ms": at.time_ms,
        }
        holdings, postings = self._lock(fact.account_id, order, -order["locked_e8"], at)
        return _ENDS[fact.end](
            account_id=fact.account_id,
            order=Order(**order),
            holdings=holdings,
            postings=postings[::-1],
        )

    def _replaced(self, fact: ApplyReplace, at: Moment) -> OrderReplaced:
        order = self._owner(fact.account_id).orders[fact.order_id]
        changes = {"quantity_e8": fact.quantity_e8, "price_e8": fact.price_e8}
        if fact.price_e8 is not None:
            changes["protection_price_e8"] = fact.price_e8
        if fact.stop_price_e8 is not None:
            changes["stop_price_e8"] = fact.stop_price_e8
            changes["protection_price_e8"] = order["replacing"].protection_price_e8
        order |= changes
        holdings, postings = self._fit(fact.account_id, order, at)
        return OrderReplaced(
            account_id=fact.account_id, order=Order(**order), holdings=holdings, postings=postings
        )

    def _unreplaced(self, fact: RefuseReplace, at: Moment) -> Message:
        order = self._owner(fact.account_id).orders.get(fact.order_id)
        if order is None:
            return self._gone(fact, "replace-order", fact.reason)
        holdings, postings = self._fit(fact.account_id, order, at)
        return ReplaceRefused(
            account_id=fact.account_id,
            order=Order(**order),
            reason=fact.reason,
            holdings=holdings,
            postings=postings,
        )

    def _uncanceled(self, fact: RefuseCancel, _at: Moment) -> CommandRefused:
        return CommandRefused(
            account_id=fact.account_id,
            command="cancel-order",
            reason=fact.reason,
            order_id=fact.order_id,
        )

    def _learn_collar(self, fact: PriceCollar, at: Moment) -> CollarSet:
        self.collars[fact.symbol] = (fact, at.time_ms)
        return CollarSet(
            symbol=fact.symbol, last_e8=fact.last_e8, low_e8=fact.low_e8, high_e8=fact.high_e8
        )

    def _learn_terms(self, fact: MarketTerms, _at: Moment) -> TermsSet:
        self.terms[fact.symbol] = fact
        return TermsSet(terms=fact)

    def _learn_fees(self, asked: SetFees, _at: Moment) -> FeesSet:
        self.tiers = asked.tiers
        return FeesSet(tiers=asked.tiers)

    # --- locks ---------------------------------------------------------------------------------

    def _terms(self, symbol: str) -> Terms:
        collar, collar_at_ms = self.collars.get(symbol, (None, 0))
        return Terms(self.terms.get(symbol), collar, collar_at_ms)

    def _fit(self, account_id: str, order: dict[str, Any], at: Moment) -> Moved:
        """Keep what the order may need, and give back the rest."""
        order |= {"replacing": None, "updated_at_ms": at.time_ms}
        return self._lock(account_id, order, rules.need(order) - order["locked_e8"], at)

    def _lock(self, account_id: str, order: dict[str, Any], more: int, at: Moment) -> Moved:
        """Lock that much more of what the order pays with, or less."""
        if more == 0:
            return (), ()
        owner, asset = self._owner(account_id), order["locked_asset"]
        order["locked_e8"] += more
        held = held_of(owner, asset, at)
        held.free, held.locked = held.free - more, held.locked + more
        out, into = (
            Posting(account_id, asset, *each) for each in (("free", -more), ("locked", more))
        )
        return holdings_of(owner, asset), (out, into)


def _wanted(
    order: dict[str, Any], asked: ReplaceOrder, terms: Terms
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The order as it would be, and what its market is told."""
    wanted = order | {"replacing": None}
    if asked.quantity_e8 is not None:
        wanted["quantity_e8"] = asked.quantity_e8
    if asked.price_e8 is not None:
        wanted |= {"price_e8": asked.price_e8, "protection_price_e8": asked.price_e8}
    told = ["quantity_e8", "price_e8"]
    if asked.stop_price_e8 is not None:
        wanted["stop_price_e8"] = asked.stop_price_e8
        wanted["protection_price_e8"] = rules.worst_price(wanted, terms)
        told += ["stop_price_e8", "protection_price_e8"]
    return wanted, {name: wanted[name] for name in told}
