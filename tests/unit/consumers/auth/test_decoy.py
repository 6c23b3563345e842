"""A wrong password costs the same work whether or not there is such a user."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

from consumers.auth.attempts import Attempts, make_decoy
from consumers.auth.passwords import Passwords
from consumers.auth.request import Request
from runtime.security.profiles import PASSWORD_HASH
from runtime.security.vault import Vault
from runtime.table import Row
from schemas.auth import Reason, Refused
from schemas.codec import Message
from schemas.identity import Ciphertext, ReserveSignIn, SettleSignIn, SignInFailed, SignInReserved

KNOWN = "ann"
WRONG = "wrong"


class CountedRows:
    """The vault's table in memory, and how often it was read."""

    def __init__(self) -> None:
        self.rows: dict[str, Row] = {}
        self.reads = 0

    async def get(self, _table: str, key: Row) -> Row | None:
        self.reads += 1
        return self.rows.get(key["key_id"])

    async def put(self, _table: str, row: Row) -> None:
        self.rows[row["key_id"]] = row

    async def delete(self, _table: str, key: Row) -> None:
        self.rows.pop(key["key_id"], None)


class CountedPasswords(Passwords):
    """Passwords, and how often one was compared with a hash."""

    compared = 0

    async def match(self, hashed: str, password: str) -> bool:
        self.compared += 1
        return await super().match(hashed, password)


class Identity:
    """Knows one user, and that every password is wrong."""

    def __init__(self, stored: Ciphertext) -> None:
        self._stored = stored

    async def decided(self, _request: Any, _id: str, _key: str, command: Message) -> Message:
        match command:
            case ReserveSignIn(username_hmac=name):
                return SignInReserved(
                    address_hmac="a",
                    username_hmac=name,
                    attempt_id=command.attempt_id,
                    password_hash=self._stored if name == KNOWN else None,
                )
            case SettleSignIn(right=False):
                return SignInFailed(
                    address_hmac="a", username_hmac="u", attempt_id=command.attempt_id
                )
            case _:
                raise AssertionError(command)


def ignoring(**methods: Callable[..., object]) -> Any:
    return SimpleNamespace(**methods)


async def test_nobodys_attempt_reads_and_compares_as_much_as_anybodys() -> None:
    rows, passwords = CountedRows(), CountedPasswords()
    vault = Vault(cast("Any", rows))
    stored = await vault.encrypt(
        await vault.create(), (await passwords.hashed("right")).encode(), use=PASSWORD_HASH
    )
    attempts = Attempts(
        identity=cast("Any", Identity(stored)),
        passwords=passwords,
        pseudonyms=ignoring(address=lambda *_: "a"),
        vault=vault,
        audit=ignoring(tell=lambda _: None),
        decoy=await make_decoy(vault, passwords),
    )
    request = Request(cast("Any", SimpleNamespace(TYPE="sign-in")), {}, 0, 10**15)
    costs: list[tuple[int, int]] = []
    for name in (KNOWN, "ghost", KNOWN, "ghost", "phantom"):  # at first and again
        before = rows.reads, passwords.compared
        answer = await attempts.tried(
            request,
            address="a",
            username_hmac=name,
            password=WRONG,
            settle=cast("Any", None),
        )
        assert answer == Refused(reason=Reason.INVALID_CREDENTIALS)
        costs.append((rows.reads - before[0], passwords.compared - before[1]))
    assert costs == [(1, 1)] * 5
    passwords.close()
