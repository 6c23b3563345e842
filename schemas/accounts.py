"""Messages of accounts: cash, holdings, locks, the life of orders, fees and limits.

Amounts, prices and quantities are integers of 1e-8 units (`*_e8`), times broker milliseconds.
"""

from enum import StrEnum
from typing import Annotated, ClassVar, Final

import msgspec

from schemas.codec import Codec, Message
from schemas.fees import Tiers, check_tiers

CASH: Final = "USD"


class Side(StrEnum):
    """FIX 54."""

    BUY = "BUY"
    SELL = "SELL"


class OrderType(StrEnum):
    """FIX 40."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"


class TimeInForce(StrEnum):
    """FIX 59."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    DAY = "DAY"
    GTD = "GTD"


BUY: Final = Side.BUY
SELL: Final = Side.SELL
LIMIT: Final = OrderType.LIMIT
MARKET: Final = OrderType.MARKET
IOC: Final = TimeInForce.IOC
FOK: Final = TimeInForce.FOK
DAY: Final = TimeInForce.DAY
GTD: Final = TimeInForce.GTD
"""The words of which every decision asks: Python 3.11 looks a member up in its class in 130 ns."""
RESTING: Final = frozenset({TimeInForce.GTC, DAY, GTD})
"""What is left of these rests; IOC and FOK never do."""


class OrderStatus(StrEnum):
    """FIX 39."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


class Liquidity(StrEnum):
    """FIX 851."""

    MAKER = "MAKER"
    TAKER = "TAKER"


class SelfTradePrevention(StrEnum):
    """Which order ends where an account would trade with itself; the newer one's word counts.

    FIX calls the newer one the aggressive, the older one the passive.
    """

    CANCEL_NEWEST = "cancel_newest"
    CANCEL_OLDEST = "cancel_oldest"
    CANCEL_BOTH = "cancel_both"


class Reason(StrEnum):
    """Why a command was refused or an order ended; the edge maps each to one problem type."""

    INSUFFICIENT_FUNDS = "insufficient-funds"
    INSUFFICIENT_HOLDINGS = "insufficient-holdings"
    DEPOSIT_LIMIT = "deposit-limit"
    WITHDRAWAL_LIMIT = "withdrawal-limit"
    INVALID_AMOUNT = "invalid-amount"
    INVALID_QUANTITY = "invalid-quantity"
    INVALID_PRICE = "invalid-price"
    ORDER_VALUE = "order-value"
    MIN_NOTIONAL = "min-notional"
    TICK_SIZE = "tick-size"
    LOT_SIZE = "lot-size"
    UNKNOWN_ASSET = "unknown-asset"
    MARKET_HALTED = "market-halted"
    NO_PRICE = "no-price"
    OPEN_ORDERS = "open-orders"
    DUPLICATE_CLIENT_ORDER_ID = "duplicate-client-order-id"
    UNKNOWN_ORDER = "unknown-order"
    ORDER_FINAL = "order-final"
    CANCEL_PENDING = "cancel-pending"
    DEADLINE = "deadline"
    COLLAR = "collar"
    NO_LIQUIDITY = "no-liquidity"
    FILL_LIMIT = "fill-limit"
    CANCELED_BY_USER = "canceled-by-user"
    INVALID_TIME_IN_FORCE = "invalid-time-in-force"
    INVALID_EXPIRY = "invalid-expiry"
    EXPIRED = "expired"
    POST_ONLY = "post-only"
    REPLACE_PENDING = "replace-pending"
    SELF_TRADE = "self-trade"
    QUANTITY_FILLED = "quantity-filled"
    NOT_A_STOP = "not-a-stop"
    STOP_TRIGGERED = "stop-triggered"


class EndReason(StrEnum):
    """How an order left its market."""

    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"


class Posting(msgspec.Struct, frozen=True, gc=False):
    """One line of double entry; the postings of an event sum to zero per asset."""

    account: str
    asset: str
    bucket: str
    amount_e8: int


class Holding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What an account has of one asset after an event; cost and realised P&L are in USD.

    Cost is the average-cost basis of free and locked together; both are zero for USD.
    """

    asset: str
    free_e8: int
    locked_e8: int
    cost_e8: int = 0
    realized_e8: int = 0
    created_at_ms: int = 0


