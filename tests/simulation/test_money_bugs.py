"""Twelve ways to lose or make money, planted one at a time: some seeded history must go wrong."""

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from consumers.accounts import decide, ledger, replacing, rules, settle
from consumers.accounts.context import AccountsContext
from consumers.markets import outbox
from runtime.journal.partition import Partition
from schemas.accounts import ApplyExecution, Posting, Side
from schemas.markets import TradeExecuted
from simulation.judge import judge
from simulation.system import System

SEEDS_MAX = 60
COMMANDS = 100

Patch = pytest.MonkeyPatch


def unlocks_twice(patch: Patch) -> None:
    """An order's end releases twice what is locked."""
    ended = settle.ended

    def doubled(*args: Any) -> Any:
        event = ended(*args)
        released_e8 = sum(each.amount_e8 for each in event.postings if each.amount_e8 > 0)
        held = tuple(
            ledger.moved(each, free_e8=released_e8, locked_e8=-released_e8)
            for each in event.holdings
        )
        return replace(event, holdings=held)

    patch.setattr(decide, "ended", doubled)


def keeps_a_lock(patch: Patch) -> None:
    """An order's end leaves a hundredth of a cent locked."""
    ended = settle.ended

    def short(*args: Any) -> Any:
        event = ended(*args)
        held = tuple(
            ledger.moved(each, free_e8=-1, locked_e8=1) if each.free_e8 else each
            for each in event.holdings
        )
        return replace(event, holdings=held)

    patch.setattr(decide, "ended", short)


def loses_the_remainder(patch: Patch) -> None:
    """What rounding a fee leaves goes nowhere: the buyer pays it, and nobody gets it."""
    postings = ledger.trade_postings

    def floored(fact: ApplyExecution, bucket: str, fee_e8: int) -> Any:
        *legs, last = postings(fact, bucket, fee_e8)
        if last.account == ledger.FEES:
            last = Posting(last.account, last.asset, last.bucket, last.amount_e8 - 1)
        return (*legs, last)

    patch.setattr(ledger, "trade_postings", floored)


def skips_the_watermark(patch: Patch) -> None:
    """An execution that is sent again is settled again."""
    patch.setattr(Partition, "_applied_before", lambda *_: None)


def settles_one_leg(patch: Patch) -> None:
    """Only the taker hears of a trade."""
    send = outbox.outbox

    def lopsided(event: Any) -> Any:
        sent = send(event)
        return sent[1:] if isinstance(event, TradeExecuted) else sent

    patch.setattr("consumers.markets.context.outbox", lopsided)


def rounds_the_legs_apart(patch: Patch) -> None:
    """The buyer's leg is rounded up, the seller's down."""
    build = outbox._execution

    def rounded(event: Any, party: Any, liquidity: Any) -> Any:
        outgoing = build(event, party, liquidity)
        more = 1 if party.side is Side.BUY else 0
        message = replace(outgoing.message, notional_e8=outgoing.message.notional_e8 + more)
        return outgoing._replace(message=message)

    patch.setattr(outbox, "_execution", rounded)


def forgets_the_fee_in_the_lock(patch: Patch) -> None:
    """A buy locks its notional without the fee on it."""
    lock_of = rules.lock_of

    def feeless(order: Any, market: Any, _rates: Any) -> Any:
        return lock_of(order, market, rules.Rates(0, 0))

    patch.setattr(rules, "lock_of", feeless)


def pays_the_rates_of_now(patch: Patch) -> None:
    """A fill pays what its account's tier asks now, not what its order was accepted at."""
    executed = settle.executed

    def repriced(state: Any, fact: Any, cause: Any) -> Any:
        account = state.account(fact.account_id)
        terms = state.markets[fact.symbol].terms
        maker, taker = rules.rates_of(state, account, terms, cause.time_ms)
        order = account.orders[fact.order_id]
        account.orders[fact.order_id] = replace(order, maker_fee_ppm=maker, taker_fee_ppm=taker)
        return executed(state, fact, cause)

    patch.setattr(decide, "executed", repriced)


def spends_what_is_locked(patch: Patch) -> None:
    """Whether funds suffice is asked of free and locked together."""

    def rich(account: Any, asset: str, amount_e8: int) -> Any:
        held = account.holdings.get(asset)
        if held is not None and amount_e8 <= held.free_e8 + held.locked_e8:
            return None
        return rules.Reason.INSUFFICIENT_FUNDS

    patch.setattr(rules, "funds_refusal", rich)


def frees_the_lock_of_a_partial_fill(patch: Patch) -> None:
    """The first fill gives all of the lock back, though the order goes on."""
    executed = settle.executed

    def generous(*args: Any) -> Any:
        event = executed(*args)
        return replace(event, order=replace(event.order, locked_e8=0))

    patch.setattr(decide, "executed", generous)


def locks_nothing_more_for_a_replace(patch: Patch) -> None:
    """A larger replace goes to its market on the old lock."""
    patch.setattr(replacing.rules, "need_while_replacing", lambda *_: 0)


def forgets_money_on_restore(patch: Patch) -> None:
    """A snapshot of an account loses a unit of its cash."""
    load = AccountsContext.load

    def poorer(context: AccountsContext, state: Any, entity: str, stored: bytes) -> None:
        load(context, state, entity, stored)
        account = state.accounts.get(entity)
        for asset, held in () if account is None else tuple(account.holdings.items()):
            if held.free_e8 > 0:
                account.holdings[asset] = replace(held, free_e8=held.free_e8 - 1)

    patch.setattr(AccountsContext, "load", poorer)


BUGS: tuple[Callable[[Patch], None], ...] = (
    unlocks_twice,
    keeps_a_lock,
    loses_the_remainder,
    skips_the_watermark,
    settles_one_leg,
    rounds_the_legs_apart,
    forgets_the_fee_in_the_lock,
    pays_the_rates_of_now,
    spends_what_is_locked,
    frees_the_lock_of_a_partial_fill,
    locks_nothing_more_for_a_replace,
    forgets_money_on_restore,
)


@pytest.mark.parametrize("bug", BUGS, ids=lambda each: each.__name__)
def test_the_simulation_finds_a_money_bug(bug: Callable[[Patch], None], monkeypatch: Patch) -> None:
    bug(monkeypatch)
    for seed in range(SEEDS_MAX):
        try:
            with System(seed, commands=COMMANDS) as system:
                system.run()
                judge(system)
        except Exception:  # noqa: BLE001  # whatever it breaks, it is found
            return
    pytest.fail(f"{SEEDS_MAX} histories with this bug went well")
