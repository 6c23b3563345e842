"""Run a command that dies with its parent: `leash.py PARENT_PID COMMAND ...`.

Started as a script, before anything else is loaded. Linux sends the signal that prctl names when
the parent is gone, also after kill -9; elsewhere the command runs without the leash.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _main(parent: int, command: list[str]) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit("the parent went away before its child began")
    os.execvp(command[0], command)  # noqa: S606  # that is its job


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2:])
