"""Build small ONNX graphs; intermediate values get names automatically, so that the code reads like formulas."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
_IR_VERSION = 9  # the newest one that onnxruntime 1.24 supports


class GraphBuilder:
    """Collects nodes and constants; every method except `build` returns the name of the value that it added."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray | float | Sequence[float], dtype: type = np.float32) -> str:
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def node(self, operator: str, *inputs: str | float, name: str | None = None, **attributes: Any) -> str:
        """Add one node; numbers among the inputs become constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        # No node's name may begin with Sub or Mul: insightface would take the network for one that normalizes itself.
        output = name or f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, names, [output], name=f"n{len(self._nodes)}", **attributes))
        return output

    def channels(self, value: str, start: int, stop: int) -> str:
        """Slice channels from `start` up to, but not including, `stop` of an NCHW value."""
        starts, stops, axes = (self.constant([x], np.int64) for x in (start, stop, 1))
        return self.node("Slice", value, starts, stops, axes)

    def ramp(self, value: str, low: float, high: float) -> str:
        """Map `low` to 0 and `high` to 1, linear in between and clipped outside; `low` may be the larger one."""
        return self.node("Clip", self.node("Div", self.node("Sub", value, low), high - low), 0.0, 1.0)

    def build(
        self,
        inputs: Mapping[str, Sequence[int | str]],
        outputs: Mapping[str, Sequence[int | str]],
    ) -> onnx.ModelProto:
        """Return the checked model; inputs and outputs map names to shapes. A string is a dynamic dimension."""
        info = lambda item: helper.make_tensor_value_info(item[0], TensorProto.FLOAT, list(item[1]))  # noqa: E731
        graph = helper.make_graph(
            self._nodes,
            "vultus-synthetic",
            list(map(info, inputs.items())),
            list(map(info, outputs.items())),
            initializer=self._constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION)
        model.producer_name = "vultus"
        onnx.checker.check_model(model)
        return model
