"""What a market decides: pure functions from a book and a command to events."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

from msgspec.structs import replace

from consumers.markets.book import Book, Collar, Resting
from consumers.markets.matching import (
    EXPIRIES_MAX,
    FILLS_MAX,
    OPPOSITE,
    Fill,
    Stop,
    Sweep,
    crossed,
    house_offer,
    offered_sizes,
    price_of,
    sweep,
)
from consumers.markets.state import Markets
from consumers.markets.stops import StopOrder, is_reached
from consumers.markets.triggering import triggered, with_triggers
from runtime.errors import Halted, InvariantBroken
from schemas.accounts import BUY, FOK, LIMIT, MARKET, RESTING, EndReason, Reason, Side
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.markets import (
    ActivateStop,
    CancelRefused,
    CancelRestingOrder,
    ClockTicked,
    CollarMoved,
    CommandRefused,
    HaltMarket,
    ListMarket,
    MarketHalted,
    MarketListed,
    MarketResumed,
    OrderEnded,
    OrderReplaced,
    OrderRested,
    Party,
    Quote,
    QuoteUpdated,
    ReplaceRefused,
    ReplaceRestingOrder,
    ResumeMarket,
    Rules,
    StopArmed,
    StopsTriggered,
    SubmitOrder,
    TickClock,
    TradeExecuted,
    TriggerStops,
    UpdateQuote,
)
from schemas.money import PPM, notional_floor

UNKNOWN_MARKET: Final = "unknown-market"
OTHER_ASSET: Final = "other-asset"
INVALID_RULES: Final = "invalid-rules"
INVALID_QUOTE: Final = "invalid-quote"
STALE_SEQUENCE: Final = "stale-sequence"
TOO_MANY_FEEDS: Final = "too-many-feeds"

FEEDS_MAX: Final = 16
COLLAR_MOVE_PPM: Final = 1_000
COLLAR_PAUSE_MS: Final = 1_000
_ENDS: Final = {
    Stop.FILLED: (EndReason.FILLED, None),
    Stop.FILLS: (EndReason.EXPIRED, Reason.FILL_LIMIT),
    Stop.SELF: (EndReason.CANCELED, Reason.SELF_TRADE),
}
"""How an order ends, whatever it says, because of why its sweep went no further."""


def decide(state: Markets, command: Message, cause: Cause) -> Sequence[Message]:
    """The events that a command leads to; none where it asks for what is already so.

    Raises:
        Halted: an order that is in the book already was submitted again.
        InvariantBroken: a message that is not a command of markets.
    """
    match command:
        case SubmitOrder():
            return submit(state, command, cause)
        case CancelRestingOrder():
            return (cancel(state.books.get(command.symbol), command),)
        case ReplaceRestingOrder():
            return replace_order(state.books.get(command.symbol), command, cause)
        case UpdateQuote():
            return update_quote(state.books.get(command.symbol), command, cause)
        case TickClock() | ActivateStop() | TriggerStops():
            return _go_on(state, command, cause)
        case ListMarket() | HaltMarket() | ResumeMarket():
            return _operate(state.books.get(command.symbol), command, cause)
        case _:
            raise InvariantBroken(f"{command.TYPE} is not a command of markets")


# --- orders ------------------------------------------------------------------------------------


def submit(state: Markets, order: SubmitOrder, cause: Cause) -> Sequence[Message]:
    """Match the order; what is left rests, or ends with a reason. A stop waits for its price."""
    book = state.books.get(order.symbol)
    if book is None or book.rules is None:
        return (_ended(order, EndReason.REJECTED, 0, Reason.UNKNOWN_ASSET),)
    if book.find(order.order_id) is not None:
        raise Halted(f"order {order.order_id} was submitted twice")
    turned_away = _turned_away(book, order, cause.time_ms)
    if turned_away is not None:
        return (turned_away,)
    if order.stop_price_e8 is None:
        return with_triggers(book, _matched(book, order, cause), cause)
    if book.last_e8 is None or not is_reached(order, book.last_e8):
        waiting = replace(order, deadline_ms=None)
        return (StopArmed(symbol=book.symbol, number=book.stops.count + 1, order=waiting),)
    return with_triggers(book, _matched(book, _released(book, order), cause), cause)


def _matched(book: Book, order: SubmitOrder, cause: Cause) -> Sequence[Message]:
    swept = sweep(book, order, order.quantity_e8, now_ms=cause.time_ms)
    if not (swept.fills or swept.over or swept.own or swept.stop is Stop.SELF):
        return (_remainder(order, swept),)
    if order.post_only and _would_trade(swept):
        return (_ended(order, EndReason.EXPIRED, 0, Reason.POST_ONLY),)
    if order.time_in_force is FOK and swept.leaves_e8:
        return (_killed(order, swept.stop),)
    return (*_taken(book, order, swept, cause), _remainder(order, swept))


def _go_on(
    state: Markets, command: TickClock | ActivateStop | TriggerStops, cause: Cause
) -> Sequence[Message]:
    """What falls due by time, or was triggered; nothing where that is gone."""
    if isinstance(command, TickClock):
        return tick(state, cause)
    book = state.books.get(command.symbol)
    if book is None:
        return ()
    if isinstance(command, ActivateStop):
        return activate(book, command, cause)
    return triggered(book, command, cause) if book.is_open else ()


def activate(book: Book, command: ActivateStop, cause: Cause) -> Sequence[Message]:
    """Match a triggered stop as the order that it is without its stop price.

    Where the market was halted meanwhile it waits again, at its old place.
    """
    stop = book.stops.orders.get(command.order_id)
    if stop is None or not stop.is_triggered:
        return ()
    if not book.is_open:
        return (StopArmed(symbol=book.symbol, number=stop.number, order=stop.order),)
    turned_away = _turned_away(book, stop.order, cause.time_ms)
    if turned_away is not None:
        return (turned_away,)
    return with_triggers(book, _matched(book, _released(book, stop.order), cause), cause)


def _released(book: Book, order: SubmitOrder) -> SubmitOrder:
    """The order that a triggered stop is.

    A sell at market goes down to the collar of now if that is lower, because it locked no price; a
    buy never pays more than what it locked.
    """
    is_bound = order.order_type is LIMIT or order.side is BUY
    if is_bound or book.last_e8 is None or book.rules is None:
        return order
    low_e8 = _low_edge(book.rules, book.last_e8)
    return replace(order, protection_price_e8=min(order.protection_price_e8, low_e8))


def _turned_away(book: Book, order: SubmitOrder, now_ms: int) -> OrderEnded | None:
    if not book.is_open:
        return _ended(order, EndReason.REJECTED, 0, Reason.MARKET_HALTED)
    if order.deadline_ms is not None and now_ms > order.deadline_ms:
        return _ended(order, EndReason.EXPIRED, 0, Reason.DEADLINE)
    if order.expires_at_ms is not None and now_ms >= order.expires_at_ms:
        return _ended(order, EndReason.EXPIRED, 0, Reason.EXPIRED)
    return None


def _would_trade(swept: Sweep) -> bool:
    """Whether it meets another order at its price, be it one's own."""
    return bool(swept.fills or swept.own) or swept.stop is Stop.SELF


