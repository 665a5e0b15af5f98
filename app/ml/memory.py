"""Configure glibc to return large freed blocks to the system, so that a process's memory stays flat.

By default glibc raises the size above which it maps a block separately, up to 32 MB, whenever such a block is freed.
Pictures and activations then come from the heap, where small surviving blocks keep whole regions alive. Measured by
`benchmarks/inference_soak.py`; docs/decisions/0014.
"""

import ctypes
import sys

import cv2

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_LARGE_BYTES = 1 << 20
_TRIM_BYTES = 4 << 20
_ARENAS = 4

_ONNX_RUNTIME_FAILURES = ("bad_alloc", "Failed to allocate memory", "out of memory")


def steady_memory() -> bool:
    """Fix glibc's mmap and trim thresholds and the number of arenas; return False if the C library has no mallopt."""
    if sys.platform != "linux":
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    settings = ((_M_MMAP_THRESHOLD, _LARGE_BYTES), (_M_TRIM_THRESHOLD, _TRIM_BYTES), (_M_ARENA_MAX, _ARENAS))
    return all(mallopt(option, value) == 1 for option, value in settings)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of Python, numpy, OpenCV or ONNX Runtime says that memory could not be allocated."""
    if isinstance(error, cv2.error):
        return getattr(error, "code", None) == cv2.Error.StsNoMem
    if isinstance(error, RuntimeError):
        return any(text in str(error) for text in _ONNX_RUNTIME_FAILURES)
    return isinstance(error, MemoryError)
