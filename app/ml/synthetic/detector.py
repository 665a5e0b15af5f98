"""Build an SCRFD-shaped detector for drawn faces in closed form, without learned weights.

Two color maps (iris blue, lip red) are averaged into cells. At every anchor, one convolution computes the mass and the
first moments of both maps in a square window, separately for its left and right half for the eyes. The centers of mass
are the eyes and the mouth; they determine the box and the five landmarks. The score says how much their arrangement
resembles a face. Input, outputs, strides and anchors are those of InsightFace's SCRFD
(insightface/model_zoo/scrfd.py): RGB `(x - 127.5) / 128`, NCHW; scores, distances and landmarks for strides 8, 16 and
32, in units of the stride.
"""

import numpy as np

from app.ml.synthetic.graph import GraphBuilder
from app.ml.synthetic.portraits import ARCFACE_FRAME, FACE_CENTER, FACE_WIDTH

_STRIDES = (8, 16, 32)
_HALF_WINDOWS = (4, 6)  # in cells of half a stride: windows of 4 and 6 strides, one anchor each
_LEFT_EYE, _RIGHT_EYE, _NOSE = ARCFACE_FRAME[0], ARCFACE_FRAME[1], ARCFACE_FRAME[2]
_MOUTH = (ARCFACE_FRAME[3] + ARCFACE_FRAME[4]) / 2
_EYES = (_LEFT_EYE + _RIGHT_EYE) / 2
_EYE_DISTANCE = float(np.linalg.norm(_RIGHT_EYE - _LEFT_EYE))
_DROP = float(_MOUTH[1] - _EYES[1])


def build_detector() -> bytes:
    """Build the ONNX file; its input's height and width are any multiples of 32."""
    graph = GraphBuilder()
    maps = _color_maps(graph, "input")
    outputs: dict[str, list[int | str]] = {}
    levels = [_level(graph, maps, stride) for stride in _STRIDES]
    for index, (kind, width) in enumerate((("score", 1), ("box", 4), ("kps", 10))):
        for stride, level in zip(_STRIDES, levels, strict=True):
            name = f"{kind}_{stride}"
            _flatten(graph, level[index], width, name)
            outputs[name] = [f"anchors_{stride}", width]
    return graph.build({"input": [1, 3, "height", "width"]}, outputs)


def _color_maps(graph: GraphBuilder, image: str) -> str:
    """Add iris and lip maps, (1, 2, H, W), about 0..1; ratios of channels make them nearly independent of the light."""
    pixels = graph.node("Add", graph.node("Mul", image, 128.0), 127.5)
    total = graph.node("Add", graph.node("ReduceSum", pixels, graph.constant([1], np.int64), keepdims=1), 3.0)
    share = graph.node("Div", pixels, total)
    red, blue = graph.channels(share, 0, 1), graph.channels(share, 2, 3)
    iris = graph.ramp(graph.node("Sub", blue, red), 0.09, 0.26)
    lips = graph.ramp(red, 0.54, 0.62)
    return graph.node("Concat", iris, lips, axis=1)


def _moment_kernels(half: int) -> np.ndarray:
    """Return kernels (9, 2, 2*half, 2*half): mass, x and y of left eye, right eye and mouth.

    x and y are relative to the anchor, in units of the stride.
    """
    axis = (np.arange(2 * half) - half + 0.5) / 2
    x, y = np.meshgrid(axis, axis)
    ones, left, right = np.ones_like(x), (x < 0).astype(float), (x > 0).astype(float)
    kernels = np.zeros((9, 2, 2 * half, 2 * half))
    for start, channel, part in ((0, 0, left), (3, 0, right), (6, 1, ones)):
        kernels[start, channel], kernels[start + 1, channel], kernels[start + 2, channel] = part, part * x, part * y
    return kernels


def _level(graph: GraphBuilder, maps: str, stride: int) -> tuple[list[str], list[str], list[str]]:
    """Add scores, boxes and landmarks of one stride, one value per anchor: (1, C, H/stride, W/stride)."""
    cell = stride // 2
    cells = graph.node("AveragePool", maps, kernel_shape=[cell, cell], strides=[cell, cell])
    scores, boxes, landmarks = [], [], []
    for half in _HALF_WINDOWS:
        moments = graph.node(
            "Conv",
            cells,
            graph.constant(_moment_kernels(half)),
            kernel_shape=[2 * half] * 2,
            strides=[2, 2],
            pads=[half, half, half - 2, half - 2],
        )
        score, box, points = _face(graph, moments, window=float(half))
        scores.append(score)
        boxes.append(box)
        landmarks.append(points)
    return scores, boxes, landmarks


