"""Orders a second of one core in one book: 70 % rest, 20 % cancel, 10 % match."""

import random
from collections.abc import Iterator

from benchmarks.measure import Cost, Stopwatch
from consumers.markets.context import MarketsContext
from consumers.markets.state import Markets
from schemas.accounts import OrderType, Side, TimeInForce
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.markets import CancelRestingOrder, ListMarket, Quote, Rules, SubmitOrder, UpdateQuote
from schemas.money import E8

COMMANDS = 100_000
SYMBOL = "BTC-USD"
MID_E8 = 40_000 * E8
TICK_E8 = E8 // 100


def opening() -> list[Message]:
    """A listed market with a fresh quote."""
    rules = Rules(tick_e8=TICK_E8, lot_e8=1000, min_notional_e8=E8)
    quote = Quote(
        feed_id="bench",
        sequence=1,
        bid_e8=MID_E8 - TICK_E8,
        bid_size_e8=0,
        ask_e8=MID_E8 + TICK_E8,
        ask_size_e8=0,
        last_e8=MID_E8,
    )
    return [
        ListMarket(symbol=SYMBOL, asset="BTC", rules=rules),
        UpdateQuote(symbol=SYMBOL, quote=quote),
    ]


def order(chance: random.Random, n: int, *, is_match: bool) -> SubmitOrder:
    """A resting limit order near the middle, or one that takes what is there."""
    side = chance.choice((Side.BUY, Side.SELL))
    away_e8 = chance.randrange(1, 2_000) * TICK_E8
    better_e8 = away_e8 if is_match else -away_e8
    price_e8 = MID_E8 + (better_e8 if side is Side.BUY else -better_e8)
    return SubmitOrder(
        symbol=SYMBOL,
        account_id=("b" if is_match else "a") * 32,
        order_id=f"{n:032x}",
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.IOC if is_match else TimeInForce.GTC,
        quantity_e8=chance.randrange(1, 100) * 1000,
        price_e8=price_e8,
        protection_price_e8=price_e8,
    )


def workload(seed: int = 1) -> list[Message]:
    """The same commands in every run."""
    chance = random.Random(seed)  # noqa: S311  # a workload, not a secret
    open_ids: list[str] = []
    commands: list[Message] = []
    for n in range(COMMANDS):
        kind = chance.random()
        if kind < 0.2 and open_ids:  # noqa: PLR2004  # the mix is named above
            at = chance.randrange(len(open_ids))
            open_ids[at], open_ids[-1] = open_ids[-1], open_ids[at]
            commands.append(
                CancelRestingOrder(symbol=SYMBOL, account_id="a" * 32, order_id=open_ids.pop())
            )
            continue
        submitted = order(chance, n, is_match=kind > 0.9)  # noqa: PLR2004  # the mix is named above
        commands.append(submitted)
        if submitted.time_in_force is TimeInForce.GTC:
            open_ids.append(submitted.order_id)
    return commands


def resting(count: int, seed: int = 2) -> Iterator[Message]:
    """That many orders that stay."""
    chance = random.Random(seed)  # noqa: S311  # a workload, not a secret
    return (order(chance, n, is_match=False) for n in range(count))


def run(context: MarketsContext, state: Markets, commands: list[Message]) -> int:
    """Decide and evolve each command; returns how many events there were."""
    events_count = 0
    for offset, command in enumerate(commands):
        cause = Cause("markets.commands", 0, offset, 1_000, "c")
        events = context.decide(state, command, cause)
        for event in events:
            context.evolve(state, event, cause)
        events_count += len(events)
    return events_count


async def measured() -> Cost:
    """Decide and apply the workload in a fresh state."""
    context = MarketsContext()
    state = context.empty()
    run(context, state, opening())
    commands = workload()
    watch = Stopwatch()
    run(context, state, commands)
    return watch.cost(len(commands))
