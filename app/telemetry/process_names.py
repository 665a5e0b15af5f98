"""Name processes that count in one directory: by host and id, since containers have the same ids."""

import os
import platform
import re

import psutil

_HOST = re.sub(r"[^A-Za-z0-9.]", "", platform.node()) or "host"


def process_name() -> str:
    """Return this process's name, which is the end of the names of its files."""
    return f"{_HOST}-{os.getpid()}"


def may_run(name: str) -> bool:
    """Return whether the process of this name runs; one of another host or container may."""
    host, _, number = name.rpartition("-")
    if host and host != _HOST:
        return True
    return number.isdecimal() and psutil.pid_exists(int(number))
