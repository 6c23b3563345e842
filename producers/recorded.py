"""Recorded markets: real quotes and trades that ship with the package (market_data/README.md)."""

import csv
import gzip
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from importlib.resources import files
from typing import Final

import msgspec

from producers.quotes import Tick
from schemas.money import parse_e8

_FOLDER: Final = files("producers").joinpath("market_data")
_XRP_TICK_E8: Final = parse_e8("0.0001")


class _Change(msgspec.Struct):
    """Bybit's levels: price and size, 0 for a level that is gone."""

    b: list[tuple[str, str]]
    a: list[tuple[str, str]]


class _BookMessage(msgspec.Struct):
    """Bybit's order-book message, the first a snapshot, then deltas."""

    ts: int
    data: _Change


def btc_ticks() -> tuple[Tick, ...]:
    """46 s of BTC: best bid and ask, with the price of the last trade before each.

    A quote whose bid is not below its ask (two streams merged) says nothing and is left out.
    """
    trades = [(_ms(row["time"]), parse_e8(row["price"])) for row in _rows("btc_usd_trades.csv")]
    quotes = (_quoted(row) for row in _rows("btc_usd_quotes.csv"))
    return tuple(_with_last([each for each in quotes if each.bid_e8 < each.ask_e8], trades))


def xrp_ticks() -> tuple[Tick, ...]:
    """5 s of XRP: the top of the recorded book after each message; last is the middle."""
    packed = _FOLDER.joinpath("xrp_usd_book.jsonl.gz").read_bytes()
    decoder = msgspec.json.Decoder(_BookMessage)
    messages = [decoder.decode(line) for line in gzip.decompress(packed).splitlines()]
    return tuple(_tops(messages))


def _rows(name: str) -> Iterator[dict[str, str]]:
    return csv.DictReader(_FOLDER.joinpath(name).read_text("utf-8").splitlines())


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _quoted(row: dict[str, str]) -> Tick:
    return Tick(
        at_ms=_ms(row["time"]),
        bid_e8=parse_e8(row["bid"]),
        bid_size_e8=parse_e8(row["bid_size"]),
        ask_e8=parse_e8(row["ask"]),
        ask_size_e8=parse_e8(row["ask_size"]),
        last_e8=0,
    )


def _with_last(quotes: Iterable[Tick], trades: Sequence[tuple[int, int]]) -> Iterator[Tick]:
    """Both are in order of time and the first trade comes before the first quote."""
    at = 0
    for tick in quotes:
        while at + 1 < len(trades) and trades[at + 1][0] <= tick.at_ms:
            at += 1
        yield tick._replace(last_e8=trades[at][1])


def _tops(messages: Iterable[_BookMessage]) -> Iterator[Tick]:
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    for message in messages:
        _apply(bids, message.data.b)
        _apply(asks, message.data.a)
        bid_e8, ask_e8 = max(bids), min(asks)
        middle_e8 = (bid_e8 + ask_e8) // 2
        yield Tick(
            at_ms=message.ts,
            bid_e8=bid_e8,
            bid_size_e8=bids[bid_e8],
            ask_e8=ask_e8,
            ask_size_e8=asks[ask_e8],
            last_e8=middle_e8 - middle_e8 % _XRP_TICK_E8,
        )


def _apply(levels: dict[int, int], changes: Iterable[tuple[str, str]]) -> None:
    for price, size in changes:
        levels[parse_e8(price)] = parse_e8(size)
        if not levels[parse_e8(price)]:
            del levels[parse_e8(price)]
