"""Ways to be wrong again and again in the same way, which only a second exchange can see.

Nothing is lost, doubled or decided differently the second time: all other checks hold.
"""

from collections.abc import Callable, Iterator
from itertools import groupby
from typing import Any

import pytest
from msgspec.structs import replace

from consumers.accounts import decide as accounts_decide
from consumers.accounts import ledger, replacing, rules, settle
from consumers.markets import matching, orders, stops, triggering
from consumers.markets import replacing as markets_replacing
from runtime.simulation.log import Faults
from schemas.accounts import OrderType, Reason, SelfTradePrevention, Side
from schemas.candles import DAY_MS
from schemas.money import E8
from simulation.histories import run
from simulation.reference.comparing import check
from simulation.system import Weather

SEEDS_MAX = 60
COMMANDS = 200
CALM = Weather(Faults(), crash=0, pause=0, rebalance=0, compact=0, duplicate=0)
"""Rules need orders, not faults."""

Patch = pytest.MonkeyPatch


def serves_the_last_first(patch: Patch) -> None:
    """Of the orders at one price the newest trades first."""
    offers = matching.offers

    def reversed_levels(*args: Any, **named: Any) -> Iterator[matching.Fill]:
        for _, level in groupby(offers(*args, **named), lambda each: each.price_e8):
            newest_first = list(level)[::-1]
            yield from sorted(newest_first, key=lambda each: each.resting is None)

    patch.setattr(matching, "offers", reversed_levels)


def serves_the_house_first(patch: Patch) -> None:
    """At its price the house trades before the users."""
    offers = matching.offers

    def house_first(*args: Any, **named: Any) -> Iterator[matching.Fill]:
        for _, level in groupby(offers(*args, **named), lambda each: each.price_e8):
            yield from sorted(level, key=lambda each: each.resting is not None)

    patch.setattr(matching, "offers", house_first)


def trades_with_itself(patch: Patch) -> None:
    """An account's order fills its own resting one."""
    sweep = matching.sweep

    def unaware(book: Any, order: Any, *args: Any, **named: Any) -> Any:
        return sweep(book, replace(order, account_id="nobody"), *args, **named)

    for each in (orders, markets_replacing):
        patch.setattr(each, "sweep", unaware)


def sells_beyond_the_collar(patch: Patch) -> None:
    """A market sell goes down as far as somebody bids."""
    worst_price = matching.worst_price

    def unbound(order: Any) -> int:
        is_market_sell = order.side is Side.SELL and order.order_type is OrderType.MARKET
        return 1 if is_market_sell else worst_price(order)

    patch.setattr(matching, "worst_price", unbound)


def fills_from_a_stale_quote(patch: Patch) -> None:
    """The house offers what it quoted long ago."""
    offer = matching.house_offer

    def ageless(book: Any, side: Side, *, now_ms: int) -> Any:
        del now_ms
        return offer(book, side, now_ms=0 if book.quote is None else book.quote.time_ms)

    patch.setattr(matching, "house_offer", ageless)


def takes_stops_on_the_wrong_side(patch: Patch) -> None:
    """A new buy stop is let in at once while the price is below it, and waits when it is above."""

    def reversed_reach(order: Any, last_e8: int) -> bool:
        return not stops.is_reached(order, last_e8)

    for each in (orders, markets_replacing):
        patch.setattr(each, "is_reached", reversed_reach)


def triggers_by_the_other_extreme(patch: Patch) -> None:
    """Buy stops look at the lowest last price of a decision, sell stops at the highest."""
    triggered = triggering.triggered

    def swapped(book: Any, step: Any, cause: Any) -> Any:
        events = triggered(book, replace(step, low_e8=step.high_e8, high_e8=step.low_e8), cause)
        return [replace(each, low_e8=step.low_e8, high_e8=step.high_e8) for each in events]

    patch.setattr(triggering, "triggered", swapped)


def lets_post_only_orders_take(patch: Patch) -> None:
    """An order that must not take liquidity takes it."""
    for each in (orders, markets_replacing):
        patch.setattr(each, "would_trade", lambda _swept: False)


def charges_makers_as_takers(patch: Patch) -> None:
    """Every fill costs the dearer rate, which the lock covers."""

    def dearer(order: Any, notional_e8: int, _taker_e8: int) -> int:
        return rules.fee_ceil(notional_e8, max(order.maker_fee_ppm, order.taker_fee_ppm))

    patch.setattr(settle, "_fee", dearer)


