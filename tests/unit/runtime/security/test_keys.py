"""Key files, pseudonyms, sealed boxes and the vault."""

import asyncio
import stat
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.security.files import (
    PSEUDONYMS,
    REFRESH,
    SEAL,
    SEAL_PUBLIC,
    SIGN,
    SIGN_PUBLIC,
    ensure_secrets,
    read_secret,
)
from runtime.security.profiles import Profile, decrypt_profile, encrypt_profile
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.sealed import OpeningKey, SealingKey
from runtime.security.vault import Erased, Vault
from runtime.table import ConditionFailed, Row
from schemas.auth import Sealed, TokensSecret
from schemas.codec import PoisonMessage

FILES = (PSEUDONYMS, REFRESH, SEAL, SEAL_PUBLIC, SIGN, SIGN_PUBLIC)
ANN = Profile(username="ann_lee", email="ann@example.org", first_name="Ann", last_name="Lee")
T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


@dataclass
class MemoryRows:
    """A table in memory; `reads` counts what reached it."""

    rows: dict[str, Row] = field(default_factory=dict)
    reads: int = 0

    async def get(self, table: str, key: Row) -> Row | None:
        assert table == "vault"
        self.reads += 1
        return self.rows.get(key["key_id"])

    async def put(self, table: str, row: Row, *, unless_exists: bool = False) -> None:
        assert table == "vault"
        for _ in range(2):  # as botocore does when the first answer is lost
            if unless_exists and row["key_id"] in self.rows:
                raise ConditionFailed
            self.rows[row["key_id"]] = row

    async def delete(self, table: str, key: Row) -> None:
        assert table == "vault"
        self.rows.pop(key["key_id"], None)


def test_key_files_are_made_once_and_readable_by_their_owner_alone(tmp_path: Path) -> None:
    directory = ensure_secrets(tmp_path / "secrets")
    before = [read_secret(directory, name) for name in FILES]
    ensure_secrets(directory)
    assert [read_secret(directory, name) for name in FILES] == before
    assert len(set(before)) == len(FILES)
    for name in FILES:
        assert stat.S_IMODE((directory / name).stat().st_mode) == 0o600
    assert sorted(each.name for each in directory.iterdir()) == sorted(FILES)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_processes_that_make_key_files_at_once_agree_on_them(tmp_path: Path) -> None:
    def keys(_: int) -> bytes:
        directory = ensure_secrets(tmp_path / "secrets")
        pair = OpeningKey.of_auth(directory)
        assert pair.sealing.key_id == SealingKey.of_auth(directory).key_id
        return b"".join(read_secret(directory, name) for name in FILES)

    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(keys, range(64)))) == 1


def test_a_damaged_key_file_is_named(tmp_path: Path) -> None:
    ensure_secrets(tmp_path)
    (tmp_path / SEAL).write_bytes(b"short")
    with pytest.raises(ValueError, match=SEAL):
        ensure_secrets(tmp_path)


def test_pseudonyms_differ_by_purpose_and_by_key() -> None:
    ours, theirs = Pseudonyms(b"a" * 32), Pseudonyms(b"b" * 32)
    seen = {
        ours.username("same"),
        ours.email("same"),
        ours.fingerprint(b"same"),
        theirs.username("same"),
    }
    assert len(seen) == 4
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in seen)


def test_pseudonyms_of_names_and_emails_ignore_case() -> None:
    pseudonyms = Pseudonyms(b"a" * 32)
    assert pseudonyms.username("Ann_Lee") == pseudonyms.username("ann_lee")
    assert pseudonyms.email("Ann@Example.org") == pseudonyms.email("ann@example.org")


@settings(deadline=None)
@given(token=st.text())
def test_what_is_sealed_opens_with_its_key_alone(token: str) -> None:
    key, other = OpeningKey(b"k" * 32), OpeningKey(b"o" * 32)
    sealed = SealingKey.decode(key.public).seal(TokensSecret(access_tokens=(token,)))
    assert key.open(sealed, TokensSecret) == TokensSecret(access_tokens=(token,))
    with pytest.raises(PoisonMessage):
        other.open(sealed, TokensSecret)
    with pytest.raises(PoisonMessage):
        other.open(msgspec.structs.replace(sealed, key_id=other.sealing.key_id), TokensSecret)


@settings(deadline=None)
@given(box=st.text(max_size=200))
def test_a_box_of_anything_else_is_poison(box: str) -> None:
    key = OpeningKey(b"k" * 32)
    with pytest.raises(PoisonMessage):
        key.open(Sealed(key_id=key.sealing.key_id, box=box), TokensSecret)


@pytest.mark.parametrize("text", ["", "no base64", "AAAA", "é"])
def test_a_reply_key_that_is_none_is_poison(text: str) -> None:
    with pytest.raises(PoisonMessage):
        SealingKey.decode(text)


def test_a_sealed_box_with_another_secret_in_it_is_poison() -> None:
    key = OpeningKey.generate()
    with pytest.raises(PoisonMessage):
        key.open(key.sealing.seal(ANN), TokensSecret)


def test_a_profile_comes_back_from_its_ciphertext() -> None:
    async def scenario() -> None:
        rows = MemoryRows()
        vault = Vault(rows)
        ciphertext = await encrypt_profile(vault, await vault.create(), ANN)
        assert "ann_lee" not in msgspec.json.encode(ciphertext).decode().lower()
        assert await decrypt_profile(Vault(rows), ciphertext) == ANN

    run(scenario())


def test_destroying_the_key_erases_the_person() -> None:
    async def scenario() -> None:
        vault = Vault(MemoryRows())
        ciphertext = await encrypt_profile(vault, await vault.create(), ANN)
        await vault.destroy(ciphertext.key_id)
        await vault.destroy(ciphertext.key_id)
        with pytest.raises(Erased):
            await decrypt_profile(vault, ciphertext)

    run(scenario())


def test_a_ciphertext_cannot_stand_in_anothers_place() -> None:
    async def scenario() -> None:
        rows = MemoryRows()
        vault = Vault(rows)
        mine, yours = await vault.create(), await vault.create()
        ciphertext = await vault.encrypt(mine, b"secret", use="profile")
        with pytest.raises(PoisonMessage):
            await vault.decrypt(ciphertext, use="password-hash")
        rows.rows[yours] = {**rows.rows[mine], "key_id": yours}
        moved = msgspec.structs.replace(ciphertext, key_id=yours)
        with pytest.raises(PoisonMessage):
            await Vault(rows).decrypt(moved, use="profile")

    run(scenario())


@settings(deadline=None)
@given(data=st.data())
def test_a_tampered_ciphertext_never_decrypts(data: st.DataObject) -> None:
    async def scenario() -> None:
        vault = Vault(MemoryRows())
        good = await vault.encrypt(await vault.create(), b"secret", use="profile")
        name = data.draw(st.sampled_from(["nonce", "bytes"]))
        text: str = getattr(good, name)
        at = data.draw(st.integers(0, len(text.rstrip("=")) - 2))
        letter = "A" if text[at] != "A" else "B"
        broken = msgspec.structs.replace(good, **{name: text[:at] + letter + text[at + 1 :]})
        with pytest.raises(PoisonMessage):
            await vault.decrypt(broken, use="profile")

    run(scenario())


def test_a_key_in_use_is_read_from_the_store_once() -> None:
    async def scenario() -> None:
        rows = MemoryRows()
        ciphertext = await encrypt_profile(maker := Vault(rows), await maker.create(), ANN)
        vault = Vault(rows)
        for _ in range(10):
            await decrypt_profile(vault, ciphertext)
        assert rows.reads == 1

    run(scenario())
