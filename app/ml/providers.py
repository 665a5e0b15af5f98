"""Chooses ONNX Runtime's execution providers; the only place that knows their names and options."""

import json
import platform
from pathlib import Path

import onnxruntime

from app.errors import OperatorError

Provider = tuple[str, dict[str, str]]

CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"
GPU_PROVIDERS = frozenset({"CUDAExecutionProvider", "MIGraphXExecutionProvider", "ROCMExecutionProvider"})
"""Where a batch of faces costs little more than one."""

# In order of preference; the short name is what VULTUS_PROVIDERS takes.
_KNOWN: dict[str, str] = {
    "cuda": "CUDAExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "openvino": OPENVINO,
    "coreml": "CoreMLExecutionProvider",
    "cpu": CPU,
}


def choose_providers(wanted: str = "auto", *, threads: int = 1) -> list[Provider]:
    """Providers with their options, best first, the CPU always last; made for so many runs at a time.

    `wanted` is `auto` (everything this machine has) or short names separated by commas. Raises `OperatorError` for a
    name that is unknown or not available here.
    """
    available = set(onnxruntime.get_available_providers())
    if wanted.strip().lower() == "auto":
        names = [name for name, provider in _KNOWN.items() if provider in available]
    else:
        names = [name.strip().lower() for name in wanted.split(",") if name.strip()]
    for name in names:
        if name not in _KNOWN:
            raise OperatorError(f"VULTUS_PROVIDERS names {name!r}; known are: auto, {', '.join(_KNOWN)}.")
        if _KNOWN[name] not in available:
            here = ", ".join(short for short, provider in _KNOWN.items() if provider in available)
            raise OperatorError(f"VULTUS_PROVIDERS asks for {name!r}, which this installation lacks; it has: {here}.")
    if "cpu" not in names:
        names.append("cpu")
    return [(_KNOWN[name], _options(name, threads)) for name in names]


def describe_processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Model and instruction sets, as far as the system tells."""
    try:
        lines = cpuinfo.read_text().splitlines()
    except OSError:
        return platform.processor()
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def _options(name: str, threads: int) -> dict[str, str]:
    if name == "openvino":
        config = {
            "INFERENCE_PRECISION_HINT": "bf16" if _cpu_has_bf16() else "f32",
            # Pinning would put the first stream of every worker on the machine's first core.
            "ENABLE_CPU_PINNING": "NO",
        }
        # A stream of one thread for each run at a time: with a single stream runs wait for each other.
        streams = str(threads)
        return {
            "device_type": "CPU",
            "num_of_threads": streams,
            "num_streams": streams,
            "load_config": json.dumps({"CPU": config}),
        }
    return {}


def _cpu_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16 in hardware; unknown counts as no."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text
