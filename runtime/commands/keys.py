"""`cnop keys`: the keys that sign access tokens."""

import time
from typing import Annotated

import typer

from runtime.security.files import ensure_secrets
from runtime.security.signing import key_names, rotate
from runtime.settings import settings

app = typer.Typer(help="Keys that sign access tokens.", no_args_is_help=True)


@app.command("rotate")
def rotate_keys(
    after_s: Annotated[
        int, typer.Option(min=0, help="Seconds until it signs: every process knows it by then.")
    ] = 10,
) -> None:
    """Make a new signing key; tokens of older keys stay valid until they expire."""
    known, now_ms = settings(), int(time.time() * 1_000)
    directory = ensure_secrets(known.secrets)
    kid = rotate(
        directory,
        now_ms=now_ms,
        active_ms=now_ms + after_s * 1_000,
        token_ms=known.access_token_s * 1_000,
    )
    keys = len(key_names(directory, ".key"))
    typer.echo(f"Key {kid} signs new tokens in {after_s} s; {keys} keys are known.")


@app.command("list")
def list_keys() -> None:
    """Show the signing keys, oldest first."""
    for each in key_names(settings().secrets, ".key"):
        state = "active" if each.active_ms <= time.time() * 1_000 else "not yet active"
        typer.echo(f"{each.stem}: {state}")