def _face(graph: GraphBuilder, moments: str, window: float) -> tuple[str, str, str]:
    """Add score, box and landmarks of one anchor, all in units of the stride."""
    node = graph.node
    mass, x, y = _centers_of_mass(graph, moments)
    eye_x, eye_y = node("Sub", x[1], x[0]), node("Sub", y[1], y[0])
    mid_x, mid_y = (node("Mul", node("Add", v[0], v[1]), 0.5) for v in (x, y))
    drop_x, drop_y = node("Sub", x[2], mid_x), node("Sub", y[2], mid_y)
    distance = _length(graph, eye_x, eye_y)
    drop = _length(graph, drop_x, drop_y)
    score = _score(graph, mass, (eye_x, eye_y, distance), (drop_x, drop_y, drop), (mid_x, mid_y), window)
    box = _box(graph, (eye_x, eye_y, distance), (mid_x, mid_y))

    nose = float(_NOSE[1] - _EYES[1]) / _DROP
    corner = float(ARCFACE_FRAME[4][0] - ARCFACE_FRAME[3][0]) / 2 / _EYE_DISTANCE
    across_x, across_y = node("Mul", eye_x, corner), node("Mul", eye_y, corner)
    points = node(
        "Concat",
        x[0],
        y[0],
        x[1],
        y[1],
        node("Add", mid_x, node("Mul", drop_x, nose)),
        node("Add", mid_y, node("Mul", drop_y, nose)),
        node("Sub", x[2], across_x),
        node("Sub", y[2], across_y),
        node("Add", x[2], across_x),
        node("Add", y[2], across_y),
        axis=1,
    )
    return score, box, points


def _centers_of_mass(graph: GraphBuilder, moments: str) -> tuple[list[str], list[str], list[str]]:
    """Add mass, x and y of the left eye, the right eye and the mouth."""
    mass, x, y = [], [], []
    for start in (0, 3, 6):
        weight = graph.channels(moments, start, start + 1)
        safe = graph.node("Add", weight, 1e-4)
        mass.append(weight)
        x.append(graph.node("Div", graph.channels(moments, start + 1, start + 2), safe))
        y.append(graph.node("Div", graph.channels(moments, start + 2, start + 3), safe))
    return mass, x, y


def _box(graph: GraphBuilder, eyes: tuple[str, str, str], middle: tuple[str, str]) -> str:
    """Add the distances from the anchor to the box's sides; `eyes` is their vector (x, y) and its length."""
    node = graph.node
    (eye_x, eye_y, distance), (mid_x, mid_y) = eyes, middle
    down = (FACE_CENTER[1] - _EYES[1]) / _EYE_DISTANCE
    center_x, center_y = node("Sub", mid_x, node("Mul", eye_y, down)), node("Add", mid_y, node("Mul", eye_x, down))
    half_width = node("Mul", distance, FACE_WIDTH / 2 / _EYE_DISTANCE)
    half_height = node("Mul", half_width, 1.24)
    return node(
        "Concat",
        node("Sub", half_width, center_x),
        node("Sub", half_height, center_y),
        node("Add", half_width, center_x),
        node("Add", half_height, center_y),
        axis=1,
    )


def _score(
    graph: GraphBuilder,
    mass: list[str],
    eyes: tuple[str, str, str],
    mouth: tuple[str, str, str],
    middle: tuple[str, str],
    window: float,
) -> str:
    """Multiply ramps, each of which is 1 for an upright face that is centered in a window of its size.

    `eyes` and `mouth` are vectors (x, y, length): from eye to eye, and from the middle between them to the mouth.
    """
    node, ramp = graph.node, graph.ramp
    area = (2 * window) ** 2  # cells of the window
    smaller, larger = node("Min", mass[0], mass[1]), node("Max", mass[0], mass[1])
    across = node("Div", eyes[2], window)
    safe_distance = node("Add", eyes[2], 1e-3)
    ratio = node("Div", mouth[2], safe_distance)
    product = node("Mul", safe_distance, node("Add", mouth[2], 1e-3))
    slant = node("Div", node("Add", node("Mul", eyes[0], mouth[0]), node("Mul", eyes[1], mouth[1])), product)
    offset = _length(
        graph, node("Add", middle[0], node("Mul", mouth[0], 0.5)), node("Add", middle[1], node("Mul", mouth[1], 0.5))
    )
    factors = [
        ramp(node("Div", smaller, area), 0.0015, 0.0045),
        ramp(node("Div", smaller, node("Add", larger, 1e-4)), 0.2, 0.5),
        ramp(node("Div", mass[2], area), 0.0015, 0.005),
        ramp(mouth[1], 0.0, 0.3),
        ramp(across, 0.26, 0.33),
        ramp(across, 0.58, 0.50),
        ramp(ratio, 0.75, 0.95),
        ramp(ratio, 1.75, 1.45),
        ramp(node("Abs", slant), 0.5, 0.25),
        ramp(node("Div", offset, window), 0.26, 0.0),
    ]
    score = factors[0]
    for factor in factors[1:-1]:
        score = node("Mul", score, factor)
    # Off-center anchors keep 44% of their score, so that non-maximum suppression prefers the best-centered one.
    return node("Mul", score, node("Add", node("Mul", factors[-1], 0.55), 0.44))


def _length(graph: GraphBuilder, x: str, y: str) -> str:
    return graph.node("Sqrt", graph.node("Add", graph.node("Mul", x, x), graph.node("Mul", y, y)))


def _flatten(graph: GraphBuilder, anchors: list[str], width: int, name: str) -> None:
    """Reshape one (1, C, h, w) value per anchor to (h * w * anchors, C), anchors innermost."""
    joined = graph.node("Transpose", graph.node("Concat", *anchors, axis=1), perm=[0, 2, 3, 1])
    graph.node("Reshape", joined, graph.constant([-1, width], np.int64), name=name)
