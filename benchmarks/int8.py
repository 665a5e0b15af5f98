"""Measure what eight-bit networks would gain in speed and cost in accuracy.

    .venv/bin/python -m benchmarks.int8 --pack DIR --photos DIR --pairs FILE [--out FILE]

Both networks are quantized statically: ONNX Runtime, QDQ, weights per channel, unsigned activations, ranges by minimum
and maximum over 200 photos that no pair uses. There are three methods:

- `every tensor`: quantizes every tensor that can be quantized.
- `careful`: leaves out depthwise layers, the first layer, and the last layer before each output.
- `layer inputs`: is careful, too, and quantizes the inputs of a layer but not its output, so that OpenVINO can fuse the
  layer with its activation.

The networks run like those of Vultus, with the CPU provider and with OpenVINO. There, the rest runs in float32, and for
the last method also in bfloat16. The quantized networks are not stored.

Embeddings are of the same crops, cut with the float32 detector; verification works as in `detection_accuracy`.
Detection compares the faces with those of the float32 network. Configurations that fail are listed with their error.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import argparse
import json
import logging
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from app.domain.faces import Detail
from app.ml.detail import plan_passes
from app.ml.digests import sha256_of
from app.ml.engine import Detection
from app.ml.image import ImageLimits, open_photo
from app.ml.insightface_engine import InsightFaceEngine
from app.ml.packs.pack import ModelFile, ModelPack
from app.ml.photo import Photo
from app.ml.pixels import Crop
from app.ml.providers import OPENVINO
from app.ml.sessions import Runtime
from benchmarks.detection_accuracy import (
    Pairs,
    PhotoFaces,
    count_unmatched,
    nearest_to_center,
    pair_similarities,
    read_pairs,
    verification_percent,
)
from benchmarks.inference_providers import Networks, OpenVinoRuntime, find_pack, open_networks, time_calls
from benchmarks.machine import describe_run

CALIBRATION_PHOTOS = 200
DETECTION_PHOTOS = 1000
TIMED_SHAPES = {"256x256": (256, 256), "640x640": (640, 640)}
LAYERS = ("Conv", "Gemm", "MatMul")
OTHERS = ("Add", "Relu", "PRelu", "MaxPool", "AveragePool", "Resize")
FLOAT, LAYER_INPUTS = "f32", "int8 layer inputs"
METHODS = ("int8 every tensor", "int8 careful", LAYER_INPUTS)
LIMITS = ImageLimits(max_bytes=1 << 30, max_pixels=1 << 30)

Blob = NDArray[np.float32]


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Quantize the networks of a pack to eight bits and compare them.")
    parser.add_argument("--pack", required=True, help="a pack's directory or name")
    parser.add_argument("--photos", type=Path, required=True, help="LFW's photos, one folder per person")
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)  # hides the quantizer's advice on preprocessing
    pack = find_pack(arguments.pack)
    pairs = read_pairs(arguments.pairs, arguments.photos)
    paired = sorted({file for pair in pairs.files for file in pair})
    unpaired = sorted(set(arguments.photos.glob("*/*.jpg")) - set(paired))
    rng = np.random.default_rng(0)
    calibration = [unpaired[index] for index in rng.permutation(len(unpaired))[:CALIBRATION_PHOTOS]]
    detected = [paired[index] for index in rng.permutation(len(paired))[:DETECTION_PHOTOS]]
    with tempfile.TemporaryDirectory() as directory:
        reference = InsightFaceEngine(pack, Runtime(providers="cpu"))
        packs, failures = _quantize(pack, reference, calibration, Path(directory))
        engines, networks, unopened = _open_all(packs)
        _report_step("timing")
        timed = time_calls(networks, TIMED_SHAPES)
        _report_step(f"cutting faces out of {len(paired)} photos")
        crops = _central_crops(reference, paired)
        result = {
            "what": "the networks of the pack in eight bits, compared with float32 and bfloat16",
            **describe_run(),
            "onnxruntime": onnxruntime.__version__,
            "pack": {"name": pack.name, "recognizer": pack.recognizer},
            "calibration photos": len(calibration),
            "megabytes of the networks": {name: _sizes(quantized) for name, quantized in packs.items()},
            "failed": failures | unopened,
            "wall ms / processor ms": timed,
            "embeddings": _compare_embeddings(engines, crops, pairs),
            "detection": _compare_detection(engines, detected),
        }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the inputs of one network to the quantizer."""

    def __init__(self, name: str, blobs: list[Blob]) -> None:
        self._remaining: Iterator[dict[str, Blob]] = iter([{name: blob} for blob in blobs])

    def get_next(self) -> dict[str, Blob] | None:
        """Return the next sample; None at the end."""
        return next(self._remaining, None)


