"""Choose ONNX Runtime's execution providers; the only module that knows their names and options."""

import json
import platform
from pathlib import Path

import onnxruntime

from app.errors import OperatorError

Provider = tuple[str, dict[str, str]]

CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"
GPU_PROVIDERS = frozenset({"CUDAExecutionProvider", "MIGraphXExecutionProvider", "ROCMExecutionProvider"})
"""Providers on which a batch of faces costs little more than one face."""

# In order of preference; the short name is what VULTUS_PROVIDERS takes.
_PROVIDERS: dict[str, str] = {
    "cuda": "CUDAExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "openvino": OPENVINO,
    "coreml": "CoreMLExecutionProvider",
    "cpu": CPU,
}


def choose_providers(choice: str = "auto", *, threads: int = 1) -> list[Provider]:
    """Return providers with their options for `threads` concurrent runs, best first; the CPU always comes last.

    `choice` is `auto` for every provider of this installation, or a comma-separated list of short names. Raises
    `OperatorError` for a name that is unknown or not available.
    """
    available = set(onnxruntime.get_available_providers())
    if choice.strip().lower() == "auto":
        names = [name for name, provider in _PROVIDERS.items() if provider in available]
    else:
        names = [name.strip().lower() for name in choice.split(",") if name.strip()]
    for name in names:
        if name not in _PROVIDERS:
            raise OperatorError(f"VULTUS_PROVIDERS names {name!r}; supported are: auto, {', '.join(_PROVIDERS)}.")
        if _PROVIDERS[name] not in available:
            installed = ", ".join(short for short, provider in _PROVIDERS.items() if provider in available)
            raise OperatorError(f"VULTUS_PROVIDERS names {name!r}, which this installation lacks; it has: {installed}.")
    if "cpu" not in names:
        names.append("cpu")
    return [(_PROVIDERS[name], _options(name, threads)) for name in names]


def describe_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's model and instruction sets, as far as the system reports them."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _options(name: str, threads: int) -> dict[str, str]:
    if name == "openvino":
        config = {
            "INFERENCE_PRECISION_HINT": "bf16" if _cpu_has_bf16() else "f32",
            # Pinning would place the first stream of every worker on the same core.
            "ENABLE_CPU_PINNING": "NO",
        }
        # One single-threaded stream per concurrent run; with a single stream, runs wait for each other.
        streams = str(threads)
        return {
            "device_type": "CPU",
            "num_of_threads": streams,
            "num_streams": streams,
            "load_config": json.dumps({"CPU": config}),
        }
    return {}


def _cpu_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the processor has bfloat16 instructions; False if unknown."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text
