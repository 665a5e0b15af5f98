"""Read the processor time of threads and processes from `/proc`, in seconds with nanosecond resolution; Linux only."""

from pathlib import Path

import psutil


def read_thread_s(pid: int, tid: int) -> float:
    """Return the time that one thread has run; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/task/{tid}/schedstat").read_text().split()[0]) / 1e9
    except (OSError, IndexError):
        return 0.0


def read_process_s(pid: int) -> float:
    """Return the time that all threads of one process have run; threads that have ended do not count."""
    try:
        return sum(read_thread_s(pid, int(task.name)) for task in Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return 0.0


def list_descendants(pid: int) -> list[psutil.Process]:
    """Return the processes below a process."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