def rounds_the_cost_basis_up(patch: Patch) -> None:
    """Each sale takes up to a unit more of the cost than its share."""

    def ceiling(held: Any, quantity_e8: int) -> int:
        return -(-held.cost_e8 * quantity_e8 // (held.free_e8 + held.locked_e8))

    patch.setattr(ledger, "cost_of", ceiling)


def forgets_the_value_cap(patch: Patch) -> None:
    """An order may be worth anything."""
    patch.setattr(rules, "ORDER_VALUE_MAX_E8", 1 << 62)


def forgets_the_daily_limit(patch: Patch) -> None:
    """Deposits of a day have no limit."""
    patch.setattr(accounts_decide, "DEPOSITS_PER_DAY_E8", 1 << 62)


def takes_orders_while_halted(patch: Patch) -> None:
    """A halted market goes on matching what reaches it."""
    turned_away = orders._turned_away

    def open_door(book: Any, order: Any, now_ms: int) -> Any:
        ended = turned_away(book, order, now_ms)
        is_halt = ended is not None and ended.reason is Reason.MARKET_HALTED
        return None if is_halt else ended

    patch.setattr(orders, "_turned_away", open_door)


def rounds_the_average_down(patch: Patch) -> None:
    """What a trader sees as the average price comes to less than what was paid."""

    def floored(notional_e8: int, quantity_e8: int) -> int | None:
        return notional_e8 * E8 // quantity_e8 if quantity_e8 else None

    patch.setattr("simulation.reference.comparing.average_price_e8", floored)


def counts_a_day_too_many(patch: Patch) -> None:
    """The volume of a tier is that of 31 days, not of 30."""
    volume_of = rules.volume_of

    def longer(volumes_e8: Any, now_ms: int) -> int:
        return volume_of(volumes_e8, now_ms - DAY_MS)

    patch.setattr(rules, "volume_of", longer)


def counts_a_day_too_few(patch: Patch) -> None:
    """The volume of a tier is that of 29 days, not of 30."""
    volume_of = rules.volume_of

    def shorter(volumes_e8: Any, now_ms: int) -> int:
        return volume_of(volumes_e8, now_ms + DAY_MS)

    patch.setattr(rules, "volume_of", shorter)


def forgets_the_volume_of_makers(patch: Patch) -> None:
    """Only what an account takes brings it to a better tier."""
    executed = settle.executed

    def taken_only(state: Any, fact: Any, cause: Any) -> Any:
        event = executed(state, fact, cause)
        made_e8 = fact.notional_e8 if fact.liquidity == "MAKER" else 0
        return replace(event, day_volume_e8=event.day_volume_e8 - made_e8)

    patch.setattr(accounts_decide, "executed", taken_only)


def forgets_the_fees_of_the_market(patch: Patch) -> None:
    """An order pays what its tier says, and not what its market asks on top."""
    rates_of = rules.rates_of

    def tier_only(state: Any, account: Any, terms: Any, now_ms: int) -> Any:
        free = replace(terms, maker_fee_ppm=0, taker_fee_ppm=0)
        return rates_of(state, account, free, now_ms)

    patch.setattr(rules, "rates_of", tier_only)


def takes_the_oldest_for_the_newest(patch: Patch) -> None:
    """An order that says that the one that rested is canceled is canceled itself."""
    goes_past = matching._goes_past

    def newest(order: Any, *args: Any) -> bool:
        policy = order.self_trade_prevention
        if policy is SelfTradePrevention.CANCEL_OLDEST:
            policy = SelfTradePrevention.CANCEL_NEWEST
        return goes_past(replace(order, self_trade_prevention=policy), *args)

    patch.setattr(matching, "_goes_past", newest)


def spares_one_of_both(patch: Patch) -> None:
    """Where both orders of an account are to be canceled, the newer one goes on."""
    goes_past = matching._goes_past

    def oldest(*args: Any) -> bool:
        return goes_past(*args) or args[0].self_trade_prevention is SelfTradePrevention.CANCEL_BOTH

    patch.setattr(matching, "_goes_past", oldest)


def keeps_the_place_of_a_moved_stop(patch: Patch) -> None:
    """A stop with another stop price goes before those that waited there."""
    armed_anew = markets_replacing._armed_anew

    def in_place(book: Any, command: Any, stop: Any) -> Any:
        replaced, armed, *triggers = armed_anew(book, command, stop)
        return (replaced, replace(armed, number=stop.number), *triggers)

    patch.setattr(markets_replacing, "_armed_anew", in_place)


def lets_a_moved_stop_wait(patch: Patch) -> None:
    """A stop whose new price is reached already waits for the next price."""
    armed_anew = markets_replacing._armed_anew
    patch.setattr(markets_replacing, "_armed_anew", lambda *args: armed_anew(*args)[:2])


def keeps_the_worst_price_of_a_moved_stop(patch: Patch) -> None:
    """A stop at market may trade as far as its old stop price allowed."""
    wanted = replacing._wanted

    def as_far_as_before(order: Any, *args: Any) -> Any:
        asked = wanted(order, *args)
        if isinstance(asked, Reason) or asked.stop_price_e8 is None or order.price_e8 is not None:
            return asked
        return replace(asked, protection_price_e8=order.protection_price_e8)

    patch.setattr(replacing, "_wanted", as_far_as_before)


BUGS: tuple[Callable[[Patch], None], ...] = (
    serves_the_last_first,
    serves_the_house_first,
    trades_with_itself,
    sells_beyond_the_collar,
    fills_from_a_stale_quote,
    takes_stops_on_the_wrong_side,
    triggers_by_the_other_extreme,
    lets_post_only_orders_take,
    charges_makers_as_takers,
    rounds_the_cost_basis_up,
    forgets_the_value_cap,
    forgets_the_daily_limit,
    takes_orders_while_halted,
    rounds_the_average_down,
    counts_a_day_too_many,
    counts_a_day_too_few,
    forgets_the_volume_of_makers,
    forgets_the_fees_of_the_market,
    takes_the_oldest_for_the_newest,
    spares_one_of_both,
    keeps_the_place_of_a_moved_stop,
    lets_a_moved_stop_wait,
    keeps_the_worst_price_of_a_moved_stop,
)


@pytest.mark.parametrize("bug", BUGS, ids=lambda each: each.__name__)
def test_only_the_reference_exchange_finds_a_wrong_rule(
    bug: Callable[[Patch], None], monkeypatch: Patch
) -> None:
    found: list[AssertionError] = []

    def noted(*args: Any) -> None:
        try:
            check(*args)
        except AssertionError as difference:
            found.append(difference)

    bug(monkeypatch)
    monkeypatch.setattr("simulation.system.weather", lambda _random: CALM)
    monkeypatch.setattr("simulation.judge.check_results", noted)
    for seed in range(SEEDS_MAX):
        run(seed, COMMANDS)
        if found:
            return
    pytest.fail(f"{SEEDS_MAX} histories with this bug went well")
