"""Each rule of the protocol, taken out alone: some seeded history must then go wrong."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from runtime.journal import inbox
from runtime.journal.claims import Claims
from runtime.journal.outbound import Outbound
from runtime.journal.partition import Partition
from runtime.journal.remembered import Remembered
from runtime.journal.snapshots import Snapshots
from runtime.journal.writer import Writer
from runtime.log import NewRecord
from simulation.judge import judge
from simulation.system import System

SEEDS_MAX = 150
ROUND_EVERY = 7

Patch = pytest.MonkeyPatch


def admits_every_epoch(patch: Patch) -> None:
    """R1: records of fenced writers count as well."""
    admits = Claims.admits

    def all_but_claims(claims: Claims, kind: str, epoch: int, offset: int) -> bool:
        return admits(claims, kind, max(epoch, claims.epoch), offset) or "claimed" not in kind

    patch.setattr(Claims, "admits", all_but_claims)


def trusts_any_claim(patch: Patch) -> None:
    """W1: an epoch belongs to everybody who claimed it."""
    claim = Writer._claim

    async def unchecked(writer: Writer[Any], partition: Partition[Any]) -> None:
        try:
            await claim(writer, partition)
        except Exception as error:
            if "another's" not in str(error):
                raise

    patch.setattr(Writer, "_claim", unchecked)


def resumes_behind(patch: Patch) -> None:
    """W2: resume where the checkpoint was, not after the last decided offset."""
    start = Writer.start

    async def rewound(writer: Writer[Any]) -> None:
        await start(writer)
        writer.partition.source_offset = max(-1, writer.partition.source_offset - 3)

    patch.setattr(Writer, "start", rewound)


def drops_poison(patch: Patch) -> None:
    """W3: a command that cannot be decoded leaves no journal record."""
    discard = Partition._discard

    def silent(partition: Partition[Any], *args: Any, **named: Any) -> Any:
        discard(partition, *args, **named)
        partition.next_offset -= 1
        return None

    decide = Partition.decide

    def decided(partition: Partition[Any], record: Any) -> list[NewRecord]:
        return [each for each in decide(partition, record) if each is not None]

    patch.setattr(Partition, "_discard", silent)
    patch.setattr(Partition, "decide", decided)


def ignores_the_offset(patch: Patch) -> None:
    """W5: whatever offset the acknowledgement says is fine."""

    async def unchecked(writer: Writer[Any], batch: list[NewRecord]) -> None:
        await writer._log.append(writer.partition.journal, batch)
        await writer._publish()

    patch.setattr(Writer, "_append", unchecked)


def snapshots_before_the_check(patch: Patch) -> None:
    """S1: snapshots hold what was decided but perhaps never journaled."""
    append = Writer._append

    async def early(writer: Writer[Any], batch: list[NewRecord]) -> None:
        partition = writer.partition
        if partition.snapshots.round is None and batch[0].headers != []:
            await writer._published()
            partition.begin_round()
            captured = partition.snapshots.take(1 << 20)
            if captured:
                await writer._log.append(writer._snapshots, captured)
        await append(writer, batch)

    patch.setattr(Writer, "_append", early)


def forgets_replayed_dirt(patch: Patch) -> None:
    """S2: only deciding makes an entity dirty, replaying does not."""
    start = Writer.start

    async def cleaned(writer: Writer[Any]) -> None:
        await start(writer)
        writer.partition.snapshots._dirty.clear()

    patch.setattr(Writer, "start", cleaned)


def fixes_the_checkpoint_late(patch: Patch) -> None:
    """S2: what the checkpoint covers is fixed at the end of the round."""
    finish = Snapshots.finish
    end = Writer._end_round

    async def late(writer: Writer[Any]) -> None:
        partition = writer.partition
        pending = partition.snapshots.round
        assert pending is not None
        renewed = Partition.begin_round(partition).checkpoint
        pending.checkpoint = renewed
        partition.snapshots.round = pending
        await end(writer)

    del finish
    patch.setattr(Writer, "_end_round", late)


def checkpoints_before_arrival(patch: Patch) -> None:
    """S3: a checkpoint does not wait for its outbox."""
    published, advance = Writer._published, Writer._advance_round

    async def advancing(writer: Writer[Any]) -> None:
        async def skipped() -> None:
            return

        writer._published = skipped  # type: ignore[method-assign]
        try:
            await advance(writer)
        finally:
            del writer._published

    del published
    patch.setattr(Writer, "_advance_round", advancing)


def applies_known_versions(patch: Patch) -> None:
    """S4: replay applies what a snapshot already holds."""
    replayed = Partition._replayed_event

    def again(partition: Partition[Any], record: Any, headers: Any, kind: str, cause: Any) -> Any:
        known = partition.snapshots.version_of(headers.get("entity-id", b"").decode())
        event = replayed(partition, record, headers, kind, cause)
        if int(headers.get("entity-version", known + 1)) <= known:
            partition.context.evolve(partition.state, event, cause)
        return event

    patch.setattr(Partition, "_replayed_event", again)


def skips_the_watermark(patch: Patch) -> None:
    """O1: a fact that comes again is applied again."""
    patch.setattr(Partition, "_applied_before", lambda *_: None)


def does_not_send_again(patch: Patch) -> None:
    """O2: a restarted writer does not repeat what may not have arrived."""

    async def forgetful(_: Writer[Any], partition: Partition[Any]) -> None:
        partition.outbound.take()

    patch.setattr(Writer, "_send_again", forgetful)


def discards_facts(patch: Patch) -> None:
    """O2: facts of one place are numbered per source only, not densely per destination."""

    def shared(outbound: Outbound, _: tuple[str, int]) -> int:
        sequence = outbound.sequences.get("all", 0) + 1
        outbound.sequences["all"] = sequence
        return sequence

    patch.setattr(Outbound, "_next_sequence", shared)


def forgets_command_ids(patch: Patch) -> None:
    """C1: a command that comes twice is decided twice."""
    patch.setattr(Remembered, "get", lambda *_: None)


def forgets_ids_in_snapshots(patch: Patch) -> None:
    """C1: remembered command ids are not part of the snapshots."""
    patch.setattr(Remembered, "changed_slices", lambda _: iter(()))


def ignores_expiry(patch: Patch) -> None:
    """C2: a command is decided however late it was appended."""
    read = inbox._incoming

    def timeless(*args: Any) -> Any:
        incoming = read(*args)
        return replace(incoming, cause=replace(incoming.cause, expires_at_ms=None))

    patch.setattr(inbox, "_incoming", timeless)


MUTATIONS: tuple[Callable[[Patch], None], ...] = (
    admits_every_epoch,
    trusts_any_claim,
    resumes_behind,
    drops_poison,
    ignores_the_offset,
    snapshots_before_the_check,
    forgets_replayed_dirt,
    fixes_the_checkpoint_late,
    checkpoints_before_arrival,
    applies_known_versions,
    skips_the_watermark,
    does_not_send_again,
    discards_facts,
    forgets_command_ids,
    forgets_ids_in_snapshots,
    ignores_expiry,
)


@contextmanager
def patched(mutation: Callable[[Patch], None]) -> Iterator[None]:
    patch = pytest.MonkeyPatch()
    try:
        mutation(patch)
        yield
    finally:
        patch.undo()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda each: each.__name__)
def test_the_simulation_finds_a_missing_rule(mutation: Callable[[Patch], None]) -> None:
    with patched(mutation):
        for seed in range(SEEDS_MAX):
            try:
                with System(seed, commands=60, round_every=ROUND_EVERY) as system:
                    system.run()
                    judge(system)
            except Exception:  # noqa: BLE001  # whatever it breaks, it is found
                return
    pytest.fail(f"{SEEDS_MAX} histories without this rule went well")