def _killed(order: SubmitOrder, stop: Stop) -> OrderEnded:
    if stop is Stop.FILLS:
        return _ended(order, EndReason.REJECTED, 0, Reason.FILL_LIMIT)
    if stop is Stop.SELF:
        return _ended(order, EndReason.CANCELED, 0, Reason.SELF_TRADE)
    return _ended(order, EndReason.EXPIRED, 0, _shortage(order, stop))


def _shortage(order: SubmitOrder, stop: Stop) -> Reason:
    beyond = stop is Stop.PRICE and order.order_type is MARKET
    return Reason.COLLAR if beyond else Reason.NO_LIQUIDITY


def _remainder(order: SubmitOrder, swept: Sweep) -> Message:
    cum_e8 = order.quantity_e8 - swept.leaves_e8
    if (end := _ENDS.get(swept.stop)) is not None:
        reached, reason = end
        return _ended(order, reached, cum_e8, reason)
    if order.price_e8 is not None and _may_rest(order):
        return OrderRested(
            symbol=order.symbol,
            account_id=order.account_id,
            order_id=order.order_id,
            side=order.side,
            price_e8=order.price_e8,
            quantity_e8=order.quantity_e8,
            leaves_e8=swept.leaves_e8,
            time_in_force=order.time_in_force,
            expires_at_ms=order.expires_at_ms,
            post_only=order.post_only,
            self_trade_prevention=order.self_trade_prevention,
        )
    return _ended(order, EndReason.EXPIRED, cum_e8, _shortage(order, swept.stop))


