"""`cnop config print`: what this process's settings are, and what set them."""

import re
from collections.abc import Iterator
from typing import Annotated, Final, NamedTuple
from urllib.parse import urlsplit

import typer
from pydantic import SecretStr

from runtime.settings import Settings, settings

app: Final = typer.Typer(help="Look at the settings.", no_args_is_help=True)
HIDDEN_VALUE: Final = "***"
_SECRET: Final = re.compile(r"(password|passphrase|secret|token|credential|(^|_)key)$")


class Line(NamedTuple):
    """One setting; its value is safe to show."""

    variable: str
    value: str
    is_default: bool


@app.callback()
def _describe() -> None:
    """Look at the settings."""


@app.command("print")
def print_settings(
    *,
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what is not as shipped.")
    ] = False,
) -> None:
    """Print every setting as an assignment; secrets are masked, defaults marked by a comment."""
    for line in lines(settings()):
        if not (changed and line.is_default):
            typer.echo(f"{line.variable}={line.value}{'  # default' if line.is_default else ''}")


def lines(shown: Settings) -> Iterator[Line]:
    """All settings in their order."""
    for name in Settings.model_fields:
        value: object = getattr(shown, name)
        is_default = value == Settings.model_fields[name].get_default(call_default_factory=True)
        yield Line(f"CNOP_{name.upper()}", redacted(name, value), is_default)


def redacted(name: str, value: object) -> str:
    """A setting's value without what must not be seen: secrets, and passwords within URLs."""
    if value is None:
        return "none"
    if isinstance(value, SecretStr) or (_SECRET.search(name) and value):
        return HIDDEN_VALUE
    text = str(value)
    return _without_credentials(text) if "://" in text else text


def _without_credentials(url: str) -> str:
    """A URL with its user information and the values of its query masked."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return HIDDEN_VALUE
    _, at, host = parts.netloc.rpartition("@")
    query = re.sub(r"=[^&]*", f"={HIDDEN_VALUE}", parts.query)
    netloc = f"{HIDDEN_VALUE}@{host}" if at else parts.netloc
    return parts._replace(netloc=netloc, query=query).geturl()
