"""Take from the decoding process what it does not need: memory, processor time, the network and the file system.

A video comes from strangers, and codecs are large programs in C. What they could do with a fault of theirs is limited
to this process, which holds one open file and two pipes.
"""

import ctypes
import resource
import sys
from contextlib import suppress

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_MEMORY_BYTES = 2 * 2**30
"""Of address space; what it really uses is a tenth of it."""


def confine(*, processor_s: int) -> None:
    """Limit this process; call it when everything is imported.

    It loses the network where the system lets it (Linux, unless a container forbids it).
    """
    _limit(resource.RLIMIT_CPU, processor_s)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_FSIZE, 0)  # it writes to no file
    if sys.platform == "linux":
        _limit(resource.RLIMIT_AS, _MEMORY_BYTES)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNET) != 0:
            libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET)
    _limit(resource.RLIMIT_NOFILE, 16)


def _limit(what: int, value: int) -> None:
    with suppress(ValueError, OSError):
        resource.setrlimit(what, (value, value))