def _may_rest(order: SubmitOrder) -> bool:
    return order.order_type is LIMIT and order.time_in_force in RESTING


def _ended(
    order: SubmitOrder, end: EndReason, cum_quantity_e8: int, reason: Reason | None = None
) -> OrderEnded:
    return OrderEnded(
        symbol=order.symbol,
        account_id=order.account_id,
        order_id=order.order_id,
        end=end,
        cum_quantity_e8=cum_quantity_e8,
        reason=reason,
    )


def cancel(book: Book | None, command: CancelRestingOrder) -> Message:
    """Take the order out, halted or not; what is no longer in the book is final."""
    found = None if book is None else book.find(command.order_id)
    if found is None or found.account_id != command.account_id:
        return CancelRefused(
            symbol=command.symbol,
            account_id=command.account_id,
            order_id=command.order_id,
            reason=Reason.ORDER_FINAL,
        )
    end, reason = EndReason.CANCELED, Reason.CANCELED_BY_USER
    return _left(command.symbol, found, end, reason, answers_cause=True)


def _over(book: Book, order: Resting | StopOrder) -> OrderEnded:
    return _left(book.symbol, order, EndReason.EXPIRED, Reason.EXPIRED)


def _left(
    symbol: str,
    order: Resting | StopOrder,
    end: EndReason,
    reason: Reason,
    *,
    answers_cause: bool = False,
) -> OrderEnded:
    """The end of an order that leaves the book with what it has traded so far."""
    return OrderEnded(
        symbol=symbol,
        account_id=order.account_id,
        order_id=order.order_id,
        end=end,
        cum_quantity_e8=order.cum_quantity_e8,
        reason=reason,
        answers_cause=answers_cause,
    )


def replace_order(
    book: Book | None, command: ReplaceRestingOrder, cause: Cause
) -> Sequence[Message]:
    """Change the order where it lies, or let it come anew with its new terms, or say why not."""
    resting = None if book is None else book.find(command.order_id)
    if book is None or resting is None or resting.account_id != command.account_id:
        return (_unreplaced(command, Reason.ORDER_FINAL),)
    if resting.is_over(cause.time_ms):
        return (_over(book, resting), _unreplaced(command, Reason.ORDER_FINAL))
    if isinstance(resting, StopOrder):
        return _stop_changed(book, command, resting)
    if reason := _replace_refusal(book, command, resting):
        return (_unreplaced(command, reason),)
    if command.price_e8 == resting.price_e8 and command.quantity_e8 <= resting.quantity_e8:
        return (_replaced(command, resting, keeps_priority=True),)
    return _come_anew(book, command, resting, cause)


def _stop_changed(book: Book, command: ReplaceRestingOrder, stop: StopOrder) -> Sequence[Message]:
    """A stop keeps its place whatever it becomes, unless it gets another stop price."""
    if not book.is_open:
        return (_unreplaced(command, Reason.MARKET_HALTED),)
    if (command.price_e8 is None) != (stop.order.price_e8 is None):
        return (_unreplaced(command, Reason.INVALID_PRICE),)
    if command.stop_price_e8 is None:
        return (_replaced(command, stop, keeps_priority=True),)
    if stop.is_triggered:
        return (_unreplaced(command, Reason.STOP_TRIGGERED),)
    return _armed_anew(book, command, stop)


def _armed_anew(book: Book, command: ReplaceRestingOrder, stop: StopOrder) -> Sequence[Message]:
    """The stop comes last at its new stop price; where that is reached it is triggered now."""
    order = replace(
        stop.order,
        quantity_e8=command.quantity_e8,
        price_e8=command.price_e8,
        protection_price_e8=command.protection_price_e8 or stop.order.protection_price_e8,
        stop_price_e8=command.stop_price_e8,
    )
    replaced = _replaced(command, stop, keeps_priority=False)
    armed = StopArmed(symbol=book.symbol, number=book.stops.count + 1, order=order)
    last_e8 = book.last_e8
    if last_e8 is None or not is_reached(order, last_e8):
        return (replaced, armed)
    now = StopsTriggered(
        symbol=book.symbol, low_e8=last_e8, high_e8=last_e8, order_ids=(order.order_id,)
    )
    return (replaced, armed, now)


