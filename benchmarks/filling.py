"""Partitions full of accounts and open orders, put straight into snapshots and journal.

The real deciders make the state and the real writer stores it, with its claim and checkpoint in the
journal; only the records of each single decision are left out, so that no projector has to follow.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from aiokafka.partitioner import murmur2

from benchmarks import matching
from benchmarks.accounts_worker import no_group
from benchmarks.measure import Stopwatch
from benchmarks.workload import FAR_E8, QUANTITY_E8, account_ids, market_facts
from consumers.accounts.context import AccountsContext
from consumers.accounts.state import State
from consumers.markets.context import MarketsContext
from consumers.markets.state import Markets
from runtime.journal.context import Context
from runtime.journal.partition import Partition
from runtime.journal.writer import Writer
from runtime.kafka_log import KafkaLog
from runtime.settings import Settings
from schemas.accounts import DepositFunds, OrderType, PlaceOrder, Side
from schemas.codec import Message
from schemas.envelope import Cause
from schemas.money import E8
from schemas.topics import ACCOUNTS, ACCOUNTS_COMMANDS, MARKETS

_CONTEXTS: Final[dict[str, type[Any]]] = {ACCOUNTS: AccountsContext, MARKETS: MarketsContext}
_DEPOSIT_E8: Final = 5_000 * E8
_NOW_MS: Final = 1_700_000_000_000
_STEP_BYTES: Final = 1_048_576


async def fill_accounts(settings: Settings, count: int) -> None:
    """Let that many accounts have deposited, each in the partition where its commands go."""
    log = await KafkaLog.open(settings)
    try:
        partitions = await log.partitions(ACCOUNTS_COMMANDS)
        for number, ids in _by_partition(account_ids(count), partitions).items():
            await _fill(AccountsContext(), number, log, map(_deposit, ids))
    finally:
        await log.close()


async def fill_one(settings: Settings, context: str, *, accounts: int, orders: int) -> None:
    """Fill the one partition of accounts, or of markets: as many open orders there."""
    commands = trading(account_ids(accounts), orders) if context == ACCOUNTS else _resting(orders)
    log = await KafkaLog.open(settings)
    try:
        await _fill(_CONTEXTS[context](), 0, log, commands)
    finally:
        await log.close()


class Restored(NamedTuple):
    """What a writer found when it could decide, and after how long."""

    accounts: int
    orders: int
    seconds: float


async def restored(settings: Settings, context: str) -> Restored:
    """Let a writer of partition 0 restore and claim."""
    log = await KafkaLog.open(settings)
    try:
        watch = Stopwatch()
        writer = Writer(_CONTEXTS[context](), 0, log, commit_hint=no_group)
        await writer.start()
        seconds = watch.cost(1).wall_s
        return Restored(*_held(writer.partition.state), seconds)
    finally:
        await log.close()


async def _fill(
    context: Context[Any], number: int, log: KafkaLog, commands: Iterable[Message]
) -> None:
    writer = Writer(context, number, log, commit_hint=no_group, round_step_bytes=_STEP_BYTES)
    await writer.start()
    fill(writer.partition, commands)
    writer.partition.begin_round()
    await writer.finish()


def _held(state: State | Markets) -> tuple[int, int]:
    """Accounts and open orders."""
    if isinstance(state, Markets):
        return 0, sum(len(each.orders) for each in state.books.values())
    return len(state.accounts), sum(len(each.orders) for each in state.accounts.values())


def fill(partition: Partition[Any], commands: Iterable[Message]) -> None:
    """Decide the commands and apply their events, without records."""
    state, snapshots, context = partition.state, partition.snapshots, partition.context
    for offset, command in enumerate(commands):
        cause = Cause(partition.inbox[0], partition.number, offset, _NOW_MS, f"{offset:032x}")
        for event in context.decide(state, command, cause):
            entity = context.entity_of(event)
            snapshots.count_record()
            snapshots.before_change(entity, snapshots.version_of(entity) + 1)
            context.evolve(state, event, cause)


def _by_partition(ids: Sequence[str], partitions: int) -> dict[int, list[str]]:
    """As Kafka's default partitioner places their keys."""
    found: dict[int, list[str]] = defaultdict(list)
    for each in ids:
        found[(murmur2(each.encode()) & 0x7FFFFFFF) % partitions].append(each)
    return found


def trading(ids: Sequence[str], orders: int) -> Iterator[Message]:
    """Accounts with money, the first of them with an open order each."""
    yield from market_facts()
    yield from map(_deposit, ids)
    yield from map(_far_order, ids[:orders])


def _deposit(account_id: str) -> DepositFunds:
    return DepositFunds(account_id=account_id, amount_e8=_DEPOSIT_E8)


def _far_order(account_id: str) -> PlaceOrder:
    return PlaceOrder(
        account_id=account_id,
        asset="BTC",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity_e8=QUANTITY_E8,
        price_e8=FAR_E8,
    )


def _resting(orders: int) -> Iterator[Message]:
    yield from matching.opening()
    yield from matching.resting(orders)
