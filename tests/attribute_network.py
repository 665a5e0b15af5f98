"""A small network of age and gender with InsightFace's inputs and outputs; its weights are random, but fixed."""

import json
import shutil
from pathlib import Path

import numpy as np

from app.ml import onnx_messages as messages
from app.ml.synthetic.graph import GraphBuilder

FILE = "genderage.onnx"


def build_attribute_network(node_names: tuple[str, ...] = (), *, normalizes: bool = False) -> bytes:
    """With other names for its first nodes; one that normalizes its input does so as networks from MXNet do."""
    rng = np.random.default_rng(5)
    graph = GraphBuilder()
    pixels = graph.node("Mul", graph.node("Sub", "data", 127.5), 1 / 128) if normalizes else "data"
    cells = graph.node("AveragePool", pixels, kernel_shape=[8, 8], strides=[8, 8])
    flat = graph.node("Flatten", cells, axis=1)
    hidden = graph.node("Tanh", graph.node("MatMul", flat, graph.constant(rng.normal(0, 0.2, (432, 24)))))
    mixed = graph.node("MatMul", hidden, graph.constant(rng.normal(0, 1, (24, 3)) * (0.4, 0.4, 0.03)))
    graph.node("Add", mixed, graph.constant(np.array([[0, 0, 0.35]])), name="fc1")
    built = graph.build({"data": [1, 3, 96, 96]}, {"fc1": [1, 3]})
    model = messages.Model.FromString(built)
    for node, name in zip(model.graph.node, node_names, strict=False):
        node.name = name
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def add_attribute_network(pack: Path, directory: Path) -> Path:
    """Copy a pack to a new directory, and add the network to it."""
    shutil.copytree(pack, directory)
    (directory / FILE).write_bytes(build_attribute_network())
    manifest = directory / "pack.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "attributes": FILE}))
    return directory
