"""Workers decide only what a process sent that may send it, on behalf of somebody known."""

from typing import Any

import pytest

from consumers.markets.context import MarketsContext
from producers.envelopes import command_headers
from runtime.journal.inbox import read_incoming, recorded_cause
from runtime.journal.partition import Partition
from runtime.log import Record
from schemas.accounts import DepositFunds
from schemas.codec import PoisonMessage, encode
from schemas.envelope import Headers, header_map
from schemas.journal import CommandDiscarded
from schemas.markets import HaltMarket, MarketHalted, TickClock
from schemas.topics import dlq_of

BODY = encode(DepositFunds(account_id="a" * 32, amount_e8=1))
GOOD = {
    "x-source": b"gateway",
    "x-auth-service": b"auth-service",
    "x-user-id": b"u",
    "x-user-role": b"trader",
}


def read(changes: dict[str, bytes | None], topic: str = "accounts.commands") -> Any:
    plain = {"ce_type": DepositFunds.TYPE.encode(), "command-id": b"c", **GOOD}
    headers = {name: value for name, value in (plain | changes).items() if value is not None}
    record = Record(0, 5, None, BODY, list(headers.items()))
    return read_incoming(topic, 0, record, headers, time_ms=5)


def test_a_command_of_the_gateway_says_for_whom() -> None:
    assert read({}).cause.user_id == "u"


@pytest.mark.parametrize("missing", GOOD)
def test_a_command_without_one_of_the_headers_is_broken(missing: str) -> None:
    with pytest.raises(PoisonMessage):
        read({missing: None})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-source", b"accounts"),
        ("x-source", b"somebody"),
        ("x-source", b"clock"),
        ("x-auth-service", b"gateway"),
        ("x-user-id", b""),
        ("x-user-role", b"king"),
    ],
)
def test_a_command_with_a_wrong_header_is_broken(name: str, value: bytes) -> None:
    with pytest.raises(PoisonMessage):
        read({name: value})


def test_an_operators_command_line_needs_no_user() -> None:
    only = {"x-auth-service": None, "x-user-id": None, "x-user-role": None}
    assert read({"x-source": b"operators", **only}).cause.user_id is None


def test_each_inbox_has_its_own_senders() -> None:
    only = {"x-auth-service": None, "x-user-id": None, "x-user-role": None}
    read({"x-source": b"clock", **only}, "markets.commands")
    read({"x-source": b"auth", **only}, "identity.commands")
    for source, topic in ((b"auth", "accounts.commands"), (b"clock", "identity.commands")):
        with pytest.raises(PoisonMessage):
            read({"x-source": source, **only}, topic)


def test_facts_need_none_of_them() -> None:
    none = dict.fromkeys(GOOD, None)
    assert read({**none, "source": b"markets/0/1", "source-sequence": b"1"}).cause.source


def test_a_record_of_an_earlier_build_still_replays() -> None:
    old = {
        "ce_type": b"t",
        "command-id": b"c",
        "user-id": b"u",
        "source-offset": b"7",
        "logical-time": b"9",
    }
    cause = recorded_cause("accounts.commands", 0, old).cause
    assert (cause.user_id, cause.offset) == ("u", 7)


def decided(partition: Partition[Any], offset: int, headers: Headers) -> str:
    record = Record(offset, 5, None, encode(HaltMarket(symbol="BTC-USD")), headers)
    entry = partition.decide(record)[0]
    return header_map(entry.headers)["ce_type"].decode()


def halting(**caller: str) -> Headers:
    return command_headers(
        HaltMarket(symbol="BTC-USD"), command_id="c", time_ms=1, expires_at_ms=9_000, **caller
    )


@pytest.mark.parametrize(
    ("caller", "is_operator"),
    [
        ({"producer": "operators"}, True),
        ({"producer": "gateway", "user_id": "u", "user_role": "operator"}, True),
        ({"producer": "gateway", "user_id": "u", "user_role": "trader"}, False),
        ({"producer": "gateway", "user_id": "u", "user_role": "analyst"}, False),
        ({"producer": "feed", "user_role": "operator"}, False),
        ({"producer": "clock"}, False),
    ],
)
def test_what_is_for_operators_is_poison_from_anybody_else(
    caller: dict[str, str], *, is_operator: bool
) -> None:
    partition = Partition(MarketsContext(), 0, lambda _: 4)
    partition.claim()
    event_type = decided(partition, 0, halting(**caller))
    assert (event_type == CommandDiscarded.TYPE) is not is_operator
    assert event_type != MarketHalted.TYPE  # there is no such market
    letters = [place for place in partition.outbound.take() if place[0].endswith(".dlq")]
    assert letters == ([] if is_operator else [(dlq_of("markets.commands"), 0)])


def test_a_tick_is_for_nobody_in_particular() -> None:
    assert not TickClock.OPERATORS_ONLY
