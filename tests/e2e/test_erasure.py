"""Erasing a person of the running system: money and journals stay, who it was is gone."""

import json
import time
from typing import Any

import pytest
from haystack import Haystack
from operators import cnop
from topics import Stored, read_topics
from traders import Gateways, Trader, check_problem, unique, until
from vaults import as_stored, identity_journal, read_tables, replayed_hash, vault_keys

from producers.erasing import left_behind
from runtime.devstack.background import Stack
from runtime.dynamodb import DynamoTable, open_dynamodb
from runtime.security.profiles import ERASED, Profile, readable_profile
from runtime.security.pseudonyms import Pseudonyms
from runtime.security.vault import Vault
from schemas.identity import Ciphertext, UserErased
from schemas.topics import REGISTRY

REVOKED_S = 2.0


class Person:
    """Somebody with a name like nobody else's, and all that may not be found of them."""

    def __init__(self) -> None:
        self.name = unique("Ottokar")[:30]
        self.email = f"{self.name}.Mail@Zwirn-Xylophone.example.org"
        self.password = "Vq7!xylophone-Zz"  # noqa: S105  # theirs
        self.first, self.last, self.phone = "Wolfeschlegelstein", "Ünterbergør", "4915123459876"
        self.born = "1961-07-23"

    @property
    def secrets(self) -> tuple[str, ...]:
        """What would say who it was."""
        domain = "Zwirn-Xylophone"
        return (self.name, self.email, domain, self.first, self.last, self.phone, self.born)

    async def registered(self, gateways: Gateways) -> Trader:
        """Them, signed in."""
        return await gateways.trader(
            username=self.name,
            email=self.email,
            password=self.password,
            first_name=self.first,
            last_name=self.last,
            phone=self.phone,
            date_of_birth=self.born,
        )


async def trades(trader: Trader) -> None:
    """Money, an asset and an order that rests."""
    await trader.move("deposit", "777.77")
    await trader.order(quantity="0.003")
    await trader.order(order_type="limit_buy", quantity="0.01", price="1000")
    await trader.ask("PUT", "/auth/profile", json={"marketing_emails_consent": True})


async def stored_profiles(stack: Stack, key_id: str) -> list[Profile]:
    """What every profile under this key, wherever it lies on identity's journal, reads as."""
    found: list[Profile] = []
    async with open_dynamodb(stack.settings) as client:
        vault = Vault(DynamoTable(client, stack.settings))
        for records in (await identity_journal(stack.settings)).values():
            for each in records:
                user: dict[str, Any] = json.loads(each.value or b"{}").get("user") or {}
                if user.get("profile", {}).get("key_id") == key_id:
                    found.append(await readable_profile(vault, Ciphertext(**user["profile"])))
    return found


async def refusal(gateways: Gateways, username: str, password: str) -> dict[str, Any]:
    """What a sign-in is told, but for the request it was."""
    answer = await gateways.sign_in(username, password)
    check_problem(answer, "invalid-credentials")
    return {name: value for name, value in answer.json().items() if name != "request_id"}


@pytest.mark.timeout(180)
async def test_nothing_says_any_more_who_an_erased_person_was(stack: Stack) -> None:
    person = Person()
    async with Gateways.of(stack) as gateways:
        others = await vault_keys(stack.settings)
        trader = await person.registered(gateways)
        await trades(trader)
        mine = {k: v for k, v in (await vault_keys(stack.settings)).items() if k not in others}
        ((key_id, key),) = mine.items()
        profiles = await stored_profiles(stack, key_id)
        assert len(profiles) >= 3
        assert {each.first_name for each in profiles} == {person.first}
        before = await identity_journal(stack.settings)
        await nobody_is_erased_by_mistake(stack, trader, person)

        erased = await cnop(stack, "users", "erase", person.name.upper(), "--force", "--yes")
        assert erased.returncode == 0, erased
        user_id = erased.stdout.removeprefix("user ").partition(":")[0]
        assert erased.stdout == f"user {user_id}: erased\n"
        await is_out(gateways, trader, person)
        await the_books_stay(stack, user_id)
        for who in (user_id, person.name):
            again = await cnop(stack, "users", "erase", who)
            assert again.stdout == f"user {user_id}: was erased already\n", again
        assert (await cnop(stack, "users", "show", person.name)).returncode == 1

        assert set(await stored_profiles(stack, key_id)) == {ERASED}
        assert key_id not in await vault_keys(stack.settings)
        await replay_needs_no_key(stack, before)
        await nothing_is_stored(stack, user_id, (*person.secrets, person.password, key))
        await the_audit_knows(stack, person, key_id)

        back = await person.registered(gateways)  # as somebody else
        assert (await cnop(stack, "users", "erase", user_id)).stdout.endswith("erased already\n")
        assert (await back.read("/auth/profile"))["email"] == person.email.lower()


