"""Worker processes that share memory: they are forked after the models are loaded.

uvicorn's own workers start from nothing: each imports everything and loads every model for itself. Forked workers share
the supervisor's memory until they write to it. That requires that the supervisor runs no thread of ours, and that the
models run on the CPU: a GPU context does not survive a fork. The uvicorn function that starts a worker is replaced
here, and nowhere else (docs/decisions/0015).
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
    """Load application and models once, for all workers; False, keeping nothing, if workers cannot inherit them."""
    if sys.platform != "linux":
        return False
    analyzer = build_analyzer(settings)
    if not analyzer.engine.info.can_be_inherited:
        return False
    analyzer.warm_up()
    _inherited[:] = [(create_app(settings), analyzer)]
    setattr(multiprocess, "get_subprocess", _fork_worker)  # noqa: B010 - uvicorn does not export it
    gc.collect()
    gc.freeze()  # a collection in a worker would otherwise write to, and so copy, every page
    return True


def inherited_app() -> FastAPI | None:
    """The application that the parent process made, if any."""
    return _inherited[0][0] if _inherited else None


def inherited_analyzer() -> FaceAnalyzer | None:
    """The loaded models of the parent process, if any."""
    return _inherited[0][1] if _inherited else None


def _fork_worker(config: uvicorn.Config, target: Callable[..., None], sockets: list[socket]) -> Any:
    """Do what uvicorn's function of this purpose does, but fork instead of spawning."""
    arguments = {"config": config, "target": target, "sockets": sockets, "stdin_fileno": None}
    return multiprocessing.get_context("fork").Process(target=subprocess_started, kwargs=arguments)
