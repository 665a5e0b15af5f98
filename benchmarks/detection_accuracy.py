"""Compare the faces that Vultus finds and distinguishes with those of InsightFace's own classes, on the same photos.

    .venv/bin/python -m benchmarks.detection_accuracy --pack DIR --photos DIR --pairs FILE [--out FILE]

Reference: InsightFace's detector (merged inputs of 640x640 and 128x128, threshold 0.5), its `norm_crop` and its
recognizer, in float32 on the CPU provider. Vultus: `build_analyzer(...).analyze(...)` as shipped, by provider and
detail. `--photos` holds LFW's photos, one folder per person; `--pairs` is its list of pairs with folds. The face that
counts is the one nearest to the center of its photo.

A face has a counterpart if a face of the other side overlaps it with an IoU of at least 0.4. Verification is the share
of pairs decided correctly; the threshold of each fold comes from the other folds. A pair with a photo without a face is
wrong. TAR is over all pairs of photos, where a photo without a face is never accepted. One process runs per core.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import argparse
import json
import multiprocessing
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.domain.faces import Detail
from app.ml.analysis import Embed
from app.ml.detail import plan_passes
from app.ml.packs.library import PackLibrary
from app.ml.providers import OPENVINO
from app.ml.sessions import session_options
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.machine import describe_run

warnings.simplefilter("ignore")

SAME_FACE = 0.4
UNSURE = 0.6
"""Detection scores below this are counted separately: such detections are often not real faces."""
FALSE_ACCEPTS = 1e-3
REFERENCE = "insightface, cpu, f32"

Array = NDArray[np.float32]
FaceFinder = Callable[[Path], "PhotoFaces"]


@dataclass(frozen=True)
class PhotoFaces:
    """The faces of one photo: corners (n, 4), scores (n,), the index of the central face and its embedding."""

    boxes: Array
    scores: Array
    central: int | None
    embedding: Array | None


@dataclass(frozen=True)
class Pairs:
    """Pairs of photos, whether both show the same person, and the fold of each pair."""

    files: list[tuple[Path, Path]]
    is_same: NDArray[np.bool_]
    fold: NDArray[np.int_]


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Compare the faces of Vultus with those of InsightFace's own classes.")
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True, help="LFW's photos, one folder per person")
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    files = sorted(arguments.photos.glob("*/*.jpg"))
    pairs = read_pairs(arguments.pairs, arguments.photos)
    configurations: dict[str, tuple[str | None, Detail]] = {REFERENCE: (None, Detail.STANDARD)}
    for providers in ("cpu", "openvino"):
        if providers == "openvino" and OPENVINO not in onnxruntime.get_available_providers():
            continue
        for detail in (Detail.STANDARD, Detail.FAST):
            configurations[f"vultus, {providers}, {detail.value}"] = (providers, detail)
    faces_by_configuration: dict[str, list[PhotoFaces]] = {}
    precisions: dict[str, str] = {}
    for name, (provider, detail) in configurations.items():
        faces_by_configuration[name], precisions[name] = _analyze_all(
            name, str(arguments.pack), provider, detail, files
        )
    result = {
        "what": "faces found and people distinguished on the same photos, by InsightFace's classes and by Vultus",
        **describe_run(),
        "onnxruntime": onnxruntime.__version__,
        "pack": arguments.pack.name,
        "photos": len(files),
        "pairs": len(pairs.files),
        "thorough": _thorough(files[0]),
        "configurations": {
            name: {"precision": precisions[name], **_report(seen, faces_by_configuration[REFERENCE], files, pairs)}
            for name, seen in faces_by_configuration.items()
        },
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


def read_pairs(path: Path, photos: Path) -> Pairs:
    """Read LFW's `pairs.txt`.

    Its first line has the number of folds and of pairs per fold. Each fold has this many pairs of one person, then as
    many pairs of two people.
    """
    head, *lines = path.read_text().splitlines()
    each = 2 * int(head.split()[1])

    def photo(person: str, number: str) -> Path:
        return photos / person / f"{person}_{int(number):04d}.jpg"

    files, is_same = [], []
    for fields in (line.split() for line in lines if line.strip()):
        same = len(fields) == 3
        files.append((photo(*fields[:2]), photo(fields[0] if same else fields[2], fields[-1])))
        is_same.append(same)
    return Pairs(files, np.array(is_same), np.arange(len(files)) // each)


def read_photo(file: Path) -> NDArray[np.uint8]:
    """Decode a photo into BGR pixels."""
    pixels = cv2.imread(str(file))
    if pixels is None:
        raise SystemExit(f"{file} is not a photo")
    return np.asarray(pixels, dtype=np.uint8)


def nearest_to_center(boxes: Array, width: int, height: int) -> int | None:
    """Return the index of the box (corners) nearest to the center: the person that LFW names. None without boxes."""
    if not len(boxes):
        return None
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    return int(np.argmin(((centers - np.array([width, height]) / 2) ** 2).sum(axis=1)))


def verification_percent(similarities: Array, pairs: Pairs) -> float:
    """Return the percentage of pairs that `decide` decides correctly."""
    return round(100 * float(decide(similarities, pairs).mean()), 2)


def decide(similarities: Array, pairs: Pairs) -> NDArray[np.bool_]:
    """Return which pairs are decided correctly by the threshold that is best in the other folds.

    A similarity of -inf stands for a missing face, which is always wrong.
    """
    has_faces = np.isfinite(similarities)
    right = np.zeros(len(similarities), dtype=bool)
    for fold in np.unique(pairs.fold):
        others = (pairs.fold != fold) & has_faces
        threshold = _best_threshold(similarities[others], pairs.is_same[others])
        right |= (pairs.fold == fold) & has_faces & ((similarities >= threshold) == pairs.is_same)
    return right


def pair_similarities(embeddings: dict[Path, Array], pairs: Pairs) -> Array:
    """Return the cosine of each pair; -inf where a photo has no embedding."""
    return np.array(
        [
            float(embeddings[first] @ embeddings[second]) if first in embeddings and second in embeddings else -np.inf
            for first, second in pairs.files
        ],
        dtype=np.float32,
    )


def without_counterpart(boxes: Array, others: Array) -> NDArray[np.bool_]:
    """Return which boxes (n, 4) overlap none of the others with an IoU of at least `SAME_FACE`."""
    if not len(boxes) or not len(others):
        return np.ones(len(boxes), dtype=bool)
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    shared = np.clip(np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - corner, 0, None).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), (others[:, 2:] - others[:, :2]).prod(axis=1)
    overlap: NDArray[np.float32] = shared / (areas[0][:, None] + areas[1][None, :] - shared)
    return np.asarray(overlap.max(axis=1) < SAME_FACE)


def count_unmatched(seen: Sequence[PhotoFaces], others: Sequence[PhotoFaces]) -> dict[str, int]:
    """Count the faces without a counterpart among the others, by detection score and for central faces."""
    counts = {"central": 0, f"score >= {UNSURE}": 0, f"score < {UNSURE}": 0}
    for faces, other in zip(seen, others, strict=True):
        for index in np.flatnonzero(without_counterpart(faces.boxes, other.boxes)):
            counts["central"] += int(index == faces.central)
            counts[f"score {'<' if faces.scores[index] < UNSURE else '>='} {UNSURE}"] += 1
    return {"all": counts[f"score >= {UNSURE}"] + counts[f"score < {UNSURE}"], **counts}


def _best_percent(similarities: Array, pairs: Pairs) -> float:
    has_faces = np.isfinite(similarities)
    threshold = _best_threshold(similarities[has_faces], pairs.is_same[has_faces])
    return round(100 * float((has_faces & ((similarities >= threshold) == pairs.is_same)).mean()), 2)


def _best_threshold(similarities: Array, is_same: NDArray[np.bool_]) -> float:
    order = np.argsort(similarities)
    # With the k-th smallest as threshold, pairs below it count as different, the rest as the same.
    right = np.concatenate([[0], np.cumsum(~is_same[order])]) + np.concatenate(
        [np.cumsum(is_same[order][::-1])[::-1], [0]]
    )
    best = int(np.argmax(right))
    return float(similarities[order][best]) if best < len(order) else float("inf")


def _embeddings(seen: list[PhotoFaces], files: list[Path]) -> dict[Path, Array]:
    return {file: faces.embedding for file, faces in zip(files, seen, strict=True) if faces.embedding is not None}


def _report(seen: list[PhotoFaces], reference: list[PhotoFaces], files: list[Path], pairs: Pairs) -> dict[str, Any]:
    embeddings = _embeddings(seen, files)
    cosines = [
        float(faces.embedding @ other.embedding)
        for faces, other in zip(seen, reference, strict=True)
        if faces.embedding is not None
        and other.embedding is not None
        and not without_counterpart(_central_box(faces), _central_box(other)).any()
    ]
    similarities = pair_similarities(embeddings, pairs)
    right = decide(similarities, pairs)
    right_in_reference = decide(pair_similarities(_embeddings(reference, files), pairs), pairs)
    return {
        "photos without a face": sum(not len(faces.boxes) for faces in seen),
        "faces": sum(len(faces.boxes) for faces in seen),
        "reference faces without a counterpart here": count_unmatched(reference, seen),
        "faces here without a counterpart in the reference": count_unmatched(seen, reference),
        "central faces compared": len(cosines),
        "cosine to the reference's embedding": {
            "mean": round(float(np.mean(cosines)), 5),
            "1st percentile": round(float(np.quantile(cosines, 0.01)), 4),
            "smallest": round(float(np.min(cosines)), 4),
        },
        "verification, percent": verification_percent(similarities, pairs),
        "pairs that only the reference decides correctly": int((right_in_reference & ~right).sum()),
        "pairs that only this configuration decides correctly": int((right & ~right_in_reference).sum()),
        "verification at the single best threshold, percent": _best_percent(similarities, pairs),
        "pairs with a photo without a face": int((~np.isfinite(similarities)).sum()),
        f"TAR at FAR {FALSE_ACCEPTS:g}, percent": _true_accepts(embeddings, files),
    }


def _central_box(faces: PhotoFaces) -> Array:
    return faces.boxes[[] if faces.central is None else [faces.central]]


def _true_accepts(embeddings: dict[Path, Array], files: list[Path]) -> float:
    people = np.unique([file.parent.name for file in files], return_inverse=True)[1]
    vectors = np.stack([embeddings.get(file, np.full(512, np.nan, np.float32)) for file in files])
    genuine, impostor = [], []
    for index in range(len(files) - 1):
        cosines = np.nan_to_num(vectors[index + 1 :] @ vectors[index], nan=-2.0)
        is_same = people[index + 1 :] == people[index]
        genuine.append(cosines[is_same])
        impostor.append(cosines[~is_same])
    impostors = np.concatenate(impostor)
    accepted = int(len(impostors) * FALSE_ACCEPTS)
    threshold = np.partition(impostors, len(impostors) - accepted - 1)[len(impostors) - accepted - 1]
    return round(100 * float((np.concatenate(genuine) > threshold).mean()), 2)


def _thorough(photo: Path) -> str:
    height, width = read_photo(photo).shape[:2]
    smallest = Settings.model_fields["min_face_pixels"].default
    passes = [plan_passes(width, height, detail, smallest) for detail in (Detail.STANDARD, Detail.THOROUGH)]
    if passes[0] == passes[1]:
        return f"the same as standard: photos of {width} x {height} need no tiles"
    return "not measured"


_finder: FaceFinder | None = None
_precision = "f32"


def _analyze_all(
    name: str, pack: str, providers: str | None, detail: Detail, files: list[Path]
) -> tuple[list[PhotoFaces], str]:
    started = time.monotonic()
    seen: list[PhotoFaces] = []
    precision = "f32"
    with (
        tempfile.TemporaryDirectory() as directory,
        multiprocessing.get_context("spawn").Pool(
            os.cpu_count(), _prepare, (pack, providers, detail, directory)
        ) as pool,
    ):
        for faces, precision in pool.imap(_find_faces, files, chunksize=16):  # noqa: B007 - all have the same precision
            seen.append(faces)
            if len(seen) % 1000 == 0:
                print(f"{name}: {len(seen)} of {len(files)} photos, {time.monotonic() - started:.0f} s", flush=True)
    return seen, precision


def _prepare(pack: str, providers: str | None, detail: Detail, directory: str) -> None:
    global _finder, _precision  # noqa: PLW0603 - state of a worker process
    if providers is None:
        _finder = build_reference(pack, directory)
    else:
        _finder, _precision = _build_vultus(pack, providers, detail, directory)


def _find_faces(file: Path) -> tuple[PhotoFaces, str]:
    assert _finder is not None
    return _finder(file), _precision


def _build_vultus(pack: str, providers: str, detail: Detail, directory: str) -> tuple[FaceFinder, str]:
    settings = {"model_pack": pack, "providers": providers, "inference_threads": 1, "data_dir": directory}
    analyzer = build_analyzer(Settings.model_validate(settings))

    def find_faces(file: Path) -> PhotoFaces:
        analysis = analyzer.analyze(file.read_bytes(), Embed.ALL, detail)
        boxes = [face.box for face in analysis.faces]
        corners = np.array([(box.x, box.y, box.x + box.width, box.y + box.height) for box in boxes], np.float32)
        corners = corners.reshape(-1, 4)
        central = nearest_to_center(corners, analysis.width, analysis.height)
        scores = np.array([face.detection_score for face in analysis.faces], np.float32)
        return PhotoFaces(corners, scores, central, None if central is None else analysis.embeddings[central])

    return find_faces, analyzer.engine.info.precision


def build_reference(pack: str, directory: str) -> FaceFinder:
    """Load InsightFace's own detector and recognizer of a pack."""
    from insightface.model_zoo import get_model
    from insightface.utils.face_align import norm_crop

    model_pack = PackLibrary(cache=Path("~/.insightface"), data_dir=Path(directory)).find(pack)
    options = {"providers": ["CPUExecutionProvider"], "sess_options": session_options()}
    detector = get_model(str(model_pack.detection.path), static_shape_sessions=False, **options)
    recognizer = get_model(str(model_pack.recognition.path), **options)

    def find_faces(file: Path) -> PhotoFaces:
        picture = read_photo(file)
        faces, landmarks = detector.detect(picture, input_size=[(640, 640), (128, 128)], det_thresh=0.5)
        central = nearest_to_center(faces[:, :4], picture.shape[1], picture.shape[0])
        embedding = None
        if central is not None:
            raw = recognizer.get_feat([norm_crop(picture, landmarks[central])])[0]
            embedding = np.asarray(raw / np.linalg.norm(raw), np.float32)
        return PhotoFaces(faces[:, :4], faces[:, 4], central, embedding)

    return find_faces


if __name__ == "__main__":
    main()
