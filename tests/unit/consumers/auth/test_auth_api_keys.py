"""Auth knows API keys by their hashes: made, expired, deleted, and never from a void record."""

import asyncio
import hashlib
import time
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import TopicPartition

from consumers.auth.api_keys import ApiKeys
from consumers.auth.service import Auth
from consumers.auth.tail import Tail
from consumers.auth.tokens import TokenKey, Tokens
from runtime.errors import Unavailable
from runtime.security.api_keys import hash_of, is_api_key, new_api_key
from runtime.settings import Settings
from schemas.auth import Reason, Refused, TokensSecret, Verdict, Verdicts
from schemas.codec import Message, encode
from schemas.envelope import CE_TYPE, LOGICAL_TIME, WRITER_EPOCH
from schemas.identity import ApiKeyDeleted, ApiKeyMade, Ciphertext, Role, Scope

PLACE = TopicPartition("identity.journal", 0)
KEY = new_api_key()


def made(
    api_key: str = KEY, *, api_key_id: str = "id", expires_at_ms: int | None = None
) -> ApiKeyMade:
    return ApiKeyMade(
        user_id="u",
        username_hmac="h",
        api_key_id=api_key_id,
        role=Role.TRADER,
        name=Ciphertext(key_id="k", nonce="bm9uY2U=", bytes="Ynl0ZXM="),
        scopes=(Scope.READ,),
        secret_hash=hash_of(api_key),
        made_at_ms=1,
        expires_at_ms=expires_at_ms,
    )


def deleted(api_key_id: str = "id") -> ApiKeyDeleted:
    return ApiKeyDeleted(user_id="u", username_hmac="h", api_key_id=api_key_id)


class Record:
    """As much of a consumed record as the tail reads."""

    def __init__(self, epoch: int, event: Message) -> None:
        self.offset = 0
        self.value = encode(event)
        self.headers = [
            (CE_TYPE, event.TYPE.encode()),
            (WRITER_EPOCH, b"%d" % epoch),
            (LOGICAL_TIME, b"0"),
        ]


def tail(tmp_path: Path) -> Tail:
    async def partitions(_: str) -> int:
        raise Unavailable("no broker here")

    return Tail(
        Settings(state_dir=tmp_path),
        partitions=partitions,
        unwanted_key=lambda _: None,
        on_failure=lambda: None,
    )


def test_a_key_is_random_recognised_and_kept_as_its_hash() -> None:
    assert is_api_key(KEY)
    assert new_api_key() != KEY
    assert len(KEY) == len("cnop_") + 64
    assert hash_of(KEY) == hashlib.sha256(KEY.encode()).hexdigest()
    for other in (KEY[:-1], KEY + "0", KEY.upper(), KEY[5:], f"{KEY}\n", "a.b.c", ""):
        assert not is_api_key(other)


def test_a_key_is_good_with_its_scopes_until_it_is_deleted() -> None:
    keys = ApiKeys()
    keys.fold(made())
    verdict = keys.verdict(hash_of(KEY), now_ms=time.time() * 1_000)
    assert verdict is not None
    assert (verdict.user_id, verdict.session_id, verdict.scopes) == ("u", "id", ("read",))
    assert verdict.expires_at_ms > 200_000_000_000_000
    assert keys.verdict(hash_of(new_api_key()), now_ms=0) is None
    keys.fold(deleted("another"))
    assert keys.verdict(hash_of(KEY), now_ms=0) is not None
    keys.fold(deleted())
    keys.fold(deleted())
    assert keys.verdict(hash_of(KEY), now_ms=0) is None
    assert len(keys) == 0


def test_a_key_is_good_until_it_expires_and_its_verdict_says_when() -> None:
    keys = ApiKeys()
    keys.fold(made(expires_at_ms=5_000))
    verdict = keys.verdict(hash_of(KEY), now_ms=4_999)
    assert verdict is not None
    assert verdict.expires_at_ms == 5_000
    assert keys.verdict(hash_of(KEY), now_ms=5_000) is None


def test_a_zombies_record_neither_makes_nor_deletes_a_key(tmp_path: Path) -> None:
    reading = tail(tmp_path)
    other = new_api_key()
    for epoch, event in ((2, made()), (1, made(other, api_key_id="other")), (1, deleted())):
        reading._fold(PLACE, cast("Any", Record(epoch, event)))
    assert reading.api_keys.verdict(hash_of(KEY), now_ms=0) is not None
    assert reading.api_keys.verdict(hash_of(other), now_ms=0) is None
    reading._fold(PLACE, cast("Any", Record(2, deleted())))
    assert reading.api_keys.verdict(hash_of(KEY), now_ms=0) is None


class Asked:
    """Auth with a tail that is fresh or not."""

    def __init__(self, tmp_path: Path, *, is_fresh: bool) -> None:
        self.tail = tail(tmp_path)

        async def fresh() -> bool:
            return is_fresh

        self.tail.fresh = fresh  # type: ignore[method-assign]
        parts = dict.fromkeys(
            ("opening", "registering", "signing_in", "refreshing", "changing_password", "sender")
        )
        self.tokens = Tokens(lambda: (TokenKey(b"k" * 32),))
        self.auth = Auth(**cast("Any", parts), tokens=self.tokens, tail=self.tail)

    async def verdicts(self, *presented: str) -> Message:
        return await self.auth._verdicts(TokensSecret(access_tokens=presented))


async def test_keys_and_tokens_are_asked_about_together(tmp_path: Path) -> None:
    asked = Asked(tmp_path, is_fresh=True)
    asked.tail.api_keys.fold(made())
    now_s = int(time.time())
    token = asked.tokens.issue(
        user_id="v",
        username_hmac="h",
        session_id="s",
        role="trader",
        issued_at_s=now_s,
        expires_at_s=now_s + 60,
    )
    answer = await asked.verdicts("nonsense", KEY, token, new_api_key())
    assert isinstance(answer, Verdicts)
    nonsense, bot, person, unknown = answer.verdicts
    assert nonsense is unknown is None
    assert isinstance(bot, Verdict)
    assert (bot.user_id, bot.scopes) == ("u", ("read",))
    assert isinstance(person, Verdict)
    assert (person.user_id, person.scopes) == ("v", None)


@pytest.mark.parametrize("key", [KEY, new_api_key()])
async def test_without_fresh_knowledge_no_key_is_good_or_bad(tmp_path: Path, key: str) -> None:
    asked = Asked(tmp_path, is_fresh=False)
    asked.tail.api_keys.fold(made())
    answer = await asyncio.wait_for(asked.verdicts(key), 5)
    assert isinstance(answer, Refused)
    assert answer.reason is Reason.UNAVAILABLE