class Replacement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What an order becomes if its market agrees; the price is that of a limit order.

    A stop that gets another stop price gets the protection price that goes with it.
    """

    quantity_e8: int
    price_e8: int | None = None
    stop_price_e8: int | None = None
    protection_price_e8: int | None = None


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An order after an event; `locked_e8` of `locked_asset` is still held for it.

    `number` counts the account's accepted orders densely from 1; it is 0 for one refused before
    acceptance. `price_e8` is the limit (absent for a market order); `protection_price_e8` the
    worst price that the lock was computed from. The fee rates (parts per million) are those of its
    acceptance; `taker_notional_e8` is the part of `cum_notional_e8` that took liquidity.
    From broker time `expires_at_ms` on a DAY or GTD order is over (FIX 126); a `post_only` one
    never takes liquidity (FIX 18=6). One with a `stop_price_e8` (FIX 99) waits in its market, open
    and unseen, until the last price reaches it; then it is what it would be without. While
    `replacing` is asked of its market, `locked_e8` covers the order as it is and as it may become.
    """

    order_id: str
    number: int
    symbol: str
    asset: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    quantity_e8: int
    price_e8: int | None = None
    protection_price_e8: int = 0
    cum_quantity_e8: int = 0
    cum_notional_e8: int = 0
    taker_notional_e8: int = 0
    fee_e8: int = 0
    maker_fee_ppm: int = 0
    taker_fee_ppm: int = 0
    locked_asset: str = CASH
    locked_e8: int = 0
    status: OrderStatus = OrderStatus.NEW
    reason: Reason | None = None
    client_order_id: str | None = None
    command_id: str = ""
    created_at_ms: int = 0
    updated_at_ms: int = 0
    expires_at_ms: int | None = None
    post_only: bool = False
    replacing: Replacement | None = None
    stop_price_e8: int | None = None
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST

    @property
    def ends_at_once(self) -> bool:
        """Whether it never waits, so that the client hears of its end, not of its acceptance."""
        return self.time_in_force not in RESTING and self.stop_price_e8 is None