async def nobody_is_erased_by_mistake(stack: Stack, trader: Trader, person: Person) -> None:
    """Who has something left is kept, and so is who nobody said yes about."""
    kept = await cnop(stack, "users", "erase", person.name, "--yes")
    assert kept.returncode == 1
    assert "USD (open orders)" in kept.stderr
    assert "0.003 ETH" in kept.stderr
    declined = await cnop(stack, "users", "erase", person.name, "--force")
    assert declined.returncode == 1
    assert "for good?" in declined.stderr
    assert person.name not in kept.stderr + declined.stderr
    assert (await trader.read("/auth/profile"))["first_name"] == person.first


async def is_out(gateways: Gateways, trader: Trader, person: Person) -> None:
    """Sessions end, and signing in tells nobody that there was somebody."""
    since_s = time.monotonic()
    for through in (0, 1):
        while (await trader.send("GET", "/balance", through=through)).status_code != 401:
            assert time.monotonic() < since_s + REVOKED_S
    unknown = await refusal(gateways, unique("nobody")[:30], person.password)
    assert await refusal(gateways, person.name, person.password) == unknown


async def the_books_stay(stack: Stack, user_id: str) -> None:
    """Money and assets are still there, and no order is open."""

    async def has_no_lock() -> bool:
        left = await left_behind(stack.settings, user_id)
        assert {each.asset for each in left} == {"USD", "ETH"}
        return not any(each.locked_e8 for each in left)

    await until(has_no_lock, limit_s=20)


async def replay_needs_no_key(stack: Stack, before: dict[int, list[Stored]]) -> None:
    """What the journal said until the erasure hashes to the same after it, and may be replayed."""
    after = await identity_journal(stack.settings)
    assert {number: replayed_hash(records) for number, records in before.items()} == {
        number: replayed_hash(after[number][: len(records)]) for number, records in before.items()
    }
    assert any(len(after[number]) > len(records) for number, records in before.items())
    for records in after.values():
        replayed_hash(records)


async def nothing_is_stored(stack: Stack, user_id: str, secrets: tuple[str, ...]) -> None:
    """No topic, no table and no export has any of it, whatever disguises it."""

    async def is_projected() -> bool:
        rows = (await read_tables(stack.settings))[stack.settings.table("users-g1")]
        return user_id not in str(rows)

    await until(is_projected, limit_s=20)
    topics = await read_topics(stack.settings, REGISTRY)
    haystack = Haystack([*topics, *as_stored(await read_tables(stack.settings))])
    assert haystack.hits(secrets) == []
    found = {each.split(" ")[0] for each in haystack.hits([user_id])}
    assert found >= {"identity.journal", "accounts.journal", stack.settings.table("portfolio-g1")}
    exported = (await cnop(stack, "replay", "identity")).stdout
    assert UserErased.TYPE in exported
    assert user_id in exported
    assert not any(each.lower() in exported.lower() for each in secrets)


async def the_audit_knows(stack: Stack, person: Person, key_id: str) -> None:
    """Exactly one erasure is told, by pseudonym."""
    hmac = Pseudonyms.of(stack.settings.secrets).username(person.name)
    told = (await cnop(stack, "audit", "--happened", "user-erased")).stdout.splitlines()
    mine = [each for each in map(json.loads, told) if each["user"] == hmac]
    assert [each["detail"] for each in mine] == [key_id]


async def test_nobody_and_an_unknown_id_are_not_erased(stack: Stack) -> None:
    for who in (unique("nobody")[:30], "f" * 32):
        said = await cnop(stack, "users", "erase", who, "--yes")
        assert (said.returncode, said.stderr) == (1, "There is no such user.\n")