def _quantize(
    pack: ModelPack, reference: InsightFaceEngine, files: list[Path], directory: Path
) -> tuple[dict[str, ModelPack], dict[str, str]]:
    """Return the packs by quantization method, and the error of each method that failed."""
    photos = [_open(file) for file in files]
    crops = [crop for photo in photos if (crop := _central_crop(reference, photo)) is not None]
    # The same inputs as in `Scrfd` and `ArcFace`.
    inputs = {
        "detection": [_letterbox(photo, side) for photo in photos for side in (160, 256)],
        "recognition": [_blob(crop, 127.5) for crop in crops],
    }
    packs, failures = {FLOAT: pack}, {}
    for index, name in enumerate(METHODS):
        _report_step(f"quantizing: {name}")
        quantized = {}
        try:
            for kind, blobs in inputs.items():
                source: ModelFile = getattr(pack, kind)
                quantized[kind] = _quantize_one(source.path, directory / f"{kind}-{index}.onnx", blobs, name)
        except Exception as exc:  # noqa: BLE001 - any error of the quantizer is a result
            failures[name] = _one_line(exc)
        else:
            packs[name] = replace(pack, detection=quantized["detection"], recognition=quantized["recognition"])
    return packs, failures


def _quantize_one(source: Path, target: Path, blobs: list[Blob], method: str) -> ModelFile:
    prepared = target.with_suffix(".prepared.onnx")
    model = onnx.load(str(source))
    if max(imported.version for imported in model.opset_import if not imported.domain) < 13:
        model = onnx.version_converter.convert_version(model, 13)  # the first version with scales per channel
    for index, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{index}"
    onnx.save(model, str(prepared))
    quant_pre_process(str(prepared), str(prepared), skip_symbolic_shape=True)
    graph = onnx.load(str(prepared)).graph
    has_inputs_only = method == LAYER_INPUTS
    quantize_static(
        str(prepared),
        str(target),
        _Samples(graph.input[0].name, blobs),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=[*LAYERS] if has_inputs_only else [*LAYERS, *OTHERS],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=[] if method == METHODS[0] else [*_ends(graph), *_depthwise(graph)],
        extra_options={"OpTypesToExcludeOutputQuantization": [*LAYERS]} if has_inputs_only else {},
    )
    return ModelFile(target, sha256_of(target))


def _ends(graph: Any) -> list[str]:
    """Return the names of the first layer, of the last layer before each output, and of the nodes after it."""
    producers = {output: node for node in graph.node for output in node.output}
    first = next(node.name for node in graph.node if node.op_type in LAYERS)
    names, waiting = {first}, [output.name for output in graph.output]
    while waiting:
        node = producers.get(waiting.pop())
        if node is None:
            continue
        names.add(node.name)
        if node.op_type not in LAYERS:
            waiting.extend(node.input)
    return sorted(names)


def _depthwise(graph: Any) -> list[str]:
    """Return the names of the grouped convolutions, depthwise ones among them."""
    return [
        node.name
        for node in graph.node
        if any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)
    ]


def _open_all(
    packs: dict[str, ModelPack],
) -> tuple[dict[str, InsightFaceEngine], dict[str, Networks], dict[str, str]]:
    """Return engines and bare networks by configuration, and the error of each configuration that fails."""
    configurations: dict[str, tuple[Callable[[], Runtime], ModelPack]] = {
        f"cpu, {name}": (partial(Runtime, providers="cpu"), pack) for name, pack in packs.items()
    }
    if OPENVINO in onnxruntime.get_available_providers():
        for name, pack in packs.items():
            configurations[f"openvino, {name}"] = partial(OpenVinoRuntime, precision="f32"), pack
        bf16 = partial(OpenVinoRuntime, precision="bf16")
        configurations["openvino, bf16"] = bf16, packs[FLOAT]
        if LAYER_INPUTS in packs:
            configurations[f"openvino, {LAYER_INPUTS}, the rest bf16"] = bf16, packs[LAYER_INPUTS]
    engines, networks, failures = {}, {}, {}
    for label, (make_runtime, pack) in configurations.items():
        try:
            engine, opened = InsightFaceEngine(pack, make_runtime()), open_networks(pack, make_runtime())
            engine.embed([np.zeros((112, 112, 3), np.uint8) + 90])
            opened[0].detect(np.zeros((160, 160, 3), np.uint8), 0.5)
        except Exception as exc:  # noqa: BLE001 - any error of a provider is a result
            failures[label] = _one_line(exc)
        else:
            engines[label], networks[label] = engine, opened
    return engines, networks, failures