def _replace_refusal(book: Book, command: ReplaceRestingOrder, resting: Resting) -> Reason | None:
    if not book.is_open:
        return Reason.MARKET_HALTED
    if command.stop_price_e8 is not None:
        return Reason.STOP_TRIGGERED
    if command.quantity_e8 <= resting.cum_quantity_e8:
        return Reason.QUANTITY_FILLED
    return Reason.INVALID_PRICE if command.price_e8 is None else None


def _come_anew(
    book: Book, command: ReplaceRestingOrder, resting: Resting, cause: Cause
) -> Sequence[Message]:
    order = _renewed(command, resting)
    leaves_e8 = order.quantity_e8 - resting.cum_quantity_e8
    swept = sweep(book, order, leaves_e8, now_ms=cause.time_ms)
    if order.post_only and _would_trade(swept):
        return (_unreplaced(command, Reason.POST_ONLY),)
    left = _remainder(order, swept)
    if isinstance(left, OrderEnded):
        left = replace(left, answers_cause=False)
    replaced = _replaced(command, resting, keeps_priority=False)
    cum_e8 = resting.cum_quantity_e8
    taken = _taken(book, order, swept, cause, cum_e8=cum_e8)
    return with_triggers(book, (replaced, *taken, left), cause)


def _renewed(command: ReplaceRestingOrder, resting: Resting) -> SubmitOrder:
    price_e8 = resting.price_e8 if command.price_e8 is None else command.price_e8
    return SubmitOrder(
        symbol=command.symbol,
        account_id=resting.account_id,
        order_id=resting.order_id,
        side=resting.side,
        order_type=LIMIT,
        time_in_force=resting.time_in_force,
        quantity_e8=command.quantity_e8,
        price_e8=price_e8,
        protection_price_e8=price_e8,
        expires_at_ms=resting.expires_at_ms,
        post_only=resting.post_only,
        self_trade_prevention=resting.self_trade_prevention,
    )


def _replaced(
    command: ReplaceRestingOrder, resting: Resting | StopOrder, *, keeps_priority: bool
) -> OrderReplaced:
    return OrderReplaced(
        symbol=command.symbol,
        account_id=command.account_id,
        order_id=command.order_id,
        quantity_e8=command.quantity_e8,
        leaves_e8=command.quantity_e8 - resting.cum_quantity_e8,
        price_e8=command.price_e8,
        keeps_priority=keeps_priority,
        stop_price_e8=command.stop_price_e8,
    )


def _unreplaced(command: ReplaceRestingOrder, reason: Reason) -> ReplaceRefused:
    return ReplaceRefused(
        symbol=command.symbol,
        account_id=command.account_id,
        order_id=command.order_id,
        reason=reason,
    )


# --- trades ------------------------------------------------------------------------------------


def _taken(
    book: Book, order: SubmitOrder, swept: Sweep, cause: Cause, *, cum_e8: int = 0
) -> Iterator[Message]:
    """The ends of those that make way, then the trades, each with the end of what it filled.

    `cum_e8` is what the order traded before.
    """
    for each in swept.over:
        yield _over(book, each)
    for each in swept.own:
        yield _left(book.symbol, each, EndReason.CANCELED, Reason.SELF_TRADE)
    for n, fill in enumerate(swept.fills):
        cum_e8 += fill.quantity_e8
        taker = Party(
            account_id=order.account_id,
            side=order.side,
            order_id=order.order_id,
            cum_quantity_e8=cum_e8,
            leaves_e8=order.quantity_e8 - cum_e8,
        )
        maker = _maker(book, fill, OPPOSITE[order.side])
        yield _trade(book, fill, cause.new_id(n), maker=maker, taker=taker)
        yield from _filled(book, fill)


def _trade(book: Book, fill: Fill, trade_id: str, *, maker: Party, taker: Party) -> TradeExecuted:
    return TradeExecuted(
        symbol=book.symbol,
        asset=book.asset,
        trade_id=trade_id,
        price_e8=fill.price_e8,
        quantity_e8=fill.quantity_e8,
        notional_e8=notional_floor(fill.price_e8, fill.quantity_e8),
        maker=maker,
        taker=taker,
    )


