"""`cnop gateway`: one HTTP gateway process in the foreground."""

from typing import Annotated

import typer

from runtime.http_server import serve
from runtime.settings import settings


def command(
    port: Annotated[int | None, typer.Option(help="CNOP_GATEWAY_PORT when not given.")] = None,
    host: Annotated[str | None, typer.Option(help="CNOP_GATEWAY_HOST when not given.")] = None,
) -> None:
    """Run one gateway; several may share a port, and the kernel spreads connections over them."""
    chosen = settings().gateway_port if port is None else port
    raise typer.Exit(serve(host or settings().gateway_host, chosen))
