"""Passwords, turnstile, progress and what auth learns from identity's journals."""

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from aiokafka import TopicPartition
from argon2 import PasswordHasher

from consumers.auth.passwords import MEMORY_KIB, Passwords
from consumers.auth.progress import Progress
from consumers.auth.tail import Folded, Keys, Revocations, Tail, Waiters, settle_id
from consumers.auth.turnstile import WAITING_MAX, WIDTH, Overloaded, Turnstile
from runtime.settings import Settings
from schemas.codec import Message, encode
from schemas.envelope import CAUSATION_ID, CE_TYPE, LOGICAL_TIME, WRITER_EPOCH, Headers
from schemas.identity import (
    Ciphertext,
    Reason,
    RegistrationRejected,
    RegistrationStarted,
    SessionEnded,
    SignInFailed,
    SignInReserved,
    User,
    UserErased,
)
from schemas.journal import CommandDuplicate, CommandRefused, WriterClaimed

PLACE = TopicPartition("identity.journal", 0)
SECRET = Ciphertext(key_id="key", nonce="bm9uY2U=", bytes="Ynl0ZXM=")
USER = User(
    user_id="u",
    username_hmac="h",
    email_hmac="e",
    profile=SECRET,
    password_hash=SECRET,
    marketing_emails_consent=False,
)


class Written(NamedTuple):
    """As much of a consumed record as the tail reads."""

    offset: int
    value: bytes
    headers: Headers
    partition: int = 0


def record(epoch: int, event: Message, offset: int = 0, time_ms: int = 0) -> Written:
    return Written(
        offset,
        encode(event),
        [
            (CE_TYPE, event.TYPE.encode()),
            (WRITER_EPOCH, b"%d" % epoch),
            (LOGICAL_TIME, b"%d" % time_ms),
            (CAUSATION_ID, b"cause"),
        ],
    )


async def some_partitions(topic: str) -> int:
    return len(topic)


def tail(tmp_path: Path, refused: list[str]) -> Tail:
    return Tail(
        Settings(state_dir=tmp_path),
        partitions=some_partitions,
        unwanted_key=refused.append,
        on_failure=lambda: refused.append("the process"),
    )


def ended(session_id: str) -> SessionEnded:
    return SessionEnded(user_id="u", username_hmac="h", session_id=session_id)


async def test_a_password_matches_its_own_hash_alone() -> None:
    passwords = Passwords()
    hashed = await passwords.hashed("Str0ng!Passw0rd")
    assert hashed.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await passwords.match(hashed, "Str0ng!Passw0rd")
    assert not await passwords.match(hashed, "Str0ng!Passw0re")
    assert not await passwords.match(passwords.decoy, "Str0ng!Passw0rd")
    assert not await passwords.match("no hash at all", "Str0ng!Passw0rd")
    passwords.close()


async def test_a_hash_of_other_parameters_is_outdated() -> None:
    passwords = Passwords()
    weaker = PasswordHasher(time_cost=1, memory_cost=MEMORY_KIB, parallelism=1).hash("secret")
    assert passwords.is_outdated(weaker)
    assert not passwords.is_outdated(await passwords.hashed("secret"))
    passwords.close()


async def test_hashing_leaves_the_loop_free() -> None:
    passwords = Passwords()
    hashing = asyncio.gather(*(passwords.hashed("Str0ng!Passw0rd") for _ in range(4)))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
    passwords.close()


async def test_a_turnstile_lets_five_in_at_a_time_and_keeps_nothing() -> None:
    turnstile = Turnstile()
    inside = most = 0

    async def pass_through() -> None:
        nonlocal inside, most
        async with turnstile.through("address"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(pass_through() for _ in range(40)))
    assert most == WIDTH
    assert len(turnstile) == 0