def _maker(book: Book, fill: Fill, side: Side) -> Party:
    resting = fill.resting
    if resting is None:
        return _house(book, side)
    return Party(
        account_id=resting.account_id,
        side=side,
        order_id=resting.order_id,
        cum_quantity_e8=resting.cum_quantity_e8 + fill.quantity_e8,
        leaves_e8=resting.leaves_e8 - fill.quantity_e8,
    )


def _house(book: Book, side: Side) -> Party:
    return Party(account_id=f"house:{book.symbol}", side=side)


def _filled(book: Book, fill: Fill) -> Iterator[OrderEnded]:
    resting = fill.resting
    if resting is not None and resting.leaves_e8 == fill.quantity_e8:
        yield OrderEnded(
            symbol=book.symbol,
            account_id=resting.account_id,
            order_id=resting.order_id,
            end=EndReason.FILLED,
            cum_quantity_e8=resting.quantity_e8,
            answers_cause=False,
        )


def _crossings(
    book: Book, houses: Sequence[tuple[Side, Fill]], cause: Cause, numbers: Iterator[int]
) -> Iterator[Message]:
    """The house's trades with the resting orders that its prices reach.

    `houses` says which side the house takes and what it offers there; `numbers` numbers the
    trades of the command and ends where they must.
    """
    for side, house in houses:
        for fill in crossed(book, OPPOSITE[side], house, now_ms=cause.time_ms):
            n = next(numbers, None)
            if n is None:
                return
            maker = _maker(book, fill, OPPOSITE[side])
            taker = _house(book, side)
            yield _trade(book, fill, cause.new_id(n), maker=maker, taker=taker)
            yield from _filled(book, fill)


def _house_offers(book: Book, cause: Cause) -> list[tuple[Side, Fill]]:
    offers = ((side, house_offer(book, side, now_ms=cause.time_ms)) for side in Side)
    return [(side, house) for side, house in offers if house is not None]


# --- quotes and time ---------------------------------------------------------------------------


def update_quote(book: Book | None, command: UpdateQuote, cause: Cause) -> Sequence[Message]:
    """Quote anew, trade with the resting orders that it crosses, and move the collar."""
    if book is None or book.rules is None:
        return (_refused(command, UNKNOWN_MARKET),)
    if reason := _quote_refusal(book, command.quote):
        return (_refused(command, reason),)
    quote = _timed(command.quote, cause)
    events: list[Message] = [QuoteUpdated(symbol=book.symbol, quote=quote)]
    if book.is_open:
        sizes = offered_sizes(quote, book.rules)
        houses = [(side, Fill(price_of(quote, side), sizes[side], None)) for side in Side]
        events += _crossings(book, houses, cause, iter(range(FILLS_MAX)))
    if _collar_is_due(book.collar, book.rules, quote):
        events.append(_collar(book.symbol, book.rules, quote.last_e8))
    return with_triggers(book, events, cause) if book.is_open else events


def _timed(quote: Quote, cause: Cause) -> Quote:
    return Quote(
        feed_id=quote.feed_id,
        sequence=quote.sequence,
        bid_e8=quote.bid_e8,
        bid_size_e8=quote.bid_size_e8,
        ask_e8=quote.ask_e8,
        ask_size_e8=quote.ask_size_e8,
        last_e8=quote.last_e8,
        time_ms=cause.time_ms,
        feed_time_ms=quote.feed_time_ms,
        simulated=quote.simulated,
    )


def _quote_refusal(book: Book, quote: Quote) -> str | None:
    if not 0 < quote.bid_e8 < quote.ask_e8 or quote.last_e8 <= 0:
        return INVALID_QUOTE
    if quote.bid_size_e8 < 0 or quote.ask_size_e8 < 0:
        return INVALID_QUOTE
    previous = book.sequences.get(quote.feed_id)
    if previous is None:
        return TOO_MANY_FEEDS if len(book.sequences) == FEEDS_MAX else None
    return STALE_SEQUENCE if quote.sequence <= previous else None


