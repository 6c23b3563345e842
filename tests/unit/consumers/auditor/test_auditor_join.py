from collections.abc import Sequence

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from consumers.auditor.join import Fault, Join, Seen
from schemas.accounts import (
    Execution,
    HouseTraded,
    Liquidity,
    Order,
    OrderTraded,
    OrderType,
    Posting,
    Side,
    TimeInForce,
)
from schemas.markets import Party, TradeExecuted

SOURCE = "markets/0/1"


def trade(trade_id: str = "t1", *, quantity_e8: int = 500) -> TradeExecuted:
    return TradeExecuted(
        symbol="BTC-USD",
        asset="BTC",
        trade_id=trade_id,
        price_e8=100,
        quantity_e8=quantity_e8,
        notional_e8=7,
        maker=Party(account_id="house:BTC-USD", side=Side.SELL),
        taker=Party(account_id="alice", side=Side.BUY, order_id="o1", cum_quantity_e8=quantity_e8),
    )


def execution(of: TradeExecuted) -> Execution:
    return Execution(
        trade_id=of.trade_id,
        price_e8=of.price_e8,
        quantity_e8=of.quantity_e8,
        notional_e8=of.notional_e8,
        fee_e8=0,
        liquidity=Liquidity.TAKER,
    )


def users_leg(of: TradeExecuted) -> OrderTraded:
    order = Order(
        order_id="o1",
        number=1,
        symbol=of.symbol,
        asset=of.asset,
        side=Side.BUY,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
        quantity_e8=of.quantity_e8,
        cum_quantity_e8=of.quantity_e8,
    )
    return OrderTraded(
        account_id="alice", order=order, execution=execution(of), holdings=(), postings=()
    )


def houses_leg(of: TradeExecuted) -> HouseTraded:
    return HouseTraded(
        account_id="house:BTC-USD",
        symbol=of.symbol,
        side=Side.SELL,
        execution=execution(of),
        holdings=(),
        postings=(),
    )


def seen(offset: int, *, partition: int = 0, sequence: int | None = None) -> Seen:
    return Seen(partition, offset, 1_000 + offset, SOURCE, offset if sequence is None else sequence)


def joined() -> Join:
    join = Join()
    assert join.trade(trade(), seen(1)) is None
    assert join.leg(users_leg(trade()), seen(1)) is None
    assert join.leg(houses_leg(trade()), seen(2)) is None
    return join


def test_a_trade_with_two_equal_legs_is_matched_and_forgotten() -> None:
    join = joined()
    assert join.matched == {"BTC-USD": 1}
    assert join.unmatched_trades().number == join.unmatched_legs().number == 0
    assert not join.faults


def test_legs_may_come_before_their_trade() -> None:
    join = Join()
    join.leg(houses_leg(trade()), seen(1))
    join.leg(users_leg(trade()), seen(2))
    assert join.unmatched_legs() == (1, 1_001)
    assert join.trade(trade(), seen(1)) is None
    assert join.matched == {"BTC-USD": 1}


def test_a_trade_that_misses_a_leg_stays_unmatched_since_it_came() -> None:
    join = Join()
    join.trade(trade(), seen(1))
    join.leg(users_leg(trade()), seen(5))
    assert join.unmatched_trades() == (1, 1_001)
    assert not join.matched


def test_a_leg_of_other_amounts_is_a_fault() -> None:
    join = Join()
    join.trade(trade(), seen(1))
    join.leg(users_leg(trade(quantity_e8=499)), seen(1))
    assert join.leg(houses_leg(trade()), seen(2)) is Fault.UNEQUAL_LEG
    assert not join.matched


def test_a_leg_whose_order_lost_an_earlier_execution_is_a_fault() -> None:
    join = Join()
    join.trade(trade(), seen(1))
    leg = users_leg(trade())
    order = msgspec.structs.replace(leg.order, cum_quantity_e8=leg.order.cum_quantity_e8 - 1)
    join.leg(msgspec.structs.replace(leg, order=order), seen(1))
    assert join.leg(houses_leg(trade()), seen(2)) is Fault.UNEQUAL_LEG


def test_a_leg_of_somebody_else_is_a_fault() -> None:
    join = Join()
    join.trade(trade(), seen(1))
    join.leg(msgspec.structs.replace(users_leg(trade()), account_id="mallory"), seen(1))
    assert join.leg(houses_leg(trade()), seen(2)) is Fault.UNEQUAL_LEG


def test_a_second_leg_of_one_side_is_a_fault_while_the_trade_is_open() -> None:
    join = Join()
    join.trade(trade(), seen(1))
    join.leg(users_leg(trade()), seen(1))
    assert join.leg(users_leg(trade()), seen(2)) is Fault.DOUBLED_LEG


def test_a_leg_decided_twice_is_a_fault_after_its_trade_is_forgotten() -> None:
    assert joined().leg(users_leg(trade()), seen(2)) is Fault.DOUBLED_LEG


def test_a_fact_applied_twice_is_a_fault_after_its_trade_is_forgotten() -> None:
    assert joined().leg(users_leg(trade()), seen(9, sequence=2)) is Fault.DOUBLED_LEG


def test_a_leg_sent_twice_stays_unmatched_after_its_trade_is_forgotten() -> None:
    join = joined()
    join.leg(users_leg(trade()), seen(9, sequence=3))
    assert join.unmatched_legs() == (1, 1_009)


def test_a_trade_decided_twice_is_a_fault() -> None:
    join = joined()
    assert join.trade(trade(), seen(1)) is Fault.DOUBLED_TRADE
    assert join.trade(trade("t2"), seen(1)) is None
    assert join.trade(trade("t3"), seen(0)) is Fault.DOUBLED_TRADE


def test_partitions_are_watched_apart() -> None:
    join = Join()
    join.trade(trade(), seen(9))
    assert join.leg(users_leg(trade()), seen(3, partition=0)) is None
    assert join.leg(houses_leg(trade()), seen(3, partition=1)) is None
    assert join.matched == {"BTC-USD": 1}


def test_unbalanced_postings_show_in_the_imbalance_and_as_a_fault() -> None:
    join = Join()
    assert join.fold([Posting("alice", "USD", "free", 5)]) is Fault.UNBALANCED_EVENT
    assert join.imbalance_e8["USD"] == 5


POSTINGS = st.lists(
    st.builds(
        Posting,
        st.sampled_from(["alice", "external", "clearing:BTC-USD"]),
        st.sampled_from(["USD", "BTC"]),
        st.just("free"),
        st.integers(-(10**20), 10**20),
    ),
    max_size=6,
)


@given(st.lists(POSTINGS, max_size=6))
def test_balanced_events_leave_no_imbalance_and_clearing_is_the_sum_of_its_postings(
    events: Sequence[Sequence[Posting]],
) -> None:
    join = Join()
    for postings in events:
        opposite = [msgspec.structs.replace(each, account="fees") for each in postings]
        mirrored = [msgspec.structs.replace(each, amount_e8=-each.amount_e8) for each in opposite]
        assert join.fold([*postings, *mirrored]) is None
    assert not any(join.imbalance_e8.values())
    for (symbol, asset), amount_e8 in join.clearing_e8.items():
        assert amount_e8 == sum(
            each.amount_e8
            for postings in events
            for each in postings
            if each.account == f"clearing:{symbol}" and each.asset == asset
        )
