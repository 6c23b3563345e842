"""`cnop users`: roles and locks, decided by identity; how the first operator is made."""

import asyncio
import importlib
import time
from typing import Annotated, Any, Final, NoReturn

import typer

from runtime.security.files import PSEUDONYMS
from runtime.security.pseudonyms import Pseudonyms
from runtime.settings import settings
from schemas.codec import Message
from schemas.envelope import rfc3339
from schemas.identity import ChangeRole, LockUser, Role, UnlockUser, User

app = typer.Typer(help="Users' roles and locks.", no_args_is_help=True)
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
