"""Chooses ONNX Runtime's execution providers; the only place that knows their names and options."""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # read by onnxruntime >= 1.29 when it is imported

from pathlib import Path

import onnxruntime

from app.errors import OperatorError

Provider = tuple[str, dict[str, str]]

# In order of preference; the short name is what VULTUS_PROVIDERS takes.
_KNOWN: dict[str, str] = {
    "cuda": "CUDAExecutionProvider",
    "migraphx": "MIGraphXExecutionProvider",
    "rocm": "ROCMExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "cpu": "CPUExecutionProvider",
}


def choose_providers(wanted: str = "auto") -> list[Provider]:
    """Providers with their options, best first, the CPU always last.

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
    return [(_KNOWN[name], _options(name)) for name in names]


def session_options() -> onnxruntime.SessionOptions:
    """One thread an inference: requests run side by side instead.

    The memory pattern is off because input shapes change, and with it the arena would keep one plan a shape.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.log_severity_level = 3
    return options


def _options(name: str) -> dict[str, str]:
    if name == "openvino":
        precision = "bf16" if _cpu_has_bf16() else "f32"
        config = f'{{"CPU": {{"INFERENCE_PRECISION_HINT": "{precision}"}}}}'
        return {"device_type": "CPU", "num_of_threads": "1", "load_config": config}
    return {}


def _cpu_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16 in hardware; unknown counts as no."""
    try:
        text = cpuinfo.read_text()
    except OSError:
        return False
    return "avx512_bf16" in text or "amx_bf16" in text
