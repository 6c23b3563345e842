"""The stack's status for a person: a live table in a terminal, plain lines elsewhere."""

import time
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from runtime.devstack.state import ProcessStatus, StackStatus

_COLOURS: Final = {"ready": "green", "starting": "yellow", "running": "yellow", "waiting": "red"}
_FIRST_ORDER: Final = """\
H='content-type: application/json'; URL={url}/api/v1
curl -s $URL/auth/register -H "$H" -d '{{"username": "satoshi", "email": "satoshi@example.com",
  "password": "Genesis-2009!", "first_name": "Satoshi", "last_name": "Nakamoto"}}'; echo
TOKEN=$(curl -s $URL/auth/login -H "$H" \\
  -d '{{"username": "satoshi", "password": "Genesis-2009!"}}' \\
  | python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
A="authorization: Bearer $TOKEN"
curl -s $URL/balance/deposit -H "$A" -H "$H" -d '{{"amount": "1000"}}'; echo
curl -s $URL/orders -H "$A" -H "$H" \\
  -d '{{"asset_id": "BTC", "order_type": "market_buy", "quantity": "0.001"}}'; echo
curl -s $URL/portfolio -H "$A"; echo"""


def first_order(url: str) -> str:
    """Shell commands that register, sign in, deposit, buy and look: ready to paste."""
    return _FIRST_ORDER.format(url=url)


class StatusView:
    """Shows each new status while it is entered."""

    def __init__(self, console: Console) -> None:
        self._console: Final = console
        self._live: Final = Live(console=console, auto_refresh=False, transient=False)
        self._step: str | None = None
        self._told_ready = False

    def __enter__(self) -> Self:
        """Begin."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the last status on the screen."""
        self._live.stop()

    def show(self, status: StackStatus) -> None:
        """Show it."""
        if self._console.is_terminal:
            self._live.update(panel(status), refresh=True)
        else:
            self._print(status)

    def _print(self, status: StackStatus) -> None:
        if status.step and status.step != self._step:
            self._console.print(status.step, highlight=False)
        self._step = status.step
        if status.state == "ready" and not self._told_ready:
            self._told_ready = True
            self._console.print(panel(status))


def panel(status: StackStatus) -> Group:
    """The status as rich shows it."""
    head = Text(f"CNOP is {status.state}", style=_COLOURS.get(status.state, "bold"))
    if status.step:
        head.append(f" · {status.step}", style="dim")
    parts: list[Table | Text] = [head, _processes(status.processes)]
    if status.state in {"ready", "running"}:
        parts += [_urls(status), Text("\nA first order, to paste into another shell:")]
        parts += [Text(first_order(status.urls[0]), style="cyan")]
    return Group(*parts)


def _processes(processes: tuple[ProcessStatus, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for title in ("process", "state", "pid", "for", "restarts", "port", "metrics"):
        table.add_column(title, header_style="dim")
    for each in processes:
        table.add_row(
            each.name,
            Text(each.state, style=_COLOURS.get(each.state, "")),
            str(each.pid or ""),
            _age(time.time() - each.since) if each.since else "",
            str(each.restarts) if each.restarts else "",
            str(each.port or ""),
            str(each.metrics_port or ""),
        )
    return table


def _urls(status: StackStatus) -> Text:
    lines = [f"API      {url}/docs" for url in status.urls]
    lines += [f"Health   {status.urls[0]}/health/ready"]
    lines += [f"Kafka    {status.kafka_bootstrap}", f"DynamoDB {status.dynamodb_endpoint}"]
    return Text("\n" + "\n".join(lines))


def _age(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min"
        if hours
        else f"{minutes} min {rest} s"
        if minutes
        else f"{rest} s"
    )
