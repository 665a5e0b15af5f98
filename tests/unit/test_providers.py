"""Which ONNX Runtime provider is chosen."""

from pathlib import Path

import onnxruntime
import pytest

from app.errors import OperatorError
from app.ml.providers import _cpu_has_bf16, choose_providers


def test_auto_takes_what_is_there_and_ends_with_the_cpu() -> None:
    chosen = [name for name, _ in choose_providers("auto")]
    assert chosen[-1] == "CPUExecutionProvider"
    assert set(chosen) <= set(onnxruntime.get_available_providers())


def test_a_named_provider_is_followed_by_the_cpu_once() -> None:
    assert [name for name, _ in choose_providers("cpu")] == ["CPUExecutionProvider"]


def test_an_unknown_or_absent_provider_is_an_operators_error() -> None:
    with pytest.raises(OperatorError, match="'tpu'; known are"):
        choose_providers("tpu")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        with pytest.raises(OperatorError, match="'cuda', which this installation lacks"):
            choose_providers("cuda")


def test_bfloat16_is_used_only_where_the_processor_has_it(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    assert not _cpu_has_bf16(info)
    info.write_text("flags : avx2 avx512f")
    assert not _cpu_has_bf16(info)
    info.write_text("flags : avx2 avx512_bf16")
    assert _cpu_has_bf16(info)
