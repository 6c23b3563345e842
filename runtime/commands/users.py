"""`cnop users`: roles, locks and erasure, decided by identity; makes the first operator."""

import asyncio
import importlib
import time
from typing import Annotated, Any, Final, NoReturn

import typer

from runtime.errors import Unavailable
from runtime.security.files import PSEUDONYMS
from runtime.security.pseudonyms import Pseudonyms
from runtime.settings import settings
from schemas.codec import Message
from schemas.envelope import rfc3339
from schemas.identity import ChangeRole, LockUser, Role, UnlockUser, User
from schemas.money import format_e8

app = typer.Typer(help="Users' roles and locks, and their erasure.", no_args_is_help=True)
_Username = Annotated[str, typer.Argument(help="Who; upper and lower case are the same name.")]
_UNKNOWN: Final = "There is no such user."


@app.command()
def role(username: _Username, role: Annotated[Role, typer.Argument(help="The new role.")]) -> None:
    """Give a user another role; who changes roles signs in again."""
    hmac = _pseudonym(username)
    _say(_changed(hmac, ChangeRole(username_hmac=hmac, role=role)))


@app.command()
def lock(username: _Username) -> None:
    """Let nobody sign in as this user, and end all sessions."""
    hmac = _pseudonym(username)
    _say(_changed(hmac, LockUser(username_hmac=hmac)))


@app.command()
def unlock(username: _Username) -> None:
    """Let the user sign in again."""
    hmac = _pseudonym(username)
    _say(_changed(hmac, UnlockUser(username_hmac=hmac)))


@app.command()
def show(username: _Username) -> None:
    """Show a user's id, role, lock and sessions, without anything personal."""
    found = asyncio.run(_producers().standing(settings(), _pseudonym(username)))
    if found is None:
        _end(_UNKNOWN)
    _say(found.user)
    typer.echo(f"registered {rfc3339(found.user.created_at_ms)}")
    live = sum(at_ms > time.time() * 1_000 for at_ms in found.sessions.values())
    typer.echo(f"{live} live {'session' if live == 1 else 'sessions'}")


@app.command()
def erase(
    who: Annotated[str, typer.Argument(help="A username, or a user's id (32 hex digits).")],
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Also one who has money or open orders.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a person for good: nothing that was stored says any more who it was.

    Sessions end, the key of the person's data is destroyed, username and email are free again.
    The account's books stay, without a name. Asking again completes what was interrupted.
    """
    erasing = importlib.import_module("producers.erasing")
    by = {"user_id": who} if erasing.is_user_id(who) else {"username_hmac": _pseudonym(who)}
    found = asyncio.run(erasing.find(settings(), **by))
    if found is None:
        _end(_UNKNOWN)
    left = asyncio.run(erasing.left_behind(settings(), found.user_id))
    if not found.is_erased:
        _check(found, left, force=force, yes=yes)
        asyncio.run(erasing.decide(settings(), found))
    _destroy_key(erasing, found)
    if any(each.locked_e8 for each in left):
        asyncio.run(erasing.cancel_orders(settings(), found.user_id))
    typer.echo(f"user {found.user_id}: {'was erased already' if found.is_erased else 'erased'}")


def _check(found: Any, left: Any, *, force: bool, yes: bool) -> None:  # noqa: ANN401  # producers.erasing
    """Say what would be left behind, and ask: nothing brings an erased person back."""
    has = ", ".join(
        f"{format_e8(each.free_e8 + each.locked_e8)} {each.asset}"
        f"{' (open orders)' if each.locked_e8 else ''}"
        for each in left
    )
    if has and not force:
        _end(
            f"User {found.user_id} still has {has}. Let them withdraw it, or erase with --force: "
            "open orders are canceled, and what is left belongs to an account without a name."
        )
    if not yes:
        registered = rfc3339(found.registered_ms)
        question = f"Erase user {found.user_id}, registered {registered}, for good?"
        typer.confirm(question, abort=True, err=True)


def _destroy_key(erasing: Any, found: Any) -> None:  # noqa: ANN401  # producers.erasing
    try:
        asyncio.run(erasing.destroy_key(settings(), found))
    except Unavailable as problem:
        _end(
            f"User {found.user_id} is erased by the journal, but the key is not destroyed yet "
            f"({problem}): the auth service does it when the vault answers; ask again to be sure."
        )


def _producers() -> Any:  # noqa: ANN401  # a module of a layer above
    return importlib.import_module("producers.users")


def _changed(username_hmac: str, command: Message) -> User:
    user = asyncio.run(_producers().change(settings(), username_hmac, command))
    if user is None:
        _end(_UNKNOWN)
    return user


def _say(user: User) -> None:
    typer.echo(f"user {user.user_id}: {user.role}{', locked' if user.locked else ''}")


def _pseudonym(username: str) -> str:
    directory = settings().secrets
    if not (directory / PSEUDONYMS).exists():
        _end(f"The keys of this system are not in {directory}: set CNOP_SECRETS_DIR.")
    return Pseudonyms.of(directory).username(username)


def _end(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)
