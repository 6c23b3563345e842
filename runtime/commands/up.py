"""`cnop up`: the whole system in the background."""

import time

from rich.console import Console

from runtime.devstack.background import Stack
from runtime.devstack.config import StackConfig
from runtime.devstack.jars import have_jars
from runtime.devstack.view import StatusView
from runtime.settings import settings

_READY_S_MAX = 180.0
_FETCH_S_MAX = 600.0


def command() -> None:
    """Start the system in the background and return when it is ready; `cnop down` stops it."""
    config, console = StackConfig(), Console()
    began = time.monotonic()
    fetched = all(have_jars(name, settings().jars) for name in ("kafka", "dynamodb"))
    allowed_s = _READY_S_MAX if fetched else _READY_S_MAX + _FETCH_S_MAX
    with StatusView(console) as view:
        Stack.start(config, timeout_s=allowed_s, show=view.show)
    console.print(f"Ready after {time.monotonic() - began:.0f} s.", highlight=False)
