"""Make another recognizer of a model pack, whose embeddings say nothing to the first one's.

The dimensions of the embeddings are in another order, and each embedding is the sum of a face's and its mirror image's.
So similarities differ, too, and their calibration is the measured one of mirrored embeddings.
"""

from pathlib import Path

import numpy as np
import onnx

from app.domain.faces import EMBEDDING_SIZE
from app.ml.packs.manifest import ManifestCalibration, PackManifest, write_manifest
from app.ml.packs.pack import MIRROR_SUFFIX, mirror_pack
from benchmarks.inference_providers import find_pack


def write_second_pack(first: Path, directory: Path) -> str:
    """Write the pack and return the name of its recognizer."""
    pack = find_pack(str(first))
    directory.mkdir(parents=True)
    detection, recognition = pack.detection.path, pack.recognition.path
    (directory / detection.name).write_bytes(detection.read_bytes())
    network = onnx.load(str(recognition))
    (output,) = network.graph.output
    order = np.random.default_rng(1).permutation(EMBEDDING_SIZE)
    network.graph.initializer.append(onnx.numpy_helper.from_array(order, "order"))
    network.graph.node.append(onnx.helper.make_node("Gather", [output.name, "order"], ["reordered"], axis=1))
    output.name = "reordered"
    onnx.save(network, str(directory / recognition.name))
    manifest = PackManifest(
        name="second",
        license="that of the first",
        threshold=pack.threshold,
        detection=detection.name,
        recognition=recognition.name,
        calibration=ManifestCalibration.from_calibration(pack.calibration),
        calibration_mirrored=ManifestCalibration.from_calibration(mirror_pack(pack).calibration),
    )
    write_manifest(directory, manifest)
    return f"{directory}{MIRROR_SUFFIX}"