def _collar_is_due(collar: Collar | None, rules: Rules, quote: Quote) -> bool:
    """Moved by 0.1 %, at most once a second, or as old as half the stale age."""
    if collar is None:
        return True
    age_ms = quote.time_ms - collar.time_ms
    if age_ms * 2 >= rules.stale_after_ms:
        return True
    moved_e8 = abs(quote.last_e8 - collar.last_e8)
    return age_ms >= COLLAR_PAUSE_MS and moved_e8 * PPM >= collar.last_e8 * COLLAR_MOVE_PPM


def _collar(symbol: str, rules: Rules, last_e8: int) -> CollarMoved:
    """The band, rounded inwards."""
    return CollarMoved(
        symbol=symbol,
        last_e8=last_e8,
        low_e8=_low_edge(rules, last_e8),
        high_e8=last_e8 * (PPM + rules.collar_ppm) // PPM,
    )


def _low_edge(rules: Rules, last_e8: int) -> int:
    return -(-last_e8 * (PPM - rules.collar_ppm) // PPM)


def tick(state: Markets, cause: Cause) -> Sequence[Message]:
    """End orders whose time has come, and go on with crossings that a quote left over.

    Both are bounded; the next tick goes on. At least it says that time passed.
    """
    numbers = iter(range(FILLS_MAX))
    events: list[Message] = []
    for _, book in sorted(state.books.items()):
        due = islice(book.expiries.due(cause.time_ms), EXPIRIES_MAX - len(events))
        events += [_over(book, order) for each in due if (order := book.find(each)) is not None]
    for _, book in sorted(state.books.items()):
        if book.is_open:
            crossings = list(_crossings(book, _house_offers(book, cause), cause, numbers))
            events += with_triggers(book, crossings, cause)
    return events or (ClockTicked(),)


# --- listings ----------------------------------------------------------------------------------


def _operate(
    book: Book | None, command: ListMarket | HaltMarket | ResumeMarket, cause: Cause
) -> Sequence[Message]:
    match command:
        case ListMarket():
            return list_market(book, command)
        case HaltMarket():
            return halt(book, command)
        case ResumeMarket():
            return resume(book, command, cause)


def list_market(book: Book | None, command: ListMarket) -> Sequence[Message]:
    """Open a market or change its rules; a halted one stays halted."""
    if not _are_valid(command.rules):
        return (_refused(command, INVALID_RULES),)
    if book is None or book.rules is None:
        return (_listed(command, is_open=True),)
    if book.asset != command.asset:
        return (_refused(command, OTHER_ASSET),)
    if command.unless_listed or book.rules == command.rules:
        return ()
    return (_listed(command, is_open=book.is_open),)


def _listed(command: ListMarket, *, is_open: bool) -> MarketListed:
    return MarketListed(
        symbol=command.symbol, asset=command.asset, rules=command.rules, is_open=is_open
    )


def _are_valid(rules: Rules) -> bool:
    positive = (rules.tick_e8, rules.lot_e8, rules.stale_after_ms)
    fees = (rules.maker_fee_ppm, rules.taker_fee_ppm)
    return (
        min(positive) > 0
        and rules.min_notional_e8 >= 0
        and 0 < rules.collar_ppm < PPM
        and all(0 <= each < PPM for each in fees)
    )


def halt(book: Book | None, command: HaltMarket) -> Sequence[Message]:
    """Stop matching; nothing when it is stopped already."""
    if book is None or book.rules is None:
        return (_refused(command, UNKNOWN_MARKET),)
    if not book.is_open:
        return ()
    return (MarketHalted(symbol=book.symbol, asset=book.asset, rules=book.rules),)


def resume(book: Book | None, command: ResumeMarket, cause: Cause) -> Sequence[Message]:
    """Match again, beginning with what the quote crosses and the last price triggers by now."""
    if book is None or book.rules is None:
        return (_refused(command, UNKNOWN_MARKET),)
    if book.is_open:
        return ()
    resumed = MarketResumed(symbol=book.symbol, asset=book.asset, rules=book.rules)
    crossings = _crossings(book, _house_offers(book, cause), cause, iter(range(FILLS_MAX)))
    last = () if book.last_e8 is None else (book.last_e8,)
    return with_triggers(book, (resumed, *crossings), cause, last)


def _refused(command: ListMarket | HaltMarket | ResumeMarket | UpdateQuote, reason: str) -> Message:
    return CommandRefused(symbol=command.symbol, command=command.TYPE, reason=reason)
