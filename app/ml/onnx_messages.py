"""Read and write ONNX files with protobuf alone: the messages and fields of onnx.proto that Vultus uses.

The package `onnx` would bring a compiled library, for the names of some nodes and two small graphs. A field that is not
listed here is kept when a file is read, and ignored. The tests compare with `onnx` (docs/decisions/0024).
"""

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

FLOAT, INT64 = 1, 7
"""Element types of tensors."""

_PACKAGE = "vultus.onnx"
_ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_INTS = 1, 2, 7

# By message: each field's name, number and type; a capitalized type is a message, and a trailing * means repeated.
_MESSAGES = {
    "OperatorSetIdProto": ("domain 1 string", "version 2 int64"),
    "TensorProto": ("dims 1 int64*", "data_type 2 int32", "name 8 string", "raw_data 9 bytes"),
    "AttributeProto": ("name 1 string", "f 2 float", "i 3 int64", "ints 8 int64*", "type 20 int32"),
    "NodeProto": (
        "input 1 string*",
        "output 2 string*",
        "name 3 string",
        "op_type 4 string",
        "attribute 5 AttributeProto*",
    ),
    "Dimension": ("dim_value 1 int64", "dim_param 2 string"),
    "TensorShapeProto": ("dim 1 Dimension*",),
    "Tensor": ("elem_type 1 int32", "shape 2 TensorShapeProto"),
    "TypeProto": ("tensor_type 1 Tensor",),
    "ValueInfoProto": ("name 1 string", "type 2 TypeProto"),
    "GraphProto": (
        "node 1 NodeProto*",
        "name 2 string",
        "initializer 5 TensorProto*",
        "input 11 ValueInfoProto*",
        "output 12 ValueInfoProto*",
    ),
    "ModelProto": (
        "ir_version 1 int64",
        "producer_name 2 string",
        "graph 7 GraphProto",
        "opset_import 8 OperatorSetIdProto*",
    ),
}


def _describe(message: str, fields: tuple[str, ...]) -> descriptor_pb2.DescriptorProto:
    described = descriptor_pb2.DescriptorProto(name=message)
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, number, kind in map(str.split, fields):
        label = kinds.LABEL_REPEATED if kind.endswith("*") else kinds.LABEL_OPTIONAL
        field = described.field.add(name=name, number=int(number), label=label)
        type_name = kind.removesuffix("*")
        if type_name in _MESSAGES:
            field.type, field.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{type_name}"
        else:
            field.type = kinds.Type.Value(f"TYPE_{type_name.upper()}")
    return described


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(
    descriptor_pb2.FileDescriptorProto(
        name="vultus/onnx.proto",
        package=_PACKAGE,
        syntax="proto2",
        message_type=[_describe(name, fields) for name, fields in _MESSAGES.items()],
    )
)


def _message(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


Model, Graph, Node, Tensor, ValueInfo, OperatorSet = map(
    _message, ("ModelProto", "GraphProto", "NodeProto", "TensorProto", "ValueInfoProto", "OperatorSetIdProto")
)


def read_graph(path: Path) -> Any:
    """Return the graph of an ONNX file; raises `ValueError` if it is none."""
    try:
        model = Model.FromString(path.read_bytes())
    except DecodeError as exc:
        raise ValueError(f"{path} is not an ONNX file.") from exc
    if not model.graph.input or not model.graph.output:
        raise ValueError(f"{path} holds no network.")
    return model.graph


def add_attribute(node: Any, name: str, value: float | list[int]) -> None:
    """Add an integer, a float or a list of integers to a node's attributes."""
    attribute = node.attribute.add(name=name)
    if isinstance(value, list):
        attribute.ints.extend(value)
        attribute.type = _ATTRIBUTE_INTS
    elif isinstance(value, int):
        attribute.i, attribute.type = value, _ATTRIBUTE_INT
    else:
        attribute.f, attribute.type = value, _ATTRIBUTE_FLOAT


def describe_value(name: str, shape: list[int | str]) -> Any:
    """Return an input or output of a graph: float32, with numbers or names as dimensions."""
    value = ValueInfo(name=name)
    value.type.tensor_type.elem_type = FLOAT
    for size in shape:
        dimension = value.type.tensor_type.shape.dim.add()
        if isinstance(size, str):
            dimension.dim_param = size
        else:
            dimension.dim_value = size
    return value
