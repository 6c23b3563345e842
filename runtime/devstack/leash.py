"""Run a command that dies with its parent: `leash.py PARENT_PID NICENESS COMMAND ...`.

Started as a script, before anything else is loaded. Linux sends the signal that prctl names when
the parent is gone, also after kill -9; elsewhere the command runs without the leash.
"""

import ctypes
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


_AUTOGROUP = Path("/proc/self/autogroup")


def _main(parent: int, niceness: int, command: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the parent went away before its child began")
    if niceness:
        os.nice(niceness)
        with suppress(OSError):  # Linux may weigh whole sessions against each other: sched(7)
            _AUTOGROUP.write_text(str(niceness))
    os.execvp(command[0], command)  # noqa: S606  # that is its job


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
