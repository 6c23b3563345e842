"""The reference's markets: a list of orders, sorted anew whenever somebody looks for the best."""

from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from schemas.accounts import (
    ApplyReplace,
    EndOrder,
    EndReason,
    Liquidity,
    MarketTerms,
    PriceCollar,
    Reason,
    RefuseCancel,
    RefuseReplace,
    Side,
    TimeInForce,
)
from schemas.codec import Message
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
    StopArmed,
    StopsTriggered,
    SubmitOrder,
    TickClock,
    TradeExecuted,
    TriggerStops,
    UpdateQuote,
)
from schemas.money import E8, PPM
from simulation.reference.book import (
    FILLS_MAX,
    OTHER,
    OVER_MAX,
    RANK,
    Book,
    Met,
    Open,
    Why,
    are_sane,
    end_of,
    is_reached,
    leg_of,
    limit_of,
    low_edge,
    may_rest,
    meet,
    party_of,
    released,
    sign,
    stop_rank,
    terms_of,
    who_of,
)
from simulation.reference.moment import Moment
from simulation.reference.rules import first

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_TRIGGERS_MAX: Final = 100
_FEEDS_MAX: Final = 16


class Markets:
    """One partition; `sent` is what it told others, as (inbox, key, message)."""

    def __init__(self) -> None:
        self.books: Final[dict[str, Book]] = {}
        self.sent: list[tuple[str, str | None, Message]] = []
        self._events: list[Message] = []
        self._prices: list[int] = []
        self._trades = 0
        self._takes: Final[Mapping[type, Callable[[Any, Moment], None]]] = {
            SubmitOrder: self._submit,
            CancelRestingOrder: self._cancel,
            ReplaceRestingOrder: self._replace,
            ActivateStop: self._activate,
            TriggerStops: self._trigger_more,
            UpdateQuote: self._quote,
            TickClock: self._tick,
            ListMarket: self._list,
            HaltMarket: self._halt,
            ResumeMarket: self._resume,
        }

    def take(self, message: Message, at: Moment) -> list[Message]:
        """The events that a message leads to, each already done."""
        self._events, self._prices, self._trades = [], [], 0
        self._takes[type(message)](message, at)
        return self._events

    # --- orders --------------------------------------------------------------------------------

    def _submit(self, order: SubmitOrder, at: Moment) -> None:
        book = self.books.get(order.symbol)
        if book is None:
            self._end(None, order, EndReason.REJECTED, 0, Reason.UNKNOWN_ASSET)
        elif self._turns_away(book, order, at):
            return
        elif order.stop_price_e8 is None:
            self._enter(book, order, at)
        elif book.last is None or not is_reached(order, book.last):
            self._arm(book, Open(replace(order, deadline_ms=None), order.quantity_e8))
        else:
            self._enter(book, released(book, order), at)

    def _turns_away(self, book: Book, order: SubmitOrder, at: Moment) -> bool:
        deadline, expiry = order.deadline_ms, order.expires_at_ms
        if not book.is_open:
            self._end(book, order, EndReason.REJECTED, 0, Reason.MARKET_HALTED)
        elif deadline is not None and at.time_ms > deadline:
            self._end(book, order, EndReason.EXPIRED, 0, Reason.DEADLINE)
        elif expiry is not None and at.time_ms >= expiry:
            self._end(book, order, EndReason.EXPIRED, 0, Reason.EXPIRED)
        else:
            return False
        return True

    def _enter(self, book: Book, order: SubmitOrder, at: Moment) -> None:
        met = meet(book, order, order.quantity_e8, at.time_ms)
        is_fok = order.time_in_force is TimeInForce.FOK
        if order.post_only and met.would_trade:
            self._end(book, order, EndReason.EXPIRED, 0, Reason.POST_ONLY)
        elif is_fok and met.why is not None:
            end = EndReason.REJECTED if met.why is Reason.FILL_LIMIT else end_of(met.why)
            self._end(book, order, end, 0, met.why)
        else:
            self._trade_and_rest(book, order, met, at, 0)
        self._trigger(book, at)

    def _trade_and_rest(
        self, book: Book, order: SubmitOrder, met: Met, at: Moment, traded: int
    ) -> None:
        for each in met.over:
            self._expire(book, each)
        for each in met.own:
            why = Reason.SELF_TRADE
            self._end(book, each.order, EndReason.CANCELED, each.traded, why, answers=False)
        for maker, price, quantity in met.fills:
            traded += quantity
            taker = party_of(order, traded)
            self._trade(book, maker, taker, price, quantity, at)
        answers = not any(isinstance(each, OrderReplaced) for each in self._events)
        if met.why is None:
            self._end(book, order, EndReason.FILLED, traded, answers=answers)
        elif met.why in {Reason.SELF_TRADE, Reason.FILL_LIMIT} or not may_rest(order):
            self._end(book, order, end_of(met.why), traded, met.why, answers=answers)
        else:
            self._rest(book, order, order.quantity_e8 - traded)

    def _rest(self, book: Book, order: SubmitOrder, left: int) -> None:
        book.stops.pop(order.order_id, None)
        book.arrivals += 1
        rank = (sign(OTHER[order.side]) * limit_of(order), book.arrivals)
        book.sides[order.side].append(Open(order, left, rank))
        rested = OrderRested(
            symbol=book.symbol,
            account_id=order.account_id,
            order_id=order.order_id,
            side=order.side,
            price_e8=limit_of(order),
            quantity_e8=order.quantity_e8,
            leaves_e8=left,
            time_in_force=order.time_in_force,
            expires_at_ms=order.expires_at_ms,
            post_only=order.post_only,
            self_trade_prevention=order.self_trade_prevention,
        )
        self._events.append(rested)

    def _cancel(self, asked: CancelRestingOrder, _at: Moment) -> None:
        book = self.books.get(asked.symbol)
        found = None if book is None else book.find(asked.order_id)
        if book is None or found is None or found.order.account_id != asked.account_id:
            who, why = who_of(asked), Reason.ORDER_FINAL
            self._events.append(CancelRefused(symbol=asked.symbol, **who, reason=why))
            self.sent.append(("accounts", asked.account_id, RefuseCancel(**who, reason=why)))
            return
        why = Reason.CANCELED_BY_USER
        self._end(book, found.order, EndReason.CANCELED, found.traded, why)

    def _replace(self, asked: ReplaceRestingOrder, at: Moment) -> None:
        book = self.books.get(asked.symbol)
        found = None if book is None else book.find(asked.order_id)
        if book is None or found is None or found.order.account_id != asked.account_id:
            return self._refuse_replace(asked, Reason.ORDER_FINAL)
        if found.is_over(at.time_ms):
            self._expire(book, found)
            return self._refuse_replace(asked, Reason.ORDER_FINAL)
        moves = asked.stop_price_e8 is not None
        is_waiting = asked.order_id in book.stops and not found.is_triggered
        why = first(
            (not book.is_open, Reason.MARKET_HALTED),
            (moves and not is_waiting, Reason.STOP_TRIGGERED),
            (asked.quantity_e8 <= found.traded, Reason.QUANTITY_FILLED),
            ((asked.price_e8 is None) != (found.order.price_e8 is None), Reason.INVALID_PRICE),
        )
        if why is not None:
            return self._refuse_replace(asked, why)
        return self._move(book, asked, found) if moves else self._change(book, asked, found, at)

    def _move(self, book: Book, asked: ReplaceRestingOrder, stop: Open) -> None:
        """Another stop price is another place, the last one there, or the stop's own trigger."""
        assert asked.protection_price_e8 is not None
        order = replace(
            stop.order,
            quantity_e8=asked.quantity_e8,
            price_e8=asked.price_e8,
            stop_price_e8=asked.stop_price_e8,
            protection_price_e8=asked.protection_price_e8,
        )
        self._say_replaced(asked, 0, keeps_priority=False)
        book.remove(order.order_id)
        self._arm(book, Open(order, order.quantity_e8))
        if book.last is not None and is_reached(order, book.last):
            self._say_triggered(book, [book.stops[order.order_id]], book.last, book.last)

    def _change(self, book: Book, asked: ReplaceRestingOrder, found: Open, at: Moment) -> None:
        old, traded = found.order, found.traded
        protection = old.protection_price_e8 if asked.price_e8 is None else asked.price_e8
        new = replace(
            old,
            quantity_e8=asked.quantity_e8,
            price_e8=asked.price_e8,
            protection_price_e8=protection,
        )
        is_smaller = new.price_e8 == old.price_e8 and new.quantity_e8 <= old.quantity_e8
        if is_smaller or old.order_id in book.stops:
            self._say_replaced(asked, traded, keeps_priority=True)
            found.order, found.left = new, new.quantity_e8 - traded
            return
        met = meet(book, new, new.quantity_e8 - traded, at.time_ms)
        if new.post_only and met.would_trade:
            self._refuse_replace(asked, Reason.POST_ONLY)
            return
        self._say_replaced(asked, traded, keeps_priority=False)
        book.remove(old.order_id)
        self._trade_and_rest(book, new, met, at, traded)
        self._trigger(book, at)

    def _say_replaced(
        self, asked: ReplaceRestingOrder, traded: int, *, keeps_priority: bool
    ) -> None:
        new: dict[str, Any] = {"quantity_e8": asked.quantity_e8, "price_e8": asked.price_e8}
        replaced = OrderReplaced(
            symbol=asked.symbol,
            **who_of(asked),
            **new,
            leaves_e8=asked.quantity_e8 - traded,
            keeps_priority=keeps_priority,
            stop_price_e8=asked.stop_price_e8,
        )
        self._events.append(replaced)
        told = ApplyReplace(
            symbol=asked.symbol,
            **who_of(asked),
            **new,
            cum_quantity_e8=traded,
            stop_price_e8=asked.stop_price_e8,
        )
        self.sent.append(("accounts", asked.account_id, told))

    def _refuse_replace(self, asked: ReplaceRestingOrder, why: Reason) -> None:
        who = who_of(asked)
        self._events.append(ReplaceRefused(symbol=asked.symbol, **who, reason=why))
        self.sent.append(("accounts", asked.account_id, RefuseReplace(**who, reason=why)))

    def _expire(self, book: Book, found: Open) -> None:
        reason = Reason.EXPIRED
        self._end(book, found.order, EndReason.EXPIRED, found.traded, reason, answers=False)

    def _end(  # noqa: PLR0913  # the fields of an end
        self,
        book: Book | None,
        order: SubmitOrder,
        end: EndReason,
        traded: int,
        why: Why = None,
        *,
        answers: bool = True,
    ) -> None:
        if book is not None:
            book.remove(order.order_id)
        ended = OrderEnded(
            symbol=order.symbol,
            **who_of(order),
            end=end,
            cum_quantity_e8=traded,
            reason=why,
            answers_cause=answers,
        )
        self._events.append(ended)
        told = EndOrder(
            symbol=order.symbol, **who_of(order), end=end, cum_quantity_e8=traded, reason=why
        )
        self.sent.append(("accounts", order.account_id, told))

    # --- trades --------------------------------------------------------------------------------

    def _trade(  # noqa: PLR0913, PLR0917  # the fields of a trade
        self, book: Book, maker: Open | None, taker: Party, price: int, quantity: int, at: Moment
    ) -> None:
        """One trade with an order of the book, or with the house where that is the maker."""
        side = OTHER[taker.side]
        if maker is None:
            made = Party(account_id="house:" + book.symbol, side=side)
            book.offers[side] -= quantity
        else:
            maker.left -= quantity
            made = party_of(maker.order, maker.traded)
        if taker.order_id is None:
            book.offers[taker.side] -= quantity
        trade = TradeExecuted(
            symbol=book.symbol,
            asset=book.asset,
            trade_id=at.new_id(self._trades),
            price_e8=price,
            quantity_e8=quantity,
            notional_e8=price * quantity // E8,
            maker=made,
            taker=taker,
        )
        self._trades += 1
        self._prices.append(price)
        book.last = price
        self._events.append(trade)
        for party, liquidity in ((made, Liquidity.MAKER), (taker, Liquidity.TAKER)):
            self.sent.append(("accounts", party.account_id, leg_of(trade, party, liquidity)))
        if maker is not None and maker.left == 0:
            self._end(book, maker.order, EndReason.FILLED, maker.traded, answers=False)

    def _cross(self, book: Book, at: Moment) -> None:
        """The house takes the orders that its quote reaches, at their prices."""
        offered = [(side, *book.house(side, at.time_ms)) for side in Side]
        for side, price, size in offered:
            left = size
            taker = Party(account_id="house:" + book.symbol, side=side)
            for each in sorted(book.sides[OTHER[side]], key=RANK):
                is_within = sign(side) * limit_of(each.order) <= sign(side) * price
                if not left or not is_within or self._trades == FILLS_MAX:
                    break
                if not each.is_over(at.time_ms):
                    quantity = min(left, each.left)
                    left -= quantity
                    self._trade(book, each, taker, limit_of(each.order), quantity, at)

    # --- stops ---------------------------------------------------------------------------------

    def _arm(self, book: Book, stop: Open) -> None:
        if not stop.number:
            book.armed += 1
            stop.number = book.armed
        stop.is_triggered = False
        book.stops[stop.order.order_id] = stop
        armed = StopArmed(symbol=book.symbol, number=stop.number, order=stop.order)
        self._events.append(armed)

    def _trigger(self, book: Book, at: Moment) -> None:
        """Trigger what the prices of this decision reach."""
        if self._prices and book.is_open:
            low, high = min(self._prices), max(self._prices)
            self._trigger_from(book, low, high, book.armed, at)
        self._prices = []

    def _trigger_from(self, book: Book, low: int, high: int, until: int, at: Moment) -> None:
        due = [
            each
            for each in book.stops.values()
            if not each.is_triggered and each.number <= until and not each.is_over(at.time_ms)
            if is_reached(each.order, high if each.order.side is Side.BUY else low)
        ]
        due.sort(key=stop_rank)
        if not due:
            return
        now, more = due[:_TRIGGERS_MAX], None
        if len(due) > len(now):
            more = TriggerStops(symbol=book.symbol, low_e8=low, high_e8=high, until_number=until)
        self._say_triggered(book, now, low, high, more)

    def _say_triggered(
        self, book: Book, now: list[Open], low: int, high: int, more: TriggerStops | None = None
    ) -> None:
        for each in now:
            each.is_triggered = True
            activate = ActivateStop(symbol=book.symbol, order_id=each.order.order_id)
            self.sent.append(("markets", book.symbol, activate))
        if more is not None:
            self.sent.append(("markets", book.symbol, more))
        triggered = StopsTriggered(
            symbol=book.symbol,
            low_e8=low,
            high_e8=high,
            order_ids=tuple(each.order.order_id for each in now),
            next=more,
        )
        self._events.append(triggered)

    def _trigger_more(self, fact: TriggerStops, at: Moment) -> None:
        book = self.books[fact.symbol]
        if book.is_open:
            self._trigger_from(book, fact.low_e8, fact.high_e8, fact.until_number, at)

    def _activate(self, fact: ActivateStop, at: Moment) -> None:
        book = self.books[fact.symbol]
        stop = book.stops.get(fact.order_id)
        if stop is None or not stop.is_triggered:
            return
        if not book.is_open:
            self._arm(book, stop)
        elif not self._turns_away(book, stop.order, at):
            self._enter(book, released(book, stop.order), at)

    # --- quotes and time -----------------------------------------------------------------------

    def _quote(self, asked: UpdateQuote, at: Moment) -> None:
        book, quote = self.books.get(asked.symbol), replace(asked.quote, time_ms=at.time_ms)
        if book is None:
            return self._refuse(asked, "unknown-market")
        sizes = (quote.bid_size_e8, quote.ask_size_e8)
        if not 0 < quote.bid_e8 < quote.ask_e8 or quote.last_e8 <= 0 or min(sizes) < 0:
            return self._refuse(asked, "invalid-quote")
        if quote.feed_id not in book.sequences and len(book.sequences) == _FEEDS_MAX:
            return self._refuse(asked, "too-many-feeds")
        if book.sequences.get(quote.feed_id, quote.sequence - 1) >= quote.sequence:
            return self._refuse(asked, "stale-sequence")
        lot = book.rules.lot_e8
        book.sequences[quote.feed_id] = quote.sequence
        book.quote, book.last = quote, quote.last_e8
        book.offers = {Side.BUY: sizes[0] // lot * lot, Side.SELL: sizes[1] // lot * lot}
        self._prices.append(quote.last_e8)
        self._events.append(QuoteUpdated(symbol=book.symbol, quote=quote))
        if book.is_open:
            self._cross(book, at)
        self._move_collar(book, quote, at)
        return self._trigger(book, at)

    def _move_collar(self, book: Book, quote: Quote, at: Moment) -> None:
        """After 0.1 % at most once a second, and whenever half the stale age passed."""
        last = quote.last_e8
        if book.collar is not None:
            before, told_at_ms = book.collar
            age_ms = at.time_ms - told_at_ms
            has_moved = abs(last - before) * 1_000 >= before and age_ms >= 1_000
            if not has_moved and age_ms * 2 < book.rules.stale_after_ms:
                return
        book.collar = (last, at.time_ms)
        band: dict[str, Any] = {
            "symbol": book.symbol,
            "last_e8": last,
            "low_e8": low_edge(book, last),
            "high_e8": last * (PPM + book.rules.collar_ppm) // PPM,
        }
        self._events.append(CollarMoved(**band))
        self.sent.append(("accounts", None, PriceCollar(**band)))

    def _tick(self, _asked: TickClock, at: Moment) -> None:
        books = [self.books[symbol] for symbol in sorted(self.books)]
        room = OVER_MAX
        for book in books:
            orders = [*book.sides[Side.BUY], *book.sides[Side.SELL], *book.stops.values()]
            over = [each for each in orders if each.is_over(at.time_ms)]
            over.sort(key=lambda each: (each.order.expires_at_ms, each.order.order_id))
            for each in over[:room]:
                self._expire(book, each)
            room -= min(room, len(over))
        for book in books:
            if book.is_open:
                self._cross(book, at)
                self._trigger(book, at)
        if not self._events:
            self._events.append(ClockTicked())

    # --- listings ------------------------------------------------------------------------------

    def _list(self, asked: ListMarket, _at: Moment) -> None:
        book = self.books.get(asked.symbol)
        if not are_sane(asked.rules):
            return self._refuse(asked, "invalid-rules")
        if book is None:
            book = Book(asked.symbol, asked.asset, asked.rules, is_open=True)
            self.books[asked.symbol] = book
        elif book.asset != asked.asset:
            return self._refuse(asked, "other-asset")
        elif asked.unless_listed or book.rules == asked.rules:
            return None
        book.rules = asked.rules
        return self._say_terms(MarketListed(is_open=book.is_open, **terms_of(book)), book)

    def _halt(self, asked: HaltMarket, _at: Moment) -> None:
        book = self.books.get(asked.symbol)
        if book is None:
            self._refuse(asked, "unknown-market")
        elif book.is_open:
            book.is_open = False
            self._say_terms(MarketHalted(**terms_of(book)), book)

    def _resume(self, asked: ResumeMarket, at: Moment) -> None:
        book = self.books.get(asked.symbol)
        if book is None:
            self._refuse(asked, "unknown-market")
        elif not book.is_open:
            book.is_open = True
            self._say_terms(MarketResumed(**terms_of(book)), book)
            if book.last is not None:
                self._prices.append(book.last)
            self._cross(book, at)
            self._trigger(book, at)

    def _say_terms(self, event: Message, book: Book) -> None:
        self._events.append(event)
        told = MarketTerms(
            symbol=book.symbol,
            asset=book.asset,
            tick_e8=book.rules.tick_e8,
            lot_e8=book.rules.lot_e8,
            min_notional_e8=book.rules.min_notional_e8,
            maker_fee_ppm=book.rules.maker_fee_ppm,
            taker_fee_ppm=book.rules.taker_fee_ppm,
            stale_after_ms=book.rules.stale_after_ms,
            is_open=book.is_open,
        )
        self.sent.append(("accounts", None, told))

    def _refuse(
        self, asked: UpdateQuote | ListMarket | HaltMarket | ResumeMarket, why: str
    ) -> None:
        refused = CommandRefused(symbol=asked.symbol, command=asked.TYPE, reason=why)
        self._events.append(refused)