async def test_who_comes_to_a_gate_where_too_many_wait_is_turned_away() -> None:
    turnstile, leave = Turnstile(), asyncio.Event()

    async def stay() -> None:
        async with turnstile.through("name"):
            await leave.wait()

    crowd = [asyncio.create_task(stay()) for _ in range(WIDTH + WAITING_MAX)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await stay()
    async with turnstile.through("another"):
        pass
    leave.set()
    await asyncio.gather(*crowd)
    assert len(turnstile) == 0


def test_only_what_lies_below_all_work_may_be_committed() -> None:
    progress = Progress()
    for offset in (7, 8, 9):
        progress.begin(PLACE, offset)
    progress.end(PLACE, 8)
    assert progress.committable() == {PLACE: 7}
    progress.end(PLACE, 7)
    assert progress.committable() == {PLACE: 9}
    progress.end(PLACE, 9)
    assert progress.committable() == {PLACE: 10}


def test_a_partition_that_comes_back_further_ahead_is_not_set_back() -> None:
    progress = Progress()
    progress.begin(PLACE, 5)
    progress.end(PLACE, 5)
    progress.begin(PLACE, 40)
    assert progress.committable() == {PLACE: 40}


def test_revocations_are_kept_as_long_as_a_token_may_live() -> None:
    revocations = Revocations(token_ms=1_000)
    for each in range(3_000):
        revocations.add(f"s{each}", each)
    assert "s2999" in revocations
    assert "s1999" in revocations
    assert len(revocations) <= 2_001


def test_a_zombies_record_neither_ends_a_session_nor_erases_a_person(tmp_path: Path) -> None:
    refused: list[str] = []
    follower = tail(tmp_path, refused)
    rejected = RegistrationRejected(username_hmac="h", key_id="key", reason=Reason.EMAIL_TAKEN)
    now_ms = 2**50  # recent by any clock
    for written in (
        record(1, WriterClaimed()),
        record(1, ended("valid")),
        record(2, WriterClaimed()),
        record(1, ended("void")),
        record(1, rejected, time_ms=now_ms),
    ):
        follower._fold(PLACE, written)  # pyright: ignore[reportArgumentType]
    assert "valid" in follower.revoked
    assert "void" not in follower.revoked
    assert refused == []
    follower._fold(PLACE, record(2, rejected, time_ms=now_ms))  # pyright: ignore[reportArgumentType]
    assert refused == ["key"]


def test_the_key_of_an_erased_person_is_unwanted_however_long_ago_that_was(tmp_path: Path) -> None:
    unwanted: list[str] = []
    follower = tail(tmp_path, unwanted)
    erased = UserErased(user_id="u", username_hmac="h", email_hmac="e", key_id="anns")
    rejected = RegistrationRejected(username_hmac="h", key_id="key", reason=Reason.EMAIL_TAKEN)
    for written in (
        record(1, rejected),
        record(2, WriterClaimed()),
        record(1, msgspec.structs.replace(erased, key_id="void")),
        record(2, erased),
    ):
        follower._fold(PLACE, written)  # pyright: ignore[reportArgumentType]
    assert unwanted == ["anns"]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(CE_TYPE, SessionEnded.TYPE.encode()), (WRITER_EPOCH, b"one")],
        [(CE_TYPE, None), (WRITER_EPOCH, b"1")],
        [(CE_TYPE, b"\xff"), (WRITER_EPOCH, None)],
        [(CE_TYPE, SessionEnded.TYPE.encode()), (WRITER_EPOCH, b"1"), (LOGICAL_TIME, b"now")],
    ],
)
def test_a_record_that_cannot_be_read_is_skipped(tmp_path: Path, headers: Any) -> None:
    follower = tail(tmp_path, [])
    broken = Written(0, encode(ended("broken")), headers)
    for written in (broken, record(1, ended("next"), offset=1)):
        follower._fold(PLACE, written)  # pyright: ignore[reportArgumentType]
    assert "next" in follower.revoked


async def test_a_tail_that_fails_ends_the_process(tmp_path: Path) -> None:
    told: list[str] = []
    follower = tail(tmp_path, told)

    async def fail() -> None:
        await asyncio.sleep(0)
        raise RuntimeError

    follower._follow = fail
    await follower.start()
    assert told == ["the process"]
    assert isinstance(follower.failure, RuntimeError)
    await follower.stop()


@pytest.mark.parametrize(
    ("event", "refused"),
    [
        (CommandDuplicate(command_id="c", first_offset=1), ["mine"]),
        (CommandRefused(command_id="c", reason="command-expired"), ["mine"]),
        (RegistrationStarted(user=USER), []),
    ],
)
def test_a_key_that_identity_does_not_take_is_refused(event: Message, refused: list[str]) -> None:
    seen: list[str] = []
    keys = Keys(seen.append)
    keys.forwarded("event", "mine")
    keys.fold(Folded(event, "c", "another", 0))
    assert seen == []
    keys.fold(Folded(event, "c", "event", 0))
    keys.fold(Folded(event, "c", "event", 0))
    assert seen == refused


async def test_outcomes_reach_whoever_waits_for_their_attempt() -> None:
    waiters = Waiters()
    reserved = SignInReserved(address_hmac="a", username_hmac="h", attempt_id="one")
    failed = SignInFailed(address_hmac="a", username_hmac="h", attempt_id="one")
    expired = CommandRefused(command_id="two", reason="command-expired")
    async with (
        waiters.expect("one") as reserving,
        waiters.expect(settle_id("one")) as settling,
        waiters.expect("two") as other,
    ):
        for event, command_id in ((reserved, ""), (failed, "x"), (expired, "two")):
            waiters.resolve(Folded(event, command_id, "", 0))
        assert (await reserving, await settling, await other) == (reserved, failed, expired)
