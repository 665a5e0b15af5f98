"""ONNX files read and written without the package `onnx` are what that package reads and checks."""

from pathlib import Path

import onnx
import pytest

from app.ml.onnx_messages import read_graph


@pytest.mark.parametrize("file", ["det_drawn.onnx", "rec_drawn.onnx"])
def test_a_written_network_is_valid_and_read_as_onnx_reads_it(synthetic_pack: Path, file: str) -> None:
    model = onnx.load_model(str(synthetic_pack / file))
    onnx.checker.check_model(model, full_check=True)
    assert model.SerializeToString(deterministic=True) == (synthetic_pack / file).read_bytes()
    graph = read_graph(synthetic_pack / file)
    assert [(node.name, node.op_type) for node in graph.node] == [
        (node.name, node.op_type) for node in model.graph.node
    ]
    assert graph.SerializeToString(deterministic=True) == model.graph.SerializeToString(deterministic=True)


def test_a_file_without_a_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.onnx"
    for content, message in ((b"not a network", "not an ONNX file"), (b"", "no network")):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_graph(file)