class Execution(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One leg of a trade as it reached an account (FIX ExecutionReport, ExecType=F)."""

    trade_id: str
    price_e8: int
    quantity_e8: int
    notional_e8: int
    fee_e8: int
    liquidity: Liquidity


ClientAccount = Annotated[str, msgspec.Meta(pattern="^[0-9A-Za-z_-]{1,64}$")]
"""An account that a client may name: never `house:…`, nor another kind of entity."""


# --- commands from clients ---------------------------------------------------------------------


class DepositFunds(Message):
    """Bring USD in."""

    TYPE: ClassVar[str] = "accounts.deposit-funds.v1"
    account_id: ClientAccount
    amount_e8: int


class WithdrawFunds(Message):
    """Take USD out."""

    TYPE: ClassVar[str] = "accounts.withdraw-funds.v1"
    account_id: ClientAccount
    amount_e8: int


class PlaceOrder(Message):
    """Place a market or limit order on the asset's USD market.

    A GTD order, and only one, says with `expires_at_ms` (broker time) when it is over. With a
    `stop_price_e8` it waits until the last price gets there: a buy from below, a sell from above.
    """

    TYPE: ClassVar[str] = "accounts.place-order.v1"
    account_id: ClientAccount
    asset: str
    side: Side
    order_type: OrderType
    quantity_e8: int
    price_e8: int | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    client_order_id: str | None = None
    expires_at_ms: int | None = None
    post_only: bool = False
    stop_price_e8: int | None = None
    self_trade_prevention: SelfTradePrevention = SelfTradePrevention.CANCEL_NEWEST


class CheckOrder(Message):
    """Say what placing this order would do, and do nothing."""

    TYPE: ClassVar[str] = "accounts.check-order.v1"
    order: PlaceOrder


class CancelOrder(Message):
    """Ask the market to take an order out of its book."""

    TYPE: ClassVar[str] = "accounts.cancel-order.v1"
    account_id: ClientAccount
    order_id: str


class ReplaceOrder(Message):
    """Ask the market to change an open order's quantity (all of it, filled or not) or limit.

    It keeps its priority when only the quantity falls. One change may be pending at a time. A stop
    that waits can get another stop price too.
    """

    TYPE: ClassVar[str] = "accounts.replace-order.v1"
    account_id: ClientAccount
    order_id: str
    quantity_e8: int | None = None
    price_e8: int | None = None
    stop_price_e8: int | None = None


class CancelAllOrders(Message):
    """Ask the markets to take every open order out of their books, or those of one asset."""

    TYPE: ClassVar[str] = "accounts.cancel-all-orders.v1"
    account_id: ClientAccount
    asset: str | None = None


class SetFees(Message):
    """An operator's: from now on these tiers count; sent to every partition.

    Raises:
        ValueError: they are no schedule; decoding then fails.
    """

    TYPE: ClassVar[str] = "accounts.set-fees.v1"
    OPERATORS_ONLY: ClassVar[bool] = True
    tiers: Tiers

    def __post_init__(self) -> None:
        """Refuse what is no schedule."""
        check_tiers(self.tiers)


# --- facts from accounts itself ----------------------------------------------------------------


class ContinueCancelAll(Message):
    """Go on with the open orders numbered after `after_number` up to `until_number`.

    `order_ids` are those whose cancel went out before.
    """

    TYPE: ClassVar[str] = "accounts.continue-cancel-all.v1"
    account_id: str
    asset: str | None
    after_number: int
    until_number: int
    order_ids: tuple[str, ...]


# --- facts from markets ------------------------------------------------------------------------


class ApplyExecution(Message):
    """One leg of a trade; `order_id` is absent for the house's leg.

    `cum_quantity_e8` and `cum_notional_e8` are the order's totals including this trade.
    """

    TYPE: ClassVar[str] = "accounts.apply-execution.v1"
    account_id: str
    symbol: str
    asset: str
    side: Side
    trade_id: str
    price_e8: int
    quantity_e8: int
    notional_e8: int
    liquidity: Liquidity
    order_id: str | None = None
    cum_quantity_e8: int = 0


class EndOrder(Message):
    """The last message of an order that reached a market; only this unlocks the rest."""

    TYPE: ClassVar[str] = "accounts.end-order.v1"
    account_id: str
    order_id: str
    symbol: str
    end: EndReason
    cum_quantity_e8: int
    reason: Reason | None = None


class RefuseCancel(Message):
    """The market's answer to a cancel it could not do."""

    TYPE: ClassVar[str] = "accounts.refuse-cancel.v1"
    account_id: str
    order_id: str
    reason: Reason


class ApplyReplace(Message):
    """The market did what a replace asked; trades of the changed order come after it."""

    TYPE: ClassVar[str] = "accounts.apply-replace.v1"
    account_id: str
    order_id: str
    symbol: str
    quantity_e8: int
    price_e8: int | None
    cum_quantity_e8: int
    stop_price_e8: int | None = None


class RefuseReplace(Message):
    """The market's answer to a replace it could not do."""

    TYPE: ClassVar[str] = "accounts.refuse-replace.v1"
    account_id: str
    order_id: str
    reason: Reason


class PriceCollar(Message):
    """Last price of a market and the band a market order may trade in; sent to every partition."""

    TYPE: ClassVar[str] = "accounts.price-collar.v1"
    symbol: str
    last_e8: int
    low_e8: int
    high_e8: int


class MarketTerms(Message):
    """Rules and fees of a market; sent to every partition when they change."""

    TYPE: ClassVar[str] = "accounts.market-terms.v1"
    symbol: str
    asset: str
    tick_e8: int
    lot_e8: int
    min_notional_e8: int
    maker_fee_ppm: int
    taker_fee_ppm: int
    stale_after_ms: int
    is_open: bool


# --- events ------------------------------------------------------------------------------------
# The entity of an account's events is its account id, of CollarSet and TermsSet `market:<symbol>`,
# of FeesSet `fees:schedule`.


class FundsDeposited(Message):
    """USD came in; `day_total_e8` is what counts against the daily limit so far.

    `transactions` numbers the account's money movements densely from 1: a deposit, a withdrawal
    and a trade's payment or sale are one each, and a trade's fee, unless it is zero, one more.
    """

    TYPE: ClassVar[str] = "accounts.funds-deposited.v1"
    account_id: str
    transaction_id: str
    amount_e8: int
    day_total_e8: int
    holdings: tuple[Holding, ...]
    postings: tuple[Posting, ...]
    transactions: int = 0


class FundsWithdrawn(Message):
    """USD went out; `day_total_e8` is what counts against the daily limit so far.

    `transactions` numbers the account's money movements (see `FundsDeposited`).
    """

    TYPE: ClassVar[str] = "accounts.funds-withdrawn.v1"
    account_id: str
    transaction_id: str
    amount_e8: int
    day_total_e8: int
    holdings: tuple[Holding, ...]
    postings: tuple[Posting, ...]
    transactions: int = 0


class CommandRefused(Message):
    """A deposit, withdrawal, cancel or check was refused; nothing of the account changed."""

    TYPE: ClassVar[str] = "accounts.command-refused.v1"
    account_id: str
    command: str
    reason: Reason
    order_id: str | None = None


class OrderAccepted(Message):
    """ExecType NEW: the worst case is locked and the order goes to its market.

    `deadline_ms` is broker time by which it must have reached the book.
    """

    TYPE: ClassVar[str] = "accounts.order-accepted.v1"
    account_id: str
    order: Order
    deadline_ms: int | None
    holdings: tuple[Holding, ...]
    postings: tuple[Posting, ...]


class OrderChecked(Message):
    """The order would be accepted now and lock this much; nothing of the account changed.

    `fee_e8` is what it would cost to fill all of it at `protection_price_e8`, the worst price.
    """

    TYPE: ClassVar[str] = "accounts.order-checked.v1"
    account_id: str
    symbol: str
    protection_price_e8: int
    locked_asset: str
    locked_e8: int
    fee_e8: int


class OrderRejected(Message):
    """ExecType REJECTED: refused before acceptance (no postings), or by its market."""

    TYPE: ClassVar[str] = "accounts.order-rejected.v1"
    account_id: str
    order: Order
    holdings: tuple[Holding, ...] = ()
    postings: tuple[Posting, ...] = ()


class OrderTraded(Message):
    """ExecType TRADE: one execution, settled from the lock.

    `transactions` is the number of its last money movement (see `FundsDeposited`),
    `day_volume_e8` what the account traded so far on that day (UTC, logical time), in USD.
    """

    TYPE: ClassVar[str] = "accounts.order-traded.v1"
    account_id: str
    order: Order
    execution: Execution
    holdings: tuple[Holding, ...]
    postings: tuple[Posting, ...]
    transactions: int = 0
    day_volume_e8: int = 0


class OrderFilled(Message):
    """The market ended the order wholly filled; what is left of the lock is released."""

    TYPE: ClassVar[str] = "accounts.order-filled.v1"
    account_id: str
    order: Order
    holdings: tuple[Holding, ...]
    postings: tuple[Posting, ...]


class OrderCanceled(Message):
    """ExecType CANCELED; what is left of the lock is released."""

    TYPE: ClassVar[str] = "accounts.order-canceled.v1"
    account_id: str
    order: Order
    holdings: tuple[Holding, ...]
    postings: tuple[Posting, ...]


class OrderExpired(Message):
    """ExecType EXPIRED; what is left of the lock is released."""

    TYPE: ClassVar[str] = "accounts.order-expired.v1"
    account_id: str
    order: Order
    holdings: tuple[Holding, ...]
    postings: tuple[Posting, ...]


class CancelRequested(Message):
    """ExecType PENDING_CANCEL: the cancel goes to the market, which answers it."""

    TYPE: ClassVar[str] = "accounts.cancel-requested.v1"
    account_id: str
    order: Order


class ReplaceRequested(Message):
    """ExecType PENDING_REPLACE: the lock covers both orders, and the market answers."""

    TYPE: ClassVar[str] = "accounts.replace-requested.v1"
    account_id: str
    order: Order
    holdings: tuple[Holding, ...] = ()
    postings: tuple[Posting, ...] = ()


class OrderReplaced(Message):
    """ExecType REPLACED: the order has its new terms, and only what they may need is locked."""

    TYPE: ClassVar[str] = "accounts.order-replaced.v1"
    account_id: str
    order: Order
    holdings: tuple[Holding, ...] = ()
    postings: tuple[Posting, ...] = ()


class ReplaceRefused(Message):
    """The market refused a replace: the order is as before, and what it locked more is free."""

    TYPE: ClassVar[str] = "accounts.replace-refused.v1"
    account_id: str
    order: Order
    reason: Reason
    holdings: tuple[Holding, ...] = ()
    postings: tuple[Posting, ...] = ()


class Canceling(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An order whose cancel goes to its market."""

    order_id: str
    symbol: str


class CancelAllRequested(Message):
    """One step of a cancel of all: the cancels of `orders` go to their markets.

    Each market ends its orders when it gets there. The step without `next` is the last and answers
    the client; `order_ids` are all whose cancel went out, this step's included.
    """

    TYPE: ClassVar[str] = "accounts.cancel-all-requested.v1"
    account_id: str
    orders: tuple[Canceling, ...]
    order_ids: tuple[str, ...]
    next: ContinueCancelAll | None = None


class HouseTraded(Message):
    """The house's leg of a trade, on ledger account `house:<symbol>`."""

    TYPE: ClassVar[str] = "accounts.house-traded.v1"
    account_id: str
    symbol: str
    side: Side
    execution: Execution
    holdings: tuple[Holding, ...]
    postings: tuple[Posting, ...]


class CollarSet(Message):
    """This partition's price band of a market, with the log time it came at."""

    TYPE: ClassVar[str] = "accounts.collar-set.v1"
    symbol: str
    last_e8: int
    low_e8: int
    high_e8: int


class TermsSet(Message):
    """This partition's rules and fees of a market."""

    TYPE: ClassVar[str] = "accounts.terms-set.v1"
    terms: MarketTerms


class FeesSet(Message):
    """This partition's fees by tier; orders that are open keep the rates of their acceptance."""

    TYPE: ClassVar[str] = "accounts.fees-set.v1"
    tiers: Tiers


OrderEvent = (
    OrderAccepted
    | OrderRejected
    | OrderTraded
    | OrderFilled
    | OrderCanceled
    | OrderExpired
    | ReplaceRequested
    | OrderReplaced
    | ReplaceRefused
)
"""What carries an order; the orders read model has all of them."""

COMMANDS: Final = Codec(
    DepositFunds,
    WithdrawFunds,
    PlaceOrder,
    CheckOrder,
    CancelOrder,
    ReplaceOrder,
    CancelAllOrders,
    SetFees,
    ContinueCancelAll,
    ApplyExecution,
    EndOrder,
    RefuseCancel,
    ApplyReplace,
    RefuseReplace,
    PriceCollar,
    MarketTerms,
)
EVENTS: Final = Codec(
    FundsDeposited,
    FundsWithdrawn,
    CommandRefused,
    OrderAccepted,
    OrderChecked,
    OrderRejected,
    OrderTraded,
    OrderFilled,
    OrderCanceled,
    OrderExpired,
    CancelRequested,
    CancelAllRequested,
    ReplaceRequested,
    OrderReplaced,
    ReplaceRefused,
    HouseTraded,
    CollarSet,
    TermsSet,
    FeesSet,
)
