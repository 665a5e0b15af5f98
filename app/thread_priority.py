"""Lower the priority of threads, so that a busy processor serves the event loop first; only Linux can."""

import os
import sys
import threading
from contextlib import suppress


def lower_priority(by: int) -> None:
    """Raise the nice value of the calling thread by `by`, up to 19; an ordinary user cannot take it back."""
    if sys.platform == "linux":
        with suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + by)
