"""An installation in which the faster runtime was overwritten is noticed."""

import onnxruntime

from app.ml.installed_runtimes import _installed, find_problem

CPU, OPENVINO = "CPUExecutionProvider", "OpenVINOExecutionProvider"


def test_this_installation_has_no_problem() -> None:
    assert find_problem(_installed(), onnxruntime.get_available_providers()) is None


def test_one_runtime_without_a_provider_of_its_own_is_no_problem() -> None:
    assert find_problem({}, []) is None
    assert find_problem({"onnxruntime": "1.26.0"}, [CPU]) is None
    assert find_problem({"onnxruntime-openvino": "1.24.1"}, [OPENVINO, CPU]) is None


def test_two_runtimes_are_a_problem_and_the_faster_one_is_kept() -> None:
    both = {"onnxruntime-openvino": "1.24.1", "onnxruntime": "1.27.0"}
    problem = find_problem(both, [CPU])
    assert problem is not None
    assert problem.missing_provider == OPENVINO
    assert problem.installed == ["onnxruntime-openvino 1.24.1", "onnxruntime 1.27.0"]
    assert problem.remedy == (
        "pip uninstall -y onnxruntime-openvino onnxruntime && pip install --no-deps onnxruntime-openvino==1.24.1"
    )
    # Uninstalling the other one would remove files of this one, even if it works now.
    still = find_problem(both, [OPENVINO, CPU])
    assert still is not None
    assert still.missing_provider is None


def test_a_runtime_that_lacks_its_provider_is_a_problem() -> None:
    problem = find_problem({"onnxruntime-gpu": "1.26.0"}, [CPU])
    assert problem is not None
    assert problem.missing_provider == "CUDAExecutionProvider"