def _compare_embeddings(
    engines: dict[str, InsightFaceEngine], crops: dict[Path, Crop], pairs: Pairs
) -> dict[str, dict[str, float]]:
    results, reference = {}, np.empty((0, 0), np.float32)
    for name, engine in engines.items():
        _report_step(f"embedding {len(crops)} faces: {name}")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            rows = list(pool.map(lambda crop: engine.embed([crop])[0], crops.values()))
        vectors = np.stack(rows)
        reference = reference if len(reference) else vectors
        cosines = (vectors * reference).sum(axis=1)
        similarities = pair_similarities(dict(zip(crops, rows, strict=True)), pairs)
        results[name] = {
            "faces": len(rows),
            "smallest cosine to f32": round(float(cosines.min()), 4),
            "mean cosine to f32": round(float(cosines.mean()), 5),
            "verification, percent": verification_percent(similarities, pairs),
        }
    return results


def _compare_detection(engines: dict[str, InsightFaceEngine], files: list[Path]) -> dict[str, dict[str, Any]]:
    faces_by_configuration: dict[str, list[PhotoFaces]] = {}
    for name, engine in engines.items():
        _report_step(f"looking for faces in {len(files)} photos: {name}")
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            faces_by_configuration[name] = list(pool.map(lambda file: _find_faces(engine, file), files))
    reference = next(iter(faces_by_configuration.values()))
    return {
        name: {
            "photos": len(files),
            "photos without a face": sum(not len(faces.boxes) for faces in seen),
            "faces": sum(len(faces.boxes) for faces in seen),
            "faces of f32 without a counterpart here": count_unmatched(reference, seen),
            "faces here without a counterpart in f32": count_unmatched(seen, reference),
        }
        for name, seen in faces_by_configuration.items()
    }


def _find_faces(engine: InsightFaceEngine, file: Path) -> PhotoFaces:
    photo = _open(file)
    boxes, detections = _detect(engine, photo)
    scores = np.array([detection.score for detection in detections], np.float32)
    return PhotoFaces(boxes, scores, nearest_to_center(boxes, photo.width, photo.height), None)


def _detect(engine: InsightFaceEngine, photo: Photo) -> tuple[NDArray[np.float32], list[Detection]]:
    detections = engine.detect(photo, plan_passes(photo.width, photo.height, Detail.STANDARD, 40))
    return np.array([detection.corners for detection in detections], np.float32).reshape(-1, 4), detections


def _central_crops(engine: InsightFaceEngine, files: list[Path]) -> dict[Path, Crop]:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        crops = pool.map(lambda file: _central_crop(engine, _open(file)), files)
        return {file: crop for file, crop in zip(files, crops, strict=True) if crop is not None}


def _central_crop(engine: InsightFaceEngine, photo: Photo) -> Crop | None:
    boxes, detections = _detect(engine, photo)
    central = nearest_to_center(boxes, photo.width, photo.height)
    return None if central is None else engine.align(photo, detections[central])


def _open(file: Path) -> Photo:
    return open_photo(file.read_bytes(), LIMITS)


def _letterbox(photo: Photo, side: int) -> Blob:
    ratio = side / max(photo.width, photo.height)
    width, height = round(photo.width * ratio), round(photo.height * ratio)
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[:height, :width] = photo.render((0, 0, photo.width, photo.height), width, height)
    return _blob(pixels, 128.0)


def _blob(pixels: NDArray[np.uint8], spread: float) -> Blob:
    size = (pixels.shape[1], pixels.shape[0])
    mean = (127.5, 127.5, 127.5)
    return np.asarray(cv2.dnn.blobFromImage(pixels, 1 / spread, size, mean, swapRB=True), np.float32)


def _sizes(pack: ModelPack) -> dict[str, float]:
    return {
        kind: round(file.path.stat().st_size / 1e6, 1)
        for kind, file in (("detection", pack.detection), ("recognition", pack.recognition))
    }


def _one_line(exc: Exception) -> str:
    return f"{type(exc).__name__}: {' '.join(str(exc).split())}"[:300]


_started = time.monotonic()


def _report_step(step: str) -> None:
    print(f"{time.monotonic() - _started:4.0f} s: {step}", flush=True)


if __name__ == "__main__":
    main()
