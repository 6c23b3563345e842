"""Whom a `cnop` command is to Kafka, and how it signs in to the stack that runs here."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from runtime.devstack.state import StateFiles
from runtime.security.kafka_passwords import credentials_of
from runtime.settings import Settings
from schemas.acls import ADMIN, ANALYSTS, GATEWAY, OPERATORS, PRINCIPALS

_PRINCIPALS: Final = {"topics": ADMIN, "credentials": ADMIN, "replay": ANALYSTS, "gateway": GATEWAY}
_NAMED: Final = ("CNOP_KAFKA_USERNAME", "CNOP_KAFKA_PASSWORD", "CNOP_KAFKA_PASSWORD_FILE")


def principal_of(arguments: Sequence[str]) -> str:
    """The principal of a command: a process's own, an analyst's, or an operator's for the rest."""
    command = arguments[0] if arguments else ""
    named = arguments[1] if command == "worker" and len(arguments) > 1 else command
    return named if named in PRINCIPALS else _PRINCIPALS.get(command, OPERATORS)


def sign_in_here(arguments: Sequence[str]) -> None:
    """Sign in as the command's principal to a stack of this state directory, where one runs.

    Nothing changes for whoever says by CNOP_KAFKA_* who they are, or names another broker.
    """
    if any(each in os.environ for each in _NAMED):
        return
    settings = Settings()
    status = StateFiles(settings.state_dir).read()
    if status and status.kafka_credentials and status.kafka_bootstrap == settings.kafka_bootstrap:
        os.environ |= credentials_of(Path(status.kafka_credentials), principal_of(arguments))
