"""End a process when its parent is killed, so that no worker serves on without a supervisor."""

import ctypes
import multiprocessing
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Let Linux send SIGTERM to this process when its parent ends; does nothing in a process without a parent of ours.

    Other systems have no such signal.
    """
    parent = multiprocessing.parent_process()
    if parent is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent.pid:  # it ended before
        os.kill(os.getpid(), signal.SIGTERM)
