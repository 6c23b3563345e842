"""`cnop tables`: what read models and the vault need, in DynamoDB."""

import asyncio

import typer

from runtime.admin import create_all_tables
from runtime.settings import settings

app = typer.Typer(help="Tables of the read models and the vault.", no_args_is_help=True)


@app.command()
def create() -> None:
    """Create the tables that are missing; idempotent."""
    asyncio.run(create_all_tables(settings()))
    typer.echo(f"The tables are there in {settings().dynamodb_endpoint or settings().aws_region}.")
