"""Keys of the vault: wrapped by KMS where that is set, and not kept in memory for long."""

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from kms import Kms, serving_kms

from runtime.errors import Unavailable
from runtime.memory_table import MemoryTable
from runtime.security import vault as vaults
from runtime.security.kms import open_wrapping
from runtime.security.profiles import (
    ERASED,
    Profile,
    encrypt_profile,
    readable_profile,
)
from runtime.security.vault import VAULT, Erased, Vault, Wrapping
from runtime.settings import Settings

ANN = Profile(username="ann_lee", email="ann@example.org", first_name="Ann", last_name="Lee")


@dataclass
class Clock:
    now_s: float = 1_000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def rows() -> MemoryTable:
    return MemoryTable([VAULT])


@pytest.fixture
async def kms(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kms]:
    async with serving_kms() as kms:
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        yield kms


@pytest.fixture
async def wrapping(kms: Kms) -> AsyncIterator[Wrapping]:
    async with open_wrapping(Settings(vault_kms_key=kms.alias)) as wrapping:
        assert wrapping is not None
        yield wrapping


async def test_without_a_kms_key_nothing_wraps() -> None:
    async with open_wrapping(Settings()) as wrapping:
        assert wrapping is None


async def test_a_wrapped_key_lies_in_the_table_only_as_kms_gave_it(
    rows: MemoryTable, wrapping: Wrapping, kms: Kms
) -> None:
    vault = Vault(rows, wrapping)
    ciphertext = await encrypt_profile(vault, await vault.create(), ANN)
    (row,) = rows.rows("vault").values()
    assert row.keys() == {"key_id", "wrapped"}
    assert kms.asked == ["Encrypt"]
    assert await readable_profile(Vault(rows, wrapping), ciphertext) == ANN
    assert kms.asked == ["Encrypt", "Decrypt"]
    key = await wrapping.unwrap(row["key_id"], base64.b64decode(row["wrapped"]))
    assert base64.b64encode(key).decode() not in str(row)
    await vault.destroy(ciphertext.key_id)
    assert await readable_profile(Vault(rows, wrapping), ciphertext) == ERASED


async def test_keys_that_were_stored_before_kms_was_set_are_still_read(
    rows: MemoryTable, wrapping: Wrapping
) -> None:
    before = Vault(rows)
    ciphertext = await encrypt_profile(before, await before.create(), ANN)
    assert await readable_profile(Vault(rows, wrapping), ciphertext) == ANN


async def test_a_wrapped_key_is_bound_to_its_id(rows: MemoryTable, wrapping: Wrapping) -> None:
    vault = Vault(rows, wrapping)
    mine, other = await vault.create(), await vault.create()
    ciphertext = await encrypt_profile(vault, mine, ANN)
    stored = rows.rows("vault")
    by_id = {row["key_id"]: row for row in stored.values()}
    await rows.put("vault", {**by_id[other], "key_id": mine})
    with pytest.raises(Unavailable, match="InvalidCiphertextException"):
        await readable_profile(Vault(rows, wrapping), ciphertext)


async def test_a_kms_that_fails_is_unavailable_and_never_an_erasure(
    rows: MemoryTable, wrapping: Wrapping, kms: Kms
) -> None:
    vault = Vault(rows, wrapping)
    ciphertext = await encrypt_profile(vault, await vault.create(), ANN)
    kms.is_down = True
    with pytest.raises(Unavailable, match="KMS"):
        await readable_profile(Vault(rows, wrapping), ciphertext)
    with pytest.raises(Unavailable, match="KMS"):
        await vault.create()
    with pytest.raises(Unavailable, match="CNOP_VAULT_KMS_KEY"):
        await readable_profile(Vault(rows), ciphertext)
    assert len(rows.rows("vault")) == 1


async def test_a_key_is_forgotten_a_minute_after_it_was_read(
    rows: MemoryTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(vaults.time, "monotonic", clock.monotonic)
    vault = Vault(rows)
    ann, ben = await vault.create(), await vault.create()
    ciphertext = await encrypt_profile(vault, ann, ANN)
    await Vault(rows).destroy(ann)  # another process
    clock.now_s += 59
    assert await readable_profile(vault, ciphertext) == ANN
    clock.now_s += 2
    await vault.encrypt(ben, b"", use="profile")  # whoever is asked for
    assert list(vault._cache) == [ben]
    with pytest.raises(Erased):
        await vault.encrypt(ann, b"", use="profile")
