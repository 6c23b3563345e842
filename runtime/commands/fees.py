"""`cnop fees`: what traders pay, by what they traded in 30 days."""

import asyncio
import importlib
from typing import Annotated, Final

import typer

from runtime.dynamodb import DynamoTable, open_dynamodb
from runtime.settings import settings
from schemas.fees import FeeTier, Tiers, rate_ppm, rate_text
from schemas.money import format_e8, parse_e8

app = typer.Typer(help="Maker and taker fees by tier.", no_args_is_help=True)
_PARTS: Final = 3


@app.command("set")
def set_fees(
    tier: Annotated[
        list[str],
        typer.Option(
            help="VOLUME:MAKER:TAKER, such as 10000:0.0008:0.0015 for those who traded $10,000 or"
            " more in 30 days; repeatable, the first from 0 on."
        ),
    ],
) -> None:
    """Set the tiers for all orders from now on; open ones keep their rates."""
    try:
        tiers = tuple(map(_parsed, tier))
        count = asyncio.run(importlib.import_module("producers.fees").set_fees(settings(), tiers))
    except ValueError as problem:
        typer.echo(f"These are no fees: {problem}.", err=True)
        raise typer.Exit(2) from problem
    typer.echo(f"{count} partitions of accounts decided with these fees from now on.")


@app.command()
def show() -> None:
    """Show the tiers, as the portfolio read model has them."""
    for each in asyncio.run(_shown()):
        maker, taker = rate_text(each.maker_fee_ppm), rate_text(each.taker_fee_ppm)
        typer.echo(f"from ${format_e8(each.volume_e8)} in 30 days: maker {maker}, taker {taker}")


async def _shown() -> Tiers:
    queries = importlib.import_module("read_models.portfolio.queries")
    async with open_dynamodb(settings()) as client:
        return await queries.tiers(DynamoTable(client, settings()), 0)


def _parsed(text: str) -> FeeTier:
    parts = text.split(":")
    if len(parts) != _PARTS:
        raise ValueError(f"{text!r} is not VOLUME:MAKER:TAKER")
    volume, maker, taker = parts
    return FeeTier(
        volume_e8=parse_e8(volume), maker_fee_ppm=rate_ppm(maker), taker_fee_ppm=rate_ppm(taker)
    )
