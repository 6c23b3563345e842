"""Journals of accounts as a writer leaves them, made by the real decider from a seed."""

from collections import Counter
from random import Random

from consumers.accounts.context import AccountsContext
from runtime.journal import entries
from runtime.log import NewRecord, Record
from schemas.accounts import (
    ApplyExecution,
    CancelOrder,
    DepositFunds,
    EndOrder,
    EndReason,
    Liquidity,
    MarketTerms,
    OrderAccepted,
    OrderType,
    PlaceOrder,
    PriceCollar,
    Side,
    TimeInForce,
    WithdrawFunds,
)
from schemas.codec import Message, encode
from schemas.envelope import (
    COMMAND_ID,
    REPLY_TO,
    SOURCE,
    SOURCE_SEQUENCE,
    USER_ID,
    Cause,
    ReplyRoute,
    header_map,
)
from schemas.journal import WriterClaimed
from schemas.money import E8, notional_floor

START_MS = 1_700_000_000_000
MARKETS = "markets/0/0"


class History:
    """One partition of `accounts.journal`; `records` grows, offsets are dense.

    `events` keeps the valid events with their accounts' versions, as the reference to compare
    with; `say` decides one message and records its event.
    """

    def __init__(self, seed: int = 0, *, accounts: int = 3, fee_ppm: int = 0) -> None:
        self.seed = seed
        self.random = Random(seed)  # a history that can be repeated
        self.context = AccountsContext()
        self.state = self.context.empty()
        self.accounts = [f"{seed * 1000 + n + 1:032x}" for n in range(accounts)]
        self.records: list[Record] = []
        self.events: list[tuple[Message, int]] = []
        self.versions: Counter[str] = Counter()
        self.epoch = 0
        self.time_ms = START_MS
        self.source_offset = -1
        self.claim()
        self.list_market("BTC", fee_ppm)

    def list_market(self, asset: str, fee_ppm: int = 0) -> None:
        """Open the asset's market at $100."""
        symbol, price_e8 = f"{asset}-USD", 100 * E8
        terms = MarketTerms(
            symbol=symbol,
            asset=asset,
            tick_e8=E8 // 100,
            lot_e8=1_000,
            min_notional_e8=E8,
            maker_fee_ppm=fee_ppm,
            taker_fee_ppm=fee_ppm,
            stale_after_ms=1_000_000,
            is_open=True,
        )
        self.say(terms, source=MARKETS)
        self.say(
            PriceCollar(symbol=symbol, last_e8=price_e8, low_e8=90 * E8, high_e8=110 * E8),
            source=MARKETS,
        )

    # --- the writer ---------------------------------------------------------------------------

    def claim(self) -> None:
        """A new writer; from here on the last one's records are void."""
        self.epoch += 1
        self._append(WriterClaimed(), [], epoch=self.epoch)

    def say(
        self,
        message: Message,
        *,
        source: str | None = None,
        command_id: str | None = None,
        reply_to: str | None = None,
    ) -> Message:
        """Decide one message and record its event; facts have a source."""
        self.time_ms += self.random.randrange(5)
        self.source_offset += 1
        command_id = command_id or f"{self.seed}-{self.source_offset}"
        waiting = reply_to or (None if source else command_id)
        cause = Cause(
            "accounts.commands",
            0,
            self.source_offset,
            self.time_ms,
            command_id,
            getattr(message, "account_id", None) if source is None else None,
            None if waiting is None else ReplyRoute(0, waiting),
            source=source,
            source_sequence=None if source is None else self.source_offset,
        )
        (event,) = self.context.decide(self.state, message, cause)
        self.context.evolve(self.state, event, cause)
        entity = self.context.entity_of(event)
        self.versions[entity] += 1
        self.events.append((event, self.versions[entity]))
        self._append(event, self._headers(cause, entity), epoch=self.epoch)
        return event

    def haunt(self) -> None:
        """A fenced writer's append: void, whatever it says."""
        if self.epoch > 1:
            valid = [
                each for each in self.records if b"order" in header_map(each.headers)["ce_type"]
            ]
            if valid:
                ghost = self.random.choice(valid)
                headers = [each for each in ghost.headers if each[0] != "writer-epoch"]
                self._put(ghost.value, [*headers, ("writer-epoch", b"%d" % (self.epoch - 1))])

    def _headers(self, cause: Cause, entity: str) -> list[tuple[str, bytes]]:
        inbox = {COMMAND_ID: cause.command_id.encode()}
        if cause.user_id is not None:
            inbox[USER_ID] = cause.user_id.encode()
        if cause.reply_to is not None:
            inbox[REPLY_TO] = cause.reply_to.encode()
        if cause.source is not None:
            inbox[SOURCE] = cause.source.encode()
            inbox[SOURCE_SEQUENCE] = b"%d" % cause.source_sequence
        return [
            *entries.cause_headers(inbox, cause.offset, cause.time_ms),
            *entries.entity_headers(entity, self.versions[entity]),
        ]

    def _append(self, event: Message, headers: list[tuple[str, bytes]], *, epoch: int) -> None:
        own = entries.event_headers(b"%d" % len(self.records), event.TYPE)
        shared = entries.constant_headers("accounts", epoch)
        self._put(encode(event), [*shared, *own, *headers])

    def _put(self, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
        self.records.append(Record(len(self.records), self.time_ms, None, value, headers))

    def appended(self, start: int = 0) -> list[NewRecord]:
        """The records from an offset on, as they are appended to a log."""
        return [NewRecord(each.value, each.headers) for each in self.records[start:]]

    # --- what happens -------------------------------------------------------------------------

    def live(self, steps: int) -> "History":
        """Random deposits, orders, executions, ends, cancels, takeovers and void records."""
        doings = [self._deposit, self._withdraw, self._place, self._place, self._place]
        for _ in range(steps):
            roll = self.random.random()
            if roll < 0.03:
                self.claim()
            elif roll < 0.06:
                self.haunt()
            elif roll < 0.4 and (resting := self._open_orders()):
                self._settle(*self.random.choice(resting))
            else:
                self.random.choice(doings)(self.random.choice(self.accounts))
        return self

    def _deposit(self, account: str) -> None:
        self.say(DepositFunds(account_id=account, amount_e8=self.random.randrange(1, 900) * E8))

    def _withdraw(self, account: str) -> None:
        self.say(WithdrawFunds(account_id=account, amount_e8=self.random.randrange(1, 90) * E8))

    def _place(self, account: str) -> None:
        is_market = self.random.random() < 0.5
        held = self.state.account(account).holdings.get("BTC")
        side = Side.SELL if held and held.free_e8 and self.random.random() < 0.5 else Side.BUY
        quantity_e8 = self.random.randrange(1, 300) * E8 // 100
        command = PlaceOrder(
            account_id=account,
            asset="BTC",
            side=side,
            order_type=OrderType.MARKET if is_market else OrderType.LIMIT,
            quantity_e8=quantity_e8,
            price_e8=None if is_market else self.random.randrange(95, 106) * E8,
            time_in_force=self.random.choice((TimeInForce.GTC, TimeInForce.IOC)),
        )
        event = self.say(command)
        if isinstance(event, OrderAccepted) and is_market:
            self.fill(account, event.order.order_id, reply_to=event.order.command_id)

    def _open_orders(self) -> list[tuple[str, str]]:
        return [
            (account, order)
            for account in self.accounts
            for order in self.state.account(account).orders
        ]

    def _settle(self, account: str, order_id: str) -> None:
        order = self.state.account(account).orders[order_id]
        roll = self.random.random()
        if roll < 0.3:
            cancel_id = f"{self.seed}-cancel-{self.source_offset}"
            command = CancelOrder(account_id=account, order_id=order_id)
            self.say(command, command_id=cancel_id)
            self.end(account, order_id, EndReason.CANCELED, reply_to=cancel_id)
        elif roll < 0.5:
            self.end(account, order_id, EndReason.EXPIRED)
        elif roll < 0.8:
            left_e8 = order.quantity_e8 - order.cum_quantity_e8
            self.execute(account, order_id, max(1, left_e8 // 2))
        else:
            self.fill(account, order_id)

    def fill(self, account: str, order_id: str, *, reply_to: str | None = None) -> None:
        """Execute all that is left, then end the order."""
        order = self.state.account(account).orders[order_id]
        self.execute(account, order_id, order.quantity_e8 - order.cum_quantity_e8)
        self.end(account, order_id, EndReason.FILLED, reply_to=reply_to)

    def execute(self, account: str, order_id: str, quantity_e8: int) -> None:
        """One leg of a trade at the limit, or at 100."""
        order = self.state.account(account).orders[order_id]
        if quantity_e8 <= 0:
            return
        price_e8 = order.price_e8 or 100 * E8
        self.say(
            ApplyExecution(
                account_id=account,
                symbol=order.symbol,
                asset=order.asset,
                side=order.side,
                trade_id=f"t{self.source_offset}",
                price_e8=price_e8,
                quantity_e8=quantity_e8,
                notional_e8=notional_floor(price_e8, quantity_e8),
                liquidity=Liquidity.TAKER,
                order_id=order_id,
                cum_quantity_e8=order.cum_quantity_e8 + quantity_e8,
            ),
            source=MARKETS,
        )

    def end(
        self, account: str, order_id: str, end: EndReason, *, reply_to: str | None = None
    ) -> None:
        """The order's last message."""
        order = self.state.account(account).orders[order_id]
        if order.cum_quantity_e8 == order.quantity_e8:
            end = EndReason.FILLED
        self.say(
            EndOrder(
                account_id=account,
                order_id=order_id,
                symbol=order.symbol,
                end=end,
                cum_quantity_e8=order.cum_quantity_e8,
            ),
            source=MARKETS,
            reply_to=reply_to,
        )
