"""Which ONNX Runtime provider is chosen."""

import json
import platform
from importlib.metadata import packages_distributions
from pathlib import Path

import onnxruntime
import pytest

from app.errors import OperatorError
from app.ml.providers import OPENVINO, _cpu_has_bf16, choose_providers, describe_processor


def test_auto_takes_what_is_there_and_ends_with_the_cpu() -> None:
    chosen = [name for name, _ in choose_providers("auto")]
    assert chosen[-1] == "CPUExecutionProvider"
    assert set(chosen) <= set(onnxruntime.get_available_providers())


def test_a_named_provider_is_followed_by_the_cpu_once() -> None:
    assert [name for name, _ in choose_providers("cpu")] == ["CPUExecutionProvider"]


def test_an_unknown_or_absent_provider_is_an_operators_error() -> None:
    with pytest.raises(OperatorError, match="'tpu'; supported are"):
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


def test_one_distribution_alone_installs_onnxruntime() -> None:
    """Two of them would overwrite each other's files."""
    assert len(set(packages_distributions()["onnxruntime"])) == 1


def test_openvino_gets_a_stream_for_each_thread_and_no_core_of_its_own() -> None:
    chosen = dict(choose_providers("auto", threads=3))
    if OPENVINO not in chosen:
        pytest.skip("no OpenVINO here")
    options = chosen[OPENVINO]
    assert (options["num_of_threads"], options["num_streams"]) == ("3", "3")
    assert json.loads(options["load_config"])["CPU"]["ENABLE_CPU_PINNING"] == "NO"


def test_a_processor_is_told_from_another(tmp_path: Path) -> None:
    info = tmp_path / "cpuinfo"
    assert describe_processor(info) == platform.processor()
    info.write_text("processor : 0\nmodel name : A\nflags : avx2\nprocessor : 1\nmodel name : A\nflags : avx2\n")
    first = describe_processor(info)
    info.write_text("processor : 0\nmodel name : A\nflags : avx2 avx512f\n")
    assert describe_processor(info) != first
