"""The stack's status for a person: a live table in a terminal, plain lines elsewhere."""

import time
from typing import Final, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from runtime.devstack.state import ProcessStatus, StackStatus

_COLOURS: Final = {"ready": "green", "starting": "yellow", "running": "yellow", "waiting": "red"}
_REFRESH_S: Final = 1.0
_FIRST_ORDER: Final = """\
URL={url}/api/v1
post() {{ curl -s $URL/$1 -H 'content-type: application/json' \\
  -H "authorization: Bearer $TOKEN" -d "$2"; echo; }}
post auth/register '{{"username": "satoshi", "email": "satoshi@example.com",
  "password": "Genesis-2009!", "first_name": "Satoshi", "last_name": "N"}}'
TOKEN=$(post auth/login '{{"username": "satoshi",
  "password": "Genesis-2009!"}}' |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["access_token"])')
post balance/deposit '{{"amount": "1000"}}'
post orders '{{"asset_id": "BTC", "order_type": "market_buy",
  "quantity": "0.001"}}'
curl -s $URL/portfolio -H "authorization: Bearer $TOKEN"; echo"""


def first_order(url: str) -> str:
    """Shell commands that register, sign in, deposit, buy and look: ready to paste."""
    return _FIRST_ORDER.format(url=url)


class StatusView:
    """Shows each new status while it is entered; the first order stands above it, to be copied."""

    def __init__(self, console: Console) -> None:
        self._console: Final = console
        self._live: Final = Live(console=console, auto_refresh=False)
        self._shown: StackStatus | None = None
        self._shown_at = 0.0
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
        if status.state == "ready" and not self._told_ready:
            self._told_ready = True
            self._tell_ready(status)
        if self._console.is_terminal:
            self._refresh(status)
        elif status.step and (self._shown is None or status.step != self._shown.step):
            self._console.print(status.step, highlight=False, soft_wrap=True)
        self._shown = status

    def _refresh(self, status: StackStatus) -> None:
        now = time.monotonic()
        if status != self._shown or now - self._shown_at > _REFRESH_S:
            self._shown_at = now
            self._live.update(panel(status), refresh=True)

    def _tell_ready(self, status: StackStatus) -> None:
        if not self._console.is_terminal:
            self._console.print(panel(status))
        self._console.print("\nA first order, to paste into another shell:\n")
        order = first_order(status.urls[0])
        self._console.print(order, style="cyan", highlight=False, soft_wrap=True, markup=False)
        self._console.print()


def panel(status: StackStatus) -> Group:
    """The status as rich shows it."""
    head = Text(f"CNOP is {status.state}", style=_COLOURS.get(status.state, "bold"))
    if status.step:
        head.append(f" · {status.step}", style="dim")
    parts: list[Table | Text] = [head]
    if status.processes:
        parts.append(_processes(status.processes))
    if status.state in {"ready", "running"}:
        parts.append(_urls(status))
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
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
