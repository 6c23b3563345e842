"""`cnop reset`: drops the local data."""

import shutil

import typer

from runtime.devstack.background import Stack
from runtime.devstack.config import StackConfig


def command() -> None:
    """Stop the system and drop its topics, tables, keys and logs; the jars stay."""
    config = StackConfig()
    files = config.files
    Stack(files).stop()
    for place in (files.kafka, files.dynamodb, files.secrets, files.logs, files.run):
        shutil.rmtree(place, ignore_errors=True)
    typer.echo(f"The data in {files.directory} are gone.")
    if config.kafka_bootstrap or config.dynamodb_endpoint:
        typer.echo("Topics and tables on servers that you named by CNOP_* are still there.")
