"""No topic holds what is personal or secret in a form that can be read."""

import base64
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from haystack import Haystack, forms
from topics import Stored, read_topics
from traders import WRONG, Gateways, Trader, order, unique

from runtime.devstack.background import Stack
from schemas.topics import (
    ACCOUNTS_COMMANDS,
    ACCOUNTS_JOURNAL,
    AUTH_REQUESTS,
    GATEWAY_REPLIES,
    IDENTITY_COMMANDS,
    IDENTITY_JOURNAL,
    MARKETS_COMMANDS,
    MARKETS_JOURNAL,
    REGISTRY,
)

ADDRESS = "127.93.181.207"
USED = (
    *(IDENTITY_COMMANDS, IDENTITY_JOURNAL, ACCOUNTS_COMMANDS, ACCOUNTS_JOURNAL),
    *(MARKETS_COMMANDS, MARKETS_JOURNAL, AUTH_REQUESTS, GATEWAY_REPLIES),
)
EVERYBODYS = ("@example.com", "Passw0rd!Passw0rd", WRONG, "$argon2", "eyJhbGciOi")
"""What every test's users share, and how hashes and tokens begin."""


async def _session(gateways: Gateways, account_ids: set[str]) -> set[str]:
    """Everything that somebody does in a day; what of it nobody may read."""
    name = unique("Zebedee")
    email, other_email = (
        f"{name}.Mail@Quux-Xylophone.example.org",
        f"{name}@second-quux.example.org",
    )
    password, wrong = "Vq7!xylophone-Zz", "Kp3!marimba-Wrong"
    first, last, renamed = "Wolfeschlegel", "Ünterbergør Nguyễn", "Hausenbergerdorff"
    phone, other_phone = "+49 151 2345-98761", "0044 7700 900987"
    born, reborn = "1961-07-23", "1959-11-02"
    secrets = {
        *(name, email, other_email, password, wrong, first, last, renamed, born, reborn),
        *(phone, other_phone, "4915123459876", "00447700900987", ADDRESS),
        *("Quux-Xylophone", "second-quux", "Ünterbergør", "Nguyễn"),
    }
    trader = await gateways.trader(
        username=name,
        email=email,
        password=password,
        first_name=first,
        last_name=last,
        phone=phone,
        date_of_birth=born,
        marketing_emails_consent=True,
    )
    secrets |= {trader.token, *trader.token.split(".")[1:]}
    for through, changes in enumerate(
        (
            {"first_name": renamed, "phone": other_phone},
            {"email": other_email, "date_of_birth": reborn},
            {"marketing_emails_consent": False},
        )
    ):
        await trader.ask("PUT", "/auth/profile", through=through, json=changes)
    profile = await trader.read("/auth/profile", through=1)
    assert (profile["first_name"], profile["email"]) == (renamed, other_email.lower())
    # the refused ways: taken names, wrong passwords, bodies that are not valid
    for refused in (
        {"username": name, "password": password, "first_name": first},
        {"email": other_email, "password": password, "last_name": last},
        {"username": name, "password": "short", "email": email},
    ):
        assert (await gateways.register(through=1, **refused)).status_code in (409, 422)
    assert (await gateways.sign_in(name, wrong, through=1)).status_code == 401
    nobody = unique("Nobody")
    assert (await gateways.sign_in(nobody, wrong)).status_code == 401
    again = await gateways.signed_in(name, password, through=1)
    secrets |= {nobody, again.token, *again.token.split(".")[1:], again.refresh_token}
    refreshed = (await again.refresh(through=1)).json()
    secrets |= {refreshed["access_token"], refreshed["refresh_token"]}
    secrets.add(renewed := "Vq7!gramophone-Yx")
    forged = again.token[:-6] + "AAAAAA"
    secrets.add(forged)
    headers = {"Authorization": f"Bearer {forged}"}
    assert (await gateways.send("GET", "/balance", headers=headers)).status_code == 401
    await _trades(trader, account_ids)
    change = {"current_password": password, "new_password": renewed}
    assert (await again.send("POST", "/auth/password", json=change)).status_code == 204
    sessions = await again.read("/auth/sessions", through=1)
    assert len(sessions["data"]) == 1
    await again.ask("POST", "/auth/logout", json={"password": password, "note": last})
    return secrets


async def _trades(trader: Trader, account_ids: set[str]) -> None:
    deposited = await trader.move("deposit", "777.77")
    account_ids.add(deposited["transaction_id"])
    bought = await trader.order(quantity="0.003", client_order_id=unique("mine"))
    account_ids.add(bought["order_id"])
    await trader.order(order_type="market_sell", quantity="0.001", through=1)
    resting = await trader.order(order_type="limit_buy", quantity="0.01", price="1000")
    await trader.ask("DELETE", f"/orders/{resting['order_id']}", through=1)
    refused = await trader.send("POST", "/orders", json=order(quantity="3"))
    assert refused.status_code == 422


def test_the_search_finds_every_disguise() -> None:
    for needle in ("Ünterbergør", "Vq7!xylophone-Zz", ADDRESS):
        for form in forms(needle):
            for before in (b"", b"a", b'{"x":"', b"\0\1"):
                value = before + form + b'"}'
                assert Haystack([Stored("t", 0, 0, None, value, ())]).hits([needle])
        for shift in range(5):
            hidden = base64.b64encode(b"x" * shift + needle.encode() + b"tail")
            assert Haystack([Stored("t", 0, 0, None, None, (("h", hidden),))]).hits([needle])
    nothing = Stored("t", 0, 0, b"key", b"value", (("h", None),))
    assert not Haystack([nothing]).hits(["Wolfeschlegel"])


@pytest.mark.timeout(120)
async def test_no_topic_holds_a_secret_or_a_person(stack: Stack) -> None:
    done: set[str] = set()
    async with AsyncExitStack() as closing:
        gateways = await closing.enter_async_context(Gateways.of(stack, address=ADDRESS))
        secrets = await _session(gateways, done)
    records = await read_topics(stack.settings, REGISTRY)
    read = Counter(each.topic for each in records)
    assert all(read[each] >= 10 for each in USED), read
    haystack = Haystack(records)
    # the session is among what was read: its ids are found, in journals and on replies
    for each in done:
        found = {hit.split(" ")[0] for hit in haystack.hits([each])}
        assert found >= {ACCOUNTS_JOURNAL, GATEWAY_REPLIES}, found
    assert haystack.hits(secrets) == []
    assert haystack.hits(EVERYBODYS) == []
