"""What clients, a feed and a clock send in a simulated run; all of it drawn from the run's seed."""

from functools import partial
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from producers.envelopes import command_headers
from runtime.journal.outbound import partition_of
from runtime.log import NewRecord
from runtime.simulation.log import Broker
from schemas import accounts, identity, markets
from schemas.codec import Message, encode
from schemas.envelope import ReplyRoute
from schemas.fees import FeeTier
from schemas.money import E8
from simulation.seen import Seen, Session

if TYPE_CHECKING:
    from collections.abc import Callable

SYMBOLS: Final = ("BTC-USD", "XRP-USD")
_PRICE_E8: Final = {"BTC-USD": 40_000 * E8, "XRP-USD": 2 * E8}
_LOT_E8: Final = {"BTC-USD": 10, "XRP-USD": 2_000}
"""So fine that a trade's notional is often no whole number of units."""
_SIZE_E8: Final = {"BTC-USD": 1_000, "XRP-USD": 20_000_000}
"""What quantities are multiples of, but for a few lots."""
_TICK_E8: Final = {"BTC-USD": E8 // 100, "XRP-USD": E8 // 10_000}
_CIPHERTEXT: Final = identity.Ciphertext("key", "nonce", "bytes")
_TIMES_IN_FORCE: Final = (
    *([accounts.TimeInForce.GTC] * 3),
    accounts.TimeInForce.IOC,
    accounts.TimeInForce.FOK,
    accounts.TimeInForce.DAY,
    accounts.TimeInForce.GTD,
    accounts.TimeInForce.GTD,
)
_SELF_TRADE_PREVENTIONS: Final = tuple(accounts.SelfTradePrevention)
_DAY_MS: Final = 86_400_000
_MANY_STOPS: Final = 130
_LAST_QUOTES: Final = 10
"""How often prices move after the last command, so that what waits for them gets somewhere."""
_QUOTE: Final = 0.02
_EARLY: Final = 0.02
_COMMAND: Final = 0.15
"""Probabilities for each step of the scheduler."""
_LIVES_MS: Final = (-1, *([600_000] * 11))


class Workload:
    """Sends `commands` client commands; `sent` maps each command id to its inbox topic."""

    def __init__(self, broker: Broker, random: Random, commands: int, duplicate: float) -> None:
        self._broker: Final = broker
        self._random: Final = random
        self._left = commands
        self._last_quotes = _LAST_QUOTES
        self._duplicate: Final = duplicate
        self._accounts: Final = [f"{n:032x}" for n in range(1, 5)]
        self._is_crowded: Final = random.random() < 0.3
        """Prices stand still, and most orders meet at three of them."""
        self._is_long: Final = random.random() < 0.4
        """Days pass between commands, so that volumes, limits and orders of a day end."""
        self._sequence = 0
        self._prices = dict(_PRICE_E8)
        self.sent: Final[dict[str, str]] = {}
        self.poison: Final[list[bytes]] = []
        self._seen: Final = Seen(broker)
        for symbol in SYMBOLS:
            self._list(symbol)
        self.quote()
        self._set_fees()
        for account_id in self._accounts:
            funds = accounts.DepositFunds(account_id=account_id, amount_e8=5_000 * E8)
            self._send("accounts", account_id, funds, is_punctual=True)
        self._unprovided: Final = list(product(self._accounts, SYMBOLS))
        self._stops_left = _MANY_STOPS if random.random() < 0.08 else 0
        self._kinds: Final[tuple[tuple[int, Callable[[], None]], ...]] = (
            (12, self._deposit),
            (5, self._withdraw),
            (40, self._order),
            (5, self._check),
            (4 if self._is_crowded else 20, self._cancel),
            (1 if self._is_crowded else 3, self._cancel_all),
            (4 if self._is_crowded else 12, self._replace),
            (2 if random.random() < 0.6 else 0, self._erase),
            (8, self._register),
            (8, self._sign_in),
            (4, self._profile),
            (8, self._refresh),
            (2, self._change_password),
            (4, self._operate),
            (3, self._poison),
            (3, self._tick),
            (2, self._halt_or_resume),
            (2, self._set_fees),
            (1, self._list_again),
            (2 if self._is_long else 0, self._days_pass),
        )

    @property
    def is_done(self) -> bool:
        """Whether every command was sent, and prices moved after it."""
        return self._left <= 0 and self._last_quotes <= 0

    def maybe_send(self) -> None:
        """Send something now and then, and few commands before there are prices."""
        drawn = self._random.random()
        if drawn < _QUOTE:
            self.quote()
            self._last_quotes -= self._left <= 0
        elif (
            self._left > 0
            and drawn < _QUOTE + _COMMAND
            and (drawn < _QUOTE + _EARLY or self._seen.priced())
        ):
            self._send_one()
            self._left -= 1

    def _send_one(self) -> None:
        priced = self._seen.priced()
        if ready := [each for each in self._unprovided if each[1] in priced]:
            self._unprovided.remove(ready[-1])
            self._provide(*ready[-1])
        if self._stops_left and not self._unprovided:
            self._many_stops()
        weights = [weight for weight, _ in self._kinds]
        self._random.choices(self._kinds, weights)[0][1]()

    def quote(self) -> None:
        """A feed moves every market a little, and sometimes past many stops."""
        for symbol in SYMBOLS:
            self._sequence += 1
            tick = _TICK_E8[symbol]
            reach = self._random.choice((0,) if self._is_crowded else (0, 0, 20, 20, 60))
            step = self._random.randrange(-reach, reach + 1) * self._prices[symbol] // 20_000
            middle = max((self._prices[symbol] + step) // tick * tick, 10 * tick)
            self._prices[symbol] = middle
            step = _step_e8(symbol)
            away = self._random.choice((step, 5 * step) if self._is_crowded else (tick, tick, step))
            is_wanted = len(self._seen.sellers[symbol]) < len(self._accounts)
            size_e8 = self._quantity(symbol, (10_000,) if is_wanted else (1, 50, 500, 10_000))
            quote = markets.Quote(
                feed_id="simulated",
                sequence=self._sequence,
                bid_e8=middle - away,
                bid_size_e8=size_e8,
                ask_e8=middle + away,
                ask_size_e8=size_e8,
                last_e8=middle,
                simulated=True,
            )
            command = markets.UpdateQuote(symbol=symbol, quote=quote)
            self._send("markets", symbol, command, is_punctual=True)

    # --- accounts ----------------------------------------------------------------------------

    def _deposit(self) -> None:
        account_id = self._random.choice(self._accounts)
        amount_e8 = self._random.choice((1, 500, 3_000)) * E8
        command = accounts.DepositFunds(account_id=account_id, amount_e8=amount_e8)
        self._send("accounts", account_id, command)

    def _withdraw(self) -> None:
        account_id = self._random.choice(self._accounts)
        amount_e8 = self._random.choice((1, 100, 4_000)) * E8
        command = accounts.WithdrawFunds(account_id=account_id, amount_e8=amount_e8)
        self._send("accounts", account_id, command)

    def _order(self) -> None:
        order = self._drawn_order()
        self._send("accounts", order.account_id, order)

    def _check(self) -> None:
        order = self._drawn_order()
        self._send("accounts", order.account_id, accounts.CheckOrder(order=order))

    def _drawn_order(self) -> accounts.PlaceOrder:
        random = self._random
        symbol = random.choice(self._seen.priced() or SYMBOLS)
        is_limit = random.random() < (0.9 if self._is_crowded else 0.7)
        time_in_force = random.choice(_TIMES_IN_FORCE if is_limit else _TIMES_IN_FORCE[:5])
        side = random.choice(tuple(accounts.Side))
        sellers = sorted(self._seen.sellers[symbol]) if side is accounts.Side.SELL else ()
        order = accounts.PlaceOrder(
            account_id=random.choice(sellers or self._accounts),
            asset=symbol.removesuffix("-USD"),
            side=side,
            order_type=accounts.OrderType.LIMIT if is_limit else accounts.OrderType.MARKET,
            quantity_e8=self._quantity(symbol, (100, 500, 2_345)),
            price_e8=self._limit(symbol) if is_limit else None,
            time_in_force=time_in_force,
            client_order_id=f"id{random.randrange(50)}" if random.random() < 0.3 else None,
            expires_at_ms=self._broker.scheduler.now_ms + random.choice((1, 200, 20_000))
            if time_in_force is accounts.TimeInForce.GTD
            else None,
            post_only=random.random() < 0.1,
            self_trade_prevention=random.choice(_SELF_TRADE_PREVENTIONS),
        )
        if random.random() < (0.05 if self._is_crowded else 0.3):
            order = self._stop(order, symbol)
        return self._odd(order) if random.random() < 0.06 else order

    def _quantity(self, symbol: str, sizes: tuple[int, ...]) -> int:
        lots = self._random.choice((0, 0, 3, 7))
        return _SIZE_E8[symbol] * self._random.choice(sizes) + _LOT_E8[symbol] * lots

    def _limit(self, symbol: str) -> int:
        """Near the last price, often the house's or that of another order, so that they compete."""
        random, tick = self._random, _TICK_E8[symbol]
        if self._is_crowded:
            return self._prices[symbol] + random.choice((-1, 0, 0, 1)) * _step_e8(symbol)
        others = [order for _, order in self._seen.orders() if order.symbol == symbol]
        price_e8 = random.choice(others).price_e8 if others and random.random() < 0.5 else None
        if price_e8 is not None:
            return price_e8
        drift = random.choice((0, -60, -5, 5, 60)) * self._prices[symbol] // 10_000
        return (self._prices[symbol] + drift) // tick * tick + random.choice((-tick, 0, tick))

    def _odd(self, order: accounts.PlaceOrder) -> accounts.PlaceOrder:
        """The order with something that no market takes, or hardly."""
        now_ms, price_e8 = self._broker.scheduler.now_ms, order.price_e8 or 0
        changes: tuple[dict[str, Any], ...] = (
            {"asset": "NONE"},
            {"quantity_e8": order.quantity_e8 + 1},
            {"quantity_e8": 100_000},
            {"quantity_e8": order.quantity_e8 * 400},
            {"price_e8": price_e8 + 1},
            {"price_e8": None},
            {"price_e8": price_e8 // 1_000_000 * 1_000 + 10_000},
            {"expires_at_ms": now_ms - 1},
            {"stop_price_e8": 0},
            {"stop_price_e8": price_e8 + 1},
            {"time_in_force": accounts.TimeInForce.FOK, "expires_at_ms": None},
            {"post_only": True},
        )
        return replace(order, **self._random.choice(changes))

    def _provide(self, account_id: str, symbol: str) -> None:
        """Something to sell."""
        order = accounts.PlaceOrder(
            account_id=account_id,
            asset=symbol.removesuffix("-USD"),
            side=accounts.Side.BUY,
            order_type=accounts.OrderType.MARKET,
            quantity_e8=_SIZE_E8[symbol] * 2_000,
        )
        self._send("accounts", account_id, order, is_punctual=True)

    def _many_stops(self) -> None:
        """So many stops just above the last price that one quote triggers more than one decision's.

        Sent by clients that are in a hurry, so they count as one command.
        """
        symbol, account_id = "XRP-USD", self._random.choice(self._accounts)
        tick, price_e8 = _TICK_E8[symbol], self._prices[symbol]
        while self._stops_left:
            self._stops_left -= 1
            order = accounts.PlaceOrder(
                account_id=account_id,
                asset=symbol.removesuffix("-USD"),
                side=accounts.Side.BUY,
                order_type=self._random.choice(tuple(accounts.OrderType)),
                quantity_e8=_SIZE_E8[symbol] * 5,
                price_e8=price_e8,
                stop_price_e8=price_e8 + tick * self._random.randrange(10, 20),
            )
            self._send("accounts", account_id, order, is_punctual=True)

    def _stop(self, order: accounts.PlaceOrder, symbol: str) -> accounts.PlaceOrder:
        """The order with a stop price so near to the last price that many are soon triggered."""
        tick, price_e8 = _TICK_E8[symbol], self._prices[symbol]
        away = 1 if order.side is accounts.Side.BUY else -1
        drift = away * self._random.choice((-5, 1, 1, 1, 2, 2, 5, 20)) * price_e8 // 10_000
        is_waiting = order.time_in_force is not accounts.TimeInForce.FOK
        return replace(
            order,
            stop_price_e8=(price_e8 + drift) // tick * tick,
            time_in_force=order.time_in_force if is_waiting else accounts.TimeInForce.GTC,
            post_only=order.post_only and self._random.random() < 0.1,
        )

    def _cancel(self) -> None:
        accepted = self._seen.orders()
        account_id, order_id = self._accounts[0], "f" * 32
        if accepted and self._random.random() < 0.9:
            account_id, order = self._random.choice(accepted)
            order_id = order.order_id
        command = accounts.CancelOrder(account_id=account_id, order_id=order_id)
        self._send("accounts", account_id, command)

    def _replace(self) -> None:
        accepted = self._seen.orders()
        if not accepted:
            return
        stops = [each for each in accepted if each[1].stop_price_e8 is not None]
        if stops and self._random.random() < 0.4:
            self._move_stop(*self._random.choice(stops))
            return
        account_id, order = self._random.choice(accepted)
        tick, lot = _TICK_E8[order.symbol], _LOT_E8[order.symbol]
        price_e8 = (order.price_e8 or order.protection_price_e8) // tick * tick
        drift = self._random.choice((0, -20, 20, 60)) * price_e8 // 10_000 // tick * tick
        halved_e8 = order.quantity_e8 // 2 // lot * lot
        command = accounts.ReplaceOrder(
            account_id=account_id,
            order_id=order.order_id,
            quantity_e8=self._random.choice(
                (None, None, halved_e8, order.quantity_e8 * 3, 1_000_000_000)
            ),
            price_e8=self._random.choice((None, price_e8 + drift)),
            stop_price_e8=self._random.choice((*[None] * 9, self._prices[order.symbol] + drift)),
        )
        self._send("accounts", account_id, command)

    def _move_stop(self, account_id: str, order: accounts.Order) -> None:
        tick, price_e8 = _TICK_E8[order.symbol], self._prices[order.symbol]
        drift = self._random.choice((-60, -5, 0, 5, 60)) * price_e8 // 10_000
        command = accounts.ReplaceOrder(
            account_id=account_id,
            order_id=order.order_id,
            stop_price_e8=(price_e8 + drift) // tick * tick,
        )
        self._send("accounts", account_id, command)

    def _set_fees(self) -> None:
        """Some tiers, which accounts climb in a few trades, in each partition by itself."""
        volumes = sorted(self._random.sample(range(1, 3_000), self._random.choice((0, 1, 3))))
        tiers = tuple(
            FeeTier(
                volume_e8=volume * E8,
                maker_fee_ppm=self._random.choice((0, 333, 1_000)),
                taker_fee_ppm=self._random.choice((0, 777, 2_500)),
            )
            for volume in (0, *volumes)
        )
        for number in range(self._broker.partitions["accounts.commands"]):
            self._send("accounts", number, accounts.SetFees(tiers=tiers))

    def _cancel_all(self) -> None:
        account_id = self._random.choice(self._accounts)
        asset = self._random.choice((None, "BTC"))
        command = accounts.CancelAllOrders(account_id=account_id, asset=asset)
        self._send("accounts", account_id, command)

    # --- identity ----------------------------------------------------------------------------

    def _register(self) -> None:
        name = f"name{self._random.randrange(6)}"
        command = identity.RegisterUser(
            username_hmac=name,
            email_hmac=f"mail{self._random.randrange(4)}",
            profile=_CIPHERTEXT,
            password_hash=_CIPHERTEXT,
            marketing_emails_consent=False,
        )
        self._send("identity", name, command)

    def _profile(self) -> None:
        name = self._name()
        command = identity.UpdateProfile(
            username_hmac=name,
            based_on=_CIPHERTEXT.nonce,
            email_hmac=f"mail{self._random.randrange(6)}",
            profile=_CIPHERTEXT,
            marketing_emails_consent=True,
        )
        self._send("identity", name, command)

    def _name(self) -> str:
        """Mostly somebody who registered."""
        users = self._seen.users()
        if users and self._random.random() < 0.7:
            return self._random.choice(users).username_hmac
        return f"name{self._random.randrange(6)}"

    def _erase(self) -> None:
        """Mostly somebody who is still there."""
        users = self._seen.users()
        if users:
            user = self._random.choice(users[-3:])
            command = identity.EraseUser(username_hmac=user.username_hmac, user_id=user.user_id)
            self._send("identity", user.username_hmac, command)

    def _sign_in(self) -> None:
        address, name = "address", self._name()
        attempt = f"{self._random.getrandbits(64):016x}"
        reserve = identity.ReserveSignIn(
            address_hmac=address, username_hmac=name, attempt_id=attempt
        )
        self._send("identity", address, reserve)
        if self._random.random() < 0.8:
            settle = identity.SettleSignIn(
                address_hmac=address,
                username_hmac=name,
                attempt_id=attempt,
                right=self._random.random() < 0.7,
                expires_at_ms=self._broker.scheduler.now_ms + _DAY_MS,
                refresh_hmac="first",
            )
            self._send("identity", name, settle)

    def _refresh(self) -> None:
        """Often with the newest token, else with one that was used, or nobody's."""
        sessions = self._seen.sessions()
        session = self._random.choice(sessions) if sessions else Session("name0", "none")
        tokens = session.tokens
        back = min(self._random.choice((0, 0, 0, 0, 1, 3)), len(tokens) - 1)
        command = identity.RefreshSession(
            username_hmac=session.username_hmac,
            session_id=session.session_id,
            generation=len(tokens) - 1 - back,
            refresh_hmac=tokens[-1 - back],
            next_hmac=f"{self._random.getrandbits(64):016x}",
            expires_at_ms=self._broker.scheduler.now_ms + _DAY_MS,
        )
        self._send("identity", session.username_hmac, command)

    def _change_password(self) -> None:
        name = self._name()
        command = identity.ChangePassword(
            address_hmac="address",
            username_hmac=name,
            attempt_id=f"{self._random.getrandbits(64):016x}",
            session_id=self._random.choice(
                [each.session_id for each in self._seen.sessions()] or ["none"]
            ),
            password_hash=_CIPHERTEXT,
        )
        self._send("identity", name, command)

    def _operate(self) -> None:
        """Operators lock users, more often unlock them, and change roles."""
        name = self._name()
        role = self._random.choice(tuple(identity.Role))
        lock = identity.LockUser(username_hmac=name)
        unlock = identity.UnlockUser(username_hmac=name)
        change = identity.ChangeRole(username_hmac=name, role=role)
        self._send("identity", name, self._random.choice((lock, unlock, unlock, change)))

    # --- markets -----------------------------------------------------------------------------

    def _list(self, symbol: str) -> None:
        rules = markets.Rules(
            tick_e8=_TICK_E8[symbol],
            lot_e8=_LOT_E8[symbol],
            min_notional_e8=E8,
            collar_ppm=self._random.choice((10_000, 10_000, 10_000, 300)),
            stale_after_ms=self._random.choice(
                (60 * _DAY_MS, 60 * _DAY_MS, 5_000) if self._is_long else (5_000, 5_000, 200)
            ),
            maker_fee_ppm=self._random.choice((0, 1_000)),
            taker_fee_ppm=self._random.choice((0, 2_500)),
        )
        command = markets.ListMarket(symbol=symbol, asset=symbol.removesuffix("-USD"), rules=rules)
        self._send("markets", symbol, command, is_punctual=True)

    def _list_again(self) -> None:
        self._list(self._random.choice(SYMBOLS))

    def _halt_or_resume(self) -> None:
        symbol = self._random.choice(SYMBOLS)
        kind = self._random.choice((markets.HaltMarket, markets.ResumeMarket))
        self._send("markets", symbol, kind(symbol=symbol))
        resume = partial(self._send, "markets", symbol, markets.ResumeMarket(symbol=symbol))
        later = self._random.choice((1, 1, 300))
        self._broker.scheduler.later(later, partial(resume, is_punctual=True))

    def _tick(self) -> None:
        for number in range(self._broker.partitions["markets.commands"]):
            self._send("markets", number, markets.TickClock())

    def _days_pass(self) -> None:
        """Until a day's volume is about to leave its tier, or just left it."""
        self._broker.scheduler.now_ms += self._random.choice((1, 29, 29, 30, 30)) * _DAY_MS
        self.quote()

    # --- sending -----------------------------------------------------------------------------

    def _poison(self) -> None:
        body = f"poison {self._random.getrandbits(64):x}".encode()
        context = self._random.choice(("accounts", "identity", "markets"))
        number = self._random.randrange(self._broker.partitions[f"{context}.commands"])
        headers = self._random.choice(([], [("ce_type", b"no.such.v1"), ("command-id", body[-8:])]))
        self._broker.append((f"{context}.commands", number), [NewRecord(body, headers)])
        self.poison.append(body)

    def _send(
        self, context: str, key: str | int, command: Message, *, is_punctual: bool = False
    ) -> None:
        command_id = f"{self._random.getrandbits(128):032x}"
        now_ms = self._broker.scheduler.now_ms
        keyed = self._random.random() < 0.3
        topic = f"{context}.commands"
        partitions = self._broker.partitions[topic]
        number = key if isinstance(key, int) else partition_of(key, partitions)
        headers = command_headers(
            command,
            producer="operators",
            command_id=command_id,
            time_ms=now_ms,
            expires_at_ms=now_ms + (600_000 if is_punctual else self._random.choice(_LIVES_MS)),
            retain_until_ms=now_ms + _DAY_MS if keyed else None,
            fingerprint="same",
            reply_to=ReplyRoute(0, command_id),
        )
        record = NewRecord(encode(command), headers, str(key).encode())
        times = 2 if self._random.random() < self._duplicate else 1
        self._broker.append((topic, number), [record])
        self.sent[command_id] = context
        for _ in range(times - 1):
            later = self._random.randrange(1, 300)
            self._broker.scheduler.later(
                later, lambda: self._broker.append((topic, number), [record])
            )


def _step_e8(symbol: str) -> int:
    """About a thousandth of the first price."""
    return _PRICE_E8[symbol] // 1_000
