"""Notice installations in which the networks run slower than they could.

Every distribution of ONNX Runtime installs the import package `onnxruntime`. Of two, the one that was installed last
overwrites files of the other, and its provider is gone without an error.
"""

from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import NamedTuple

import onnxruntime

from app.ml.providers import OPENVINO
from app.telemetry import get_logger

_log = get_logger(__name__)

# The fastest first, with the provider that is the reason to install it.
_DISTRIBUTIONS: dict[str, str | None] = {
    "onnxruntime-gpu": "CUDAExecutionProvider",
    "onnxruntime-rocm": "ROCMExecutionProvider",
    "onnxruntime-migraphx": "MIGraphXExecutionProvider",
    "onnxruntime-openvino": OPENVINO,
    "onnxruntime-directml": None,
    "onnxruntime-qnn": None,
    "onnxruntime": None,
}


class RuntimeProblem(NamedTuple):
    """What is installed and lacks; `remedy` is a command."""

    installed: list[str]
    missing_provider: str | None
    remedy: str


def warn_about_runtimes() -> None:
    """Log a warning if several runtimes are installed, or one whose provider cannot be used."""
    problem = find_problem(_installed(), onnxruntime.get_available_providers())
    if problem is not None:
        _log.warning("onnxruntime_installation", **problem._asdict())


def find_problem(installed: Mapping[str, str], available: Sequence[str]) -> RuntimeProblem | None:
    """Compare the installed distributions (name to version) with the providers that onnxruntime has."""
    if not installed:
        return None
    best = min(installed, key=list(_DISTRIBUTIONS).index)
    provider = _DISTRIBUTIONS[best]
    missing = provider if provider is not None and provider not in available else None
    if len(installed) == 1 and missing is None:
        return None
    # Uninstalling one of them removes files of the other, so all go first.
    remedy = f"pip uninstall -y {' '.join(installed)} && pip install --no-deps {best}=={installed[best]}"
    return RuntimeProblem([f"{name} {number}" for name, number in installed.items()], missing, remedy)


def _installed() -> dict[str, str]:
    found = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
