"""Open networks on the chosen providers; the only module that creates onnxruntime sessions.

On the plain CPU provider, the optimized graph is cached in the data directory, per processor and onnxruntime version.
Its weights are stored in their in-memory layout: later starts map the file instead of computing it, and all workers of
a host share the pages. OpenVINO's own cache gained nothing (docs/decisions/0014); there, workers inherit loaded
networks.
"""

import hashlib
import os
import platform
import shutil
import tempfile
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.ml.packs.pack import ModelFile
from app.ml.providers import CPU, GPU_PROVIDERS, OPENVINO, Provider, choose_providers, describe_processor
from app.telemetry import get_logger

_log = get_logger(__name__)

_MIN_EXTERNAL_BYTES = "1024"
"""Smaller weights stay inside the graph's file; a string, as onnxruntime's configuration requires."""
_GPU_BATCH = 32
_MAX_COPIED_BYTES = 32_000_000
"""Networks up to this size get a session per thread; larger ones run longer and take more memory."""


class Sessions:
    """Several sessions of one network: each run takes a free one, so that runs on different threads never wait.

    Has those methods of `onnxruntime.InferenceSession` that networks use. With more threads than sessions, the rest
    share the first session.
    """

    def __init__(self, sessions: Sequence[Any]) -> None:
        self._first = sessions[0]
        # The latest first: its activations are still in the processor's cache.
        self._free = deque(reversed(sessions))
        self.get_inputs, self.get_outputs = self._first.get_inputs, self._first.get_outputs
        self.get_providers = self._first.get_providers

    def run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Run the network as `InferenceSession.run` does."""
        try:
            session = self._free.pop()
        except IndexError:
            return list(self._first.run(outputs, inputs))
        try:
            return list(session.run(outputs, inputs))
        finally:
            self._free.append(session)


class Runtime:
    """Opens networks with this process's providers, precision and cache; create one per process."""

    def __init__(self, *, providers: str = "auto", threads: int = 1, cache: Path | None = None) -> None:
        self._threads = threads
        self._chosen = choose_providers(providers, threads=threads)
        self._for_one_thread = choose_providers(providers, threads=1)
        self._cache = cache
        self.main_provider = self._chosen[0][0]
        """The provider of every operator that it supports; the CPU provider runs the others."""
        self.precision = "bf16" if "bf16" in self._chosen[0][1].get("load_config", "") else "f32"
        self.max_batch = _GPU_BATCH if self.main_provider in GPU_PROVIDERS else 1
        """Maximum number of faces per run of a recognizer."""

    @property
    def can_be_inherited(self) -> bool:
        """Whether sessions keep working in a forked process: they do on a CPU, but not on a GPU."""
        return self.main_provider in (CPU, OPENVINO)

    @property
    def is_slow_to_reshape(self) -> bool:
        """Whether a run takes one or two milliseconds longer when its input shape differs from the previous run's."""
        return self.main_provider == OPENVINO

    def open(self, file: ModelFile) -> Any:
        """Open a thread-safe `onnxruntime.InferenceSession`, or `Sessions`, with one thread per run."""
        if self.main_provider == OPENVINO and self._threads > 1 and file.path.stat().st_size <= _MAX_COPIED_BYTES:
            # With one stream, OpenVINO computes on the calling thread. Handing a run over to the thread of another
            # stream and back leaves a quarter of each core idle where runs take a few milliseconds.
            return Sessions([self._open(file, self._for_one_thread) for _ in range(self._threads)])
        return self._open(file, self._chosen)

    def open_small(self, file: ModelFile) -> Any:
        """Open one session on the CPU provider for all threads: for a small network that few requests use."""
        return onnxruntime.InferenceSession(str(file.path), session_options(), providers=[CPU])

    def _open(self, file: ModelFile, chosen: Sequence[Provider]) -> Any:
        names, provider_options = [name for name, _ in chosen], [options for _, options in chosen]
        path, options = file.path, session_options()
        if self.main_provider == CPU and self._cache is not None:
            path = self._cache_optimized(file, self._cache)
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = onnxruntime.InferenceSession(str(path), options, providers=names, provider_options=provider_options)
        if self.main_provider not in session.get_providers():  # for example for lack of a GPU's driver
            _log.warning("provider_unusable", provider=self.main_provider, instead=session.get_providers()[0])
        return session

    def _cache_optimized(self, file: ModelFile, cache: Path) -> Path:
        """Return the cached optimized graph, created atomically if absent."""
        environment = f"{onnxruntime.__version__} {platform.machine()} {describe_processor()}"
        key = f"{file.path.stem}-{file.sha256[:16]}-{hashlib.sha256(environment.encode()).hexdigest()[:16]}"
        directory = cache / key
        if not directory.is_dir():
            cache.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=cache))
            save_options = session_options()
            save_options.optimized_model_filepath = str(partial / "graph.onnx")
            for name, value in (
                ("session.optimized_model_external_initializers_file_name", "weights.bin"),
                ("session.optimized_model_external_initializers_min_size_in_bytes", _MIN_EXTERNAL_BYTES),
                # In the kernels' layout; otherwise every process creates its own copy.
                ("session.save_external_prepacked_constant_initializers", "1"),
            ):
                save_options.add_session_config_entry(name, value)
            onnxruntime.InferenceSession(str(file.path), save_options, providers=[CPU])
            try:
                os.replace(partial, directory)
            except OSError:  # another process created it first
                shutil.rmtree(partial, ignore_errors=True)
            else:
                _log.info("graph_optimized", network=file.path.stem)
        return directory / "graph.onnx"


def session_options() -> Any:
    """Return session options with one thread per inference, since requests already run in parallel.

    Memory patterns are off: input shapes vary, and the arena would keep one plan for each.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    return options
