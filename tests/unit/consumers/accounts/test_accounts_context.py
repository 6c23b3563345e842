"""Golden messages, stored entities, and the invariants' own ability to fail."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from consumers.accounts.invariants import check, check_event
from consumers.accounts.state import Account
from runtime.errors import InvariantBroken
from schemas.accounts import COMMANDS, EVENTS, DepositFunds, EndReason, Holding, PlaceOrder, Side
from schemas.codec import Codec, PoisonMessage, encode
from schemas.money import E8

ALICE = "a" * 32
EXAMPLES = Path(__file__).parents[4] / "schemas" / "examples" / "accounts"
Spoil = Callable[[Account], None]
Desk = Any  # of conftest, which importlib mode does not let us import


@pytest.mark.parametrize(
    ("codec", "name"),
    [(COMMANDS, name) for name in COMMANDS.types] + [(EVENTS, name) for name in EVENTS.types],
    ids=str,
)
def test_every_message_type_has_a_golden_example_that_round_trips(codec: Codec, name: str) -> None:
    example = json.loads((EXAMPLES / f"{name}.json").read_text())
    message = codec.decode(name, json.dumps(example).encode())
    assert type(message) is codec.types[name]
    assert json.loads(encode(message)) == example
    check_event(message)


def test_there_is_no_example_of_an_unknown_type() -> None:
    known = {f"{name}.json" for name in (*COMMANDS.types, *EVENTS.types)}
    assert {each.name for each in EXAMPLES.iterdir()} == known


def test_a_quantity_of_any_size_is_answered(desk: Desk) -> None:
    example = json.loads((EXAMPLES / f"{PlaceOrder.TYPE}.json").read_text())
    body = json.dumps(example | {"quantity_e8": "9" * 4_000}).encode()
    event = desk.tell(COMMANDS.decode(PlaceOrder.TYPE, body))
    assert event.order.number == 0
    with pytest.raises(PoisonMessage):
        COMMANDS.decode(DepositFunds.TYPE, b'{"account_id":"a","amount_e8":"%s"}' % (b"9" * 5_000))


def test_markets_are_entities_apart_from_accounts(desk: Desk) -> None:
    desk.deposit("1")
    assert list(desk.context.entities(desk.state)) == [ALICE, "market:BTC-USD"]


def test_what_is_stored_comes_back_the_same_after_any_detour(desk: Desk) -> None:
    desk.fund("10")
    orders = [desk.place(Side.BUY, "0.1", "100", client_order_id=f"c{n}").order for n in range(5)]
    desk.state = desk.restored()
    desk.end(orders[3], EndReason.CANCELED)
    desk.end(orders[0], EndReason.EXPIRED)
    desk.state = desk.restored()
    desk.execute(orders[2], "0.05", "90")
    assert desk.stored() == desk.stored(desk.replayed()) == desk.stored(desk.restored())
    assert desk.state == desk.replayed() == desk.restored()


def with_usd(**changes: int) -> Spoil:
    return lambda account: account.holdings.update(USD=replace(account.holdings["USD"], **changes))


def with_order(**changes: int | str) -> Spoil:
    return lambda account: account.orders.update(
        {name: replace(order, **changes) for name, order in account.orders.items()}
    )


@pytest.mark.parametrize(
    "spoil",
    [
        with_usd(free_e8=-1),
        with_usd(cost_e8=-1),
        with_usd(locked_e8=1),
        with_order(cum_quantity_e8=2 * E8),
        with_order(locked_asset="ETH"),
        lambda account: account.orders.clear(),
        lambda account: account.final_orders.update({str(n): None for n in range(101)}),
        lambda account: account.client_order_ids.update(x="y"),
    ],
)
def test_a_spoiled_account_is_noticed(desk: Desk, spoil: Spoil) -> None:
    desk.deposit("1000")
    desk.place(Side.BUY, "1", "100")
    check(desk.state)
    spoil(desk.account())
    with pytest.raises(InvariantBroken):
        check(desk.state)


def test_the_house_alone_may_be_below_zero(desk: Desk) -> None:
    desk.house(Side.SELL, "1", "100")
    check(desk.state)
    desk.state.accounts[ALICE] = desk.state.accounts.pop("house:BTC-USD")
    with pytest.raises(InvariantBroken):
        check(desk.state)


def test_postings_that_do_not_balance_are_noticed(desk: Desk) -> None:
    event = desk.deposit("1")
    with pytest.raises(InvariantBroken):
        check_event(replace(event, postings=event.postings[1:]))


def test_a_holding_of_nothing_is_small_on_the_wire() -> None:
    assert encode(Holding(asset="USD", free_e8=E8, locked_e8=0)) == (
        b'{"asset":"USD","free_e8":"100000000","locked_e8":"0"}'
    )
