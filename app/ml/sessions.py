"""Opens a network on the providers chosen: one runtime per process, the only place that makes onnxruntime sessions.

On the plain CPU provider the optimized graph is kept below the data directory, per processor and version, with its
weights beside it as they lie in memory: the next start maps them instead of computing them, and all workers of a host
share them. OpenVINO's own cache gained nothing here (docs/decisions/0014); there workers inherit the loaded networks.
"""

import hashlib
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

import onnxruntime

from app.ml.packs import ModelFile
from app.ml.providers import CPU, GPU_PROVIDERS, OPENVINO, choose_providers, describe_processor
from app.telemetry import get_logger

_log = get_logger(__name__)

_EXTERNAL_FROM_BYTES = "1024"
_GPU_BATCH = 32


class Runtime:
    """How networks run in this process: providers, threads, precision, cache."""

    def __init__(self, *, providers: str = "auto", threads: int = 1, cache: Path | None = None) -> None:
        self._chosen = choose_providers(providers, threads=threads)
        self._cache = cache
        self.first = self._chosen[0][0]
        """The provider that runs what it can; the CPU the rest."""
        self.precision = "bf16" if "bf16" in self._chosen[0][1].get("load_config", "") else "f32"
        self.batch = _GPU_BATCH if self.first in GPU_PROVIDERS else 1
        """Faces that one run takes at most."""

    @property
    def can_be_inherited(self) -> bool:
        """Whether sessions still work in a forked process: on the CPU they do, a GPU's context does not."""
        return self.first in (CPU, OPENVINO)

    @property
    def is_slow_to_reshape(self) -> bool:
        """Whether a run in another shape than the one before takes markedly longer (a millisecond or two)."""
        return self.first == OPENVINO

    def open(self, file: ModelFile) -> Any:
        """A thread-safe `onnxruntime.InferenceSession`, one thread a run."""
        names, options = [name for name, _ in self._chosen], [settings for _, settings in self._chosen]
        path, how = file.path, session_options()
        if self.first == CPU and self._cache is not None:
            path = self._optimized(file, self._cache)
            how.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        return onnxruntime.InferenceSession(str(path), how, providers=names, provider_options=options)

    def _optimized(self, file: ModelFile, cache: Path) -> Path:
        """The optimized graph's file, made if it is not there; a half-made one is never seen."""
        made_for = f"{onnxruntime.__version__} {platform.machine()} {describe_processor()}"
        key = f"{file.path.stem}-{file.sha256[:16]}-{hashlib.sha256(made_for.encode()).hexdigest()[:16]}"
        directory = cache / key
        if not directory.is_dir():
            cache.mkdir(parents=True, exist_ok=True)
            partial = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=cache))
            saving = session_options()
            saving.optimized_model_filepath = str(partial / "graph.onnx")
            for name, value in (
                ("session.optimized_model_external_initializers_file_name", "weights.bin"),
                ("session.optimized_model_external_initializers_min_size_in_bytes", _EXTERNAL_FROM_BYTES),
                # As the kernels want them: else every process makes a copy of its own.
                ("session.save_external_prepacked_constant_initializers", "1"),
            ):
                saving.add_session_config_entry(name, value)
            onnxruntime.InferenceSession(str(file.path), saving, providers=[CPU])
            try:
                os.replace(partial, directory)
            except OSError:  # another process was quicker
                shutil.rmtree(partial, ignore_errors=True)
            else:
                _log.info("graph_optimized", network=file.path.stem)
        return directory / "graph.onnx"


def session_options() -> Any:
    """One thread an inference: requests run side by side instead.

    The memory pattern is off because input shapes change, and with it the arena would keep one plan a shape.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    return options
