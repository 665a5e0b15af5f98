"""Worker processes that share what they have in common: they are forked after the networks are loaded.

uvicorn's own workers start from nothing: each imports everything and loads every network for itself. Forked, they share
the supervisor's memory until they write to it. That works where nothing runs in the supervisor but itself (no thread of
ours), and where the networks run on the processor: a GPU's context does not survive a fork. The one function of uvicorn
that starts a worker is replaced here, and nowhere else (docs/decisions/0015).
"""

import gc
import multiprocessing
import sys
from collections.abc import Callable
from socket import socket
from typing import Any

import uvicorn
from uvicorn._subprocess import subprocess_started
from uvicorn.supervisors import multiprocess

from app import main
from app.settings import Settings


def share_networks(settings: Settings) -> bool:
    """Load the networks here, once, for all workers; False where they cannot be inherited and nothing was kept."""
    if sys.platform != "linux":
        return False
    analyzer = main.build_analyzer(settings)
    if not analyzer.engine.info.can_be_inherited:
        return False
    analyzer.warm_up()
    main.inherit(main.create_app(settings), analyzer)
    setattr(multiprocess, "get_subprocess", _fork_worker)  # noqa: B010 - it is not exported there
    gc.collect()
    gc.freeze()  # a collection in a worker would otherwise write to, and so copy, every page
    return True


def _fork_worker(config: uvicorn.Config, target: Callable[..., None], sockets: list[socket]) -> Any:
    """As uvicorn's function of this purpose, but forked instead of spawned."""
    arguments = {"config": config, "target": target, "sockets": sockets, "stdin_fileno": None}
    return multiprocessing.get_context("fork").Process(target=subprocess_started, kwargs=arguments)
