"""`cnop`: finds its commands in runtime/commands, and says in a sentence what is wrong."""

import errno
import importlib
import pkgutil
import sys
from typing import Final

import typer
from pydantic import ValidationError

from runtime import commands
from runtime.devstack.errors import CannotStart
from runtime.devstack.signing_in import sign_in_here
from runtime.errors import Unavailable

_ENVIRONMENT: Final = "CNOP_"
_SENTENCES: Final = {
    errno.ENOSPC: "The disk is full",
    errno.EACCES: "Access was denied",
    errno.EROFS: "The disk is read-only",
}


def main() -> None:
    """Run the command of this process's arguments."""
    try:
        sign_in_here(sys.argv[1:])
        _application(sys.argv[1:])()
    except (CannotStart, Unavailable) as problem:
        _end(str(problem))
    except ValidationError as problem:
        _end("\n".join(_setting(each["loc"], each["msg"]) for each in problem.errors()))
    except OSError as problem:
        if (sentence := sentence_of(problem)) is None:
            raise
        _end(sentence)


def sentence_of(problem: OSError) -> str | None:
    """What a person can do something about; None for other errors."""
    known = _SENTENCES.get(problem.errno or 0)
    return known and f"{known}: {problem.filename or problem}."


def _application(arguments: list[str]) -> typer.Typer:
    """All commands, or only the one asked for: a worker need not load what it never uses."""
    app = typer.Typer(
        name="cnop",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        callback=_describe,
    )
    names = [each.name for each in pkgutil.iter_modules(commands.__path__)]
    asked = arguments[0].replace("-", "_") if arguments else ""
    for name in [asked] if asked in names else names:
        _add(app, name)
    return app


def _add(app: typer.Typer, name: str) -> None:
    module = importlib.import_module(f"{commands.__name__}.{name}")
    title = name.replace("_", "-")
    if group := getattr(module, "app", None):
        app.add_typer(group, name=title)
    else:
        app.command(name=title, hidden=getattr(module, "HIDDEN", False))(module.command)


def _describe() -> None:
    """Event-driven CQRS trading backend: runs it, watches it, asks it."""


def _setting(location: tuple[int | str, ...], message: str) -> str:
    return f"{_ENVIRONMENT}{'_'.join(map(str, location)).upper()}: {message}."


def _end(sentence: str) -> None:
    typer.echo(sentence, err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
