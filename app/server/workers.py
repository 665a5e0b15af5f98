"""Fork worker processes after the models are loaded, so that they share the models' memory.

uvicorn spawns its workers: each imports everything and loads every model again. Forked workers share the supervisor's
memory until they write to it. The supervisor must not run threads of its own then, and the models must run on the CPU
because a GPU context does not survive a fork. Only this module replaces uvicorn's function that starts a worker
(docs/decisions/0015).
"""

import gc
import multiprocessing
import sys
from collections.abc import Callable
from socket import socket
from typing import Any

import uvicorn
from fastapi import FastAPI
from uvicorn._subprocess import subprocess_started
from uvicorn.supervisors import multiprocess

from app.ml.analysis import FaceAnalyzer
from app.settings import Settings
from app.wiring.analyzer import build_analyzer

_inherited: list[tuple[FastAPI, FaceAnalyzer]] = []


def share_models(settings: Settings, create_app: Callable[[Settings], FastAPI]) -> bool:
    """Load the application and the models once for all workers.

    Returns False and keeps nothing if workers cannot inherit them: not on Linux, models on a GPU or on another host.
    """
    if sys.platform != "linux" or settings.inference_url is not None:
        return False
    analyzer = build_analyzer(settings)
    if not analyzer.engine.info.can_be_inherited:
        return False
    analyzer.warm_up()
    _inherited[:] = [(create_app(settings), analyzer)]
    setattr(multiprocess, "get_subprocess", _fork_worker)  # noqa: B010 - uvicorn does not export it
    gc.collect()
    gc.freeze()  # otherwise a garbage collection in a worker would write to every page, and so copy it
    return True


def inherited_app() -> FastAPI | None:
    """Return the application that the parent process created, if any."""
    return _inherited[0][0] if _inherited else None


def inherited_analyzer() -> FaceAnalyzer | None:
    """Return the models that the parent process loaded, if any."""
    return _inherited[0][1] if _inherited else None


def _fork_worker(config: uvicorn.Config, target: Callable[..., None], sockets: list[socket]) -> Any:
    """Replace `uvicorn._subprocess.get_subprocess`: fork instead of spawning."""
    arguments = {"config": config, "target": target, "sockets": sockets, "stdin_fileno": None}
    return multiprocessing.get_context("fork").Process(target=subprocess_started, kwargs=arguments)
