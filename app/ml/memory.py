"""Keeps the process's memory from growing with what it has seen: large blocks go back to the system when freed.

glibc raises the size from which it maps blocks on their own with every such block freed, to 32 MB; from then on
pictures and activations come from the heap, where small survivors between them keep whole regions alive. Measured by
`benchmarks/inference_soak.py`; docs/decisions/0014.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE_BYTES = 1 << 20
_TRIM_BYTES = 4 << 20
_ARENAS = 4


def steady_memory() -> bool:
    """Fix the size from which blocks are mapped; False where the C library is not glibc and nothing was done."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGE_BYTES), (_M_TRIM_THRESHOLD, _TRIM_BYTES), (_M_ARENA_MAX, _ARENAS))
    return all(mallopt(option, value) == 1 for option, value in settings)
