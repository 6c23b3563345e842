"""`cnop keys`: the keys that sign access tokens."""

import time

import typer

from runtime.security.files import ensure_secrets
from runtime.security.signing import ACTIVE_AFTER_MS, key_names, rotate
from runtime.settings import settings

app = typer.Typer(help="Keys that sign access tokens.", no_args_is_help=True)


@app.command("rotate")
def rotate_keys() -> None:
    """Make a new signing key; tokens of older keys stay valid until they expire."""
    known = settings()
    directory = ensure_secrets(known.secrets)
    kid = rotate(directory, now_ms=int(time.time() * 1_000), token_ms=known.access_token_s * 1_000)
    keys = len(key_names(directory, ".key"))
    typer.echo(
        f"Key {kid} signs new tokens in {ACTIVE_AFTER_MS // 1_000} s; {keys} keys are known."
    )


@app.command("list")
def list_keys() -> None:
    """Show the signing keys, oldest first."""
    for each in key_names(settings().secrets, ".key"):
        state = "active" if each.active_ms <= time.time() * 1_000 else "not yet active"
        typer.echo(f"{each.stem}: {state}")
