"""`cnop supervise`: what `cnop up` starts in the background; the status goes to a file."""

import logging

from runtime import logs
from runtime.devstack.config import StackConfig
from runtime.devstack.state import StackStatus
from runtime.devstack.supervisor import Supervisor
from runtime.settings import settings

HIDDEN = True

_log = logging.getLogger(__name__)


def command() -> None:
    """Run the whole system without a terminal."""
    logs.configure("supervisor", settings().log_level)
    Supervisor(StackConfig(), _Told().note).run()


class _Told:
    """Logs what changed."""

    def __init__(self) -> None:
        self._step = ""
        self._restarts = 0

    def note(self, status: StackStatus) -> None:
        restarts = sum(each.restarts for each in status.processes)
        if status.step != self._step or restarts != self._restarts:
            self._step, self._restarts = status.step, restarts
            _log.info(status.step or status.state, extra={"restarts": restarts})
