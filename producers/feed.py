"""The local stack's market feed: lists the markets, then quotes them for ever."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from producers.commands import Acknowledgement, CommandPublisher
from producers.edge import RETRY_S, Flight, send, started
from producers.quotes import Tick, dense, quote
from producers.recorded import btc_ticks, xrp_ticks
from producers.simulated import walk
from runtime.errors import Unavailable
from runtime.settings import Settings
from runtime.settings import settings as settings_of_process
from schemas.codec import Message
from schemas.markets import ListMarket, Rules, UpdateQuote
from schemas.money import E8, parse_e8
from schemas.topics import MARKETS_COMMANDS

_LOG: Final = logging.getLogger(__name__)
_LOOP_PAUSE_MS: Final = 100
_ACKNOWLEDGED_S: Final = 5.0
_LATE_S_MAX: Final = 1.0
_GAP_S_MIN: Final = 0.1
"""Between two quotes of a market: BTC was recorded at 22 a second, more than anybody reads."""
_LISTING_MS: Final = 60_000

COARSE: Final = Rules(tick_e8=parse_e8("0.01"), lot_e8=parse_e8("0.00001"), min_notional_e8=1 * E8)
FINE: Final = Rules(tick_e8=parse_e8("0.0001"), lot_e8=parse_e8("0.001"), min_notional_e8=1 * E8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """A market that this feed lists and quotes; `ticks` never ends for a seed."""

    asset: str
    rules: Rules
    feed_id: str
    simulated: bool
    ticks: Callable[[int], Iterator[Tick]]

    @property
    def symbol(self) -> str:
        """Every asset trades against USD."""
        return f"{self.asset}-USD"


def looped(ticks: Iterable[Tick]) -> Iterator[Tick]:
    """A recording over and over, its times moved on so that they never go back."""
    recording = tuple(dense(ticks))
    length_ms = recording[-1].at_ms - recording[0].at_ms + _LOOP_PAUSE_MS
    shift_ms = 0
    while True:
        yield from (each._replace(at_ms=each.at_ms + shift_ms) for each in recording)
        shift_ms += length_ms


def _recorded(asset: str, rules: Rules, ticks: Callable[[], Iterable[Tick]]) -> Market:
    return Market(
        asset=asset,
        rules=rules,
        feed_id="recorded",
        simulated=False,
        ticks=lambda _seed: looped(ticks()),
    )


def _simulated(asset: str, rules: Rules, start: str, number: int) -> Market:
    start_e8 = parse_e8(start)
    return Market(
        asset=asset,
        rules=rules,
        feed_id="simulated",
        simulated=True,
        ticks=lambda seed: walk(seed=seed + number, start_e8=start_e8, tick_e8=rules.tick_e8),
    )


MARKETS: Final = (
    _recorded("BTC", COARSE, btc_ticks),
    _simulated("ETH", COARSE, "1220", 1),
    _recorded("XRP", FINE, xrp_ticks),
    _simulated("SOL", FINE, "230", 2),
    _simulated("DOGE", FINE, "0.42", 3),
)


async def main(settings: Settings | None = None) -> None:
    """Feed until cancelled, through whatever the broker does."""
    settings = settings or settings_of_process()
    publisher = CommandPublisher(settings, producer="feed")
    try:
        await started(publisher)
        await list_markets(publisher)
        async with asyncio.TaskGroup() as tasks:
            for market in MARKETS:
                tasks.create_task(_feed(publisher, market, settings))
    finally:
        await publisher.stop()


async def list_markets(publisher: CommandPublisher) -> None:
    """Open every market that is not listed yet; what an operator changed stays."""
    for market in MARKETS:
        listing = ListMarket(
            symbol=market.symbol, asset=market.asset, rules=market.rules, unless_listed=True
        )
        await _sent_for_sure(publisher, market.symbol, listing)
    _LOG.info("listed %s", ", ".join(each.symbol for each in MARKETS))


async def _sent_for_sure(publisher: CommandPublisher, symbol: str, command: Message) -> None:
    while True:
        with suppress(Unavailable, TimeoutError):
            sent = await send(publisher, symbol, command, lives_ms=_LISTING_MS)
            await asyncio.wait_for(asyncio.shield(sent), _ACKNOWLEDGED_S)
            return
        _LOG.info("waiting for %s", MARKETS_COMMANDS)
        await asyncio.sleep(RETRY_S)


async def _feed(publisher: CommandPublisher, market: Market, settings: Settings) -> None:
    """Quote at the ticks' pace; one too soon after another, or while that is sent, is left out."""
    sequence = 0
    flight = Flight()
    due_s = 0.0
    async for tick in _paced(market.ticks(settings.feed_seed), settings.feed_speed):
        now_s = asyncio.get_running_loop().time()
        if now_s < due_s or not flight.is_over():
            continue
        due_s = now_s + _GAP_S_MIN
        sequence = max(sequence + 1, round(time.time() * 1000))
        with suppress(Unavailable):  # the next tick is another try
            flight.began(await _send_quote(publisher, market, tick, sequence))


async def _paced(ticks: Iterable[Tick], speed: float) -> AsyncIterator[Tick]:
    """Each tick when it is due; after a hold-up of a second it goes on from there."""
    loop = asyncio.get_running_loop()
    zero_s: float | None = None
    for tick in ticks:
        tick_s = tick.at_ms / 1000 / speed
        if zero_s is None or loop.time() - zero_s - tick_s > _LATE_S_MAX:
            zero_s = loop.time() - tick_s
        await asyncio.sleep(max(0.0, zero_s + tick_s - loop.time()))
        yield tick


async def _send_quote(
    publisher: CommandPublisher, market: Market, tick: Tick, sequence: int
) -> Acknowledgement:
    offer = quote(
        tick,
        market.rules,
        feed_id=market.feed_id,
        sequence=sequence,
        simulated=market.simulated,
    )
    command = UpdateQuote(symbol=market.symbol, quote=offer)
    return await send(publisher, market.symbol, command, lives_ms=market.rules.stale_after_ms)
