"""Build small ONNX graphs; intermediate values get names automatically, so that the code reads like formulas."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from app.ml import onnx_messages as messages

OPSET = 17
_IR_VERSION = 9  # the newest one that onnxruntime 1.24 supports
_ELEMENT_TYPES = {"float32": messages.FLOAT, "int64": messages.INT64}


class GraphBuilder:
    """Collects nodes and constants; every method except `build` returns the name of the value that it added."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, value: np.ndarray | float | Sequence[float], dtype: type = np.float32) -> str:
        name = f"c{len(self._constants)}"
        array: np.ndarray = np.asarray(value, dtype=dtype)
        self._constants.append(
            messages.Tensor(
                dims=array.shape,
                data_type=_ELEMENT_TYPES[array.dtype.name],
                name=name,
                raw_data=array.astype(array.dtype.newbyteorder("<")).tobytes(),
            )
        )
        return name

    def node(self, operator: str, *inputs: str | float, name: str | None = None, **attributes: Any) -> str:
        """Add one node; numbers among the inputs become constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        # No node's name may begin with Sub or Mul: insightface would take the network for one that normalizes itself.
        output = name or f"v{len(self._nodes)}"
        node = messages.Node(input=names, output=[output], name=f"n{len(self._nodes)}", op_type=operator)
        for key in sorted(attributes):
            messages.add_attribute(node, key, attributes[key])
        self._nodes.append(node)
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
    ) -> bytes:
        """Return the model as an ONNX file; inputs and outputs map names to shapes. A string is a dynamic dimension."""
        graph = messages.Graph(
            node=self._nodes,
            name="vultus-synthetic",
            initializer=self._constants,
            input=[messages.describe_value(name, list(shape)) for name, shape in inputs.items()],
            output=[messages.describe_value(name, list(shape)) for name, shape in outputs.items()],
        )
        opset = messages.OperatorSet(domain="", version=OPSET)
        model = messages.Model(ir_version=_IR_VERSION, producer_name="vultus", graph=graph, opset_import=[opset])
        written: bytes = model.SerializeToString(deterministic=True)
        return written
