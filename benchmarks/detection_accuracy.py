"""What the faster pipeline finds and tells apart, next to InsightFace's own classes on the same photos.

    .venv/bin/python -m benchmarks.detection_accuracy --pack DIR --photos DIR --pairs FILE [--out FILE]

Reference: InsightFace's detector (inputs of 640x640 and 128x128 merged, threshold 0.5), its `norm_crop` and its
recognizer, in float32 on the CPU provider. Vultus: `build_analyzer(...).analyze(...)` as it ships, by provider and
detail. `photos`: LFW's, one folder a person; `pairs`: its list, with folds. The face that counts is the one nearest the
middle of its photo.

A face has a counterpart if one on the other side overlaps it by an IoU of 0.4 or more. Verification: the share of pairs
decided rightly, the threshold of each fold from the other folds; a pair with a photo without a face is wrong. TAR: over
all pairs of photos, where one without a face is never accepted. One process a core.
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
from app.ml.packs import PackLibrary
from app.ml.providers import OPENVINO
from app.ml.sessions import session_options
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.machine import describe_run

warnings.simplefilter("ignore")

SAME_FACE = 0.4
UNSURE = 0.6
"""Detection scores below this are counted apart: what such a score finds is often no face that anybody means."""
FALSE_ACCEPTS = 1e-3
REFERENCE = "insightface, cpu, f32"

Array = NDArray[np.float32]
Look = Callable[[Path], "Sight"]


@dataclass(frozen=True)
class Sight:
    """What one way saw in one photo: corners (n, 4), scores (n,), which face is the central one, its embedding."""

    boxes: Array
    scores: Array
    central: int | None
    embedding: Array | None


@dataclass(frozen=True)
class Pairs:
    """Photos to compare, whether they show one person, and the fold of each pair."""

    files: list[tuple[Path, Path]]
    is_same: NDArray[np.bool_]
    fold: NDArray[np.int_]


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Compare what Vultus finds with InsightFace's own classes.")
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True, help="LFW's photos, one folder a person")
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    files = sorted(arguments.photos.glob("*/*.jpg"))
    pairs = read_pairs(arguments.pairs, arguments.photos)
    ways: dict[str, tuple[str | None, Detail]] = {REFERENCE: (None, Detail.STANDARD)}
    for providers in ("cpu", "openvino"):
        if providers == "openvino" and OPENVINO not in onnxruntime.get_available_providers():
            continue
        for detail in (Detail.STANDARD, Detail.FAST):
            ways[f"vultus, {providers}, {detail.value}"] = (providers, detail)
    sights: dict[str, list[Sight]] = {}
    precisions: dict[str, str] = {}
    for name, (wanted, detail) in ways.items():
        sights[name], precisions[name] = _look_at_all(name, str(arguments.pack), wanted, detail, files)
    result = {
        "what": "faces found and people told apart on the same photos, by InsightFace's classes and by Vultus",
        **describe_run(),
        "onnxruntime": onnxruntime.__version__,
        "pack": arguments.pack.name,
        "photos": len(files),
        "pairs": len(pairs.files),
        "thorough": _thorough(files[0]),
        "ways": {
            name: {"precision": precisions[name], **_report(seen, sights[REFERENCE], files, pairs)}
            for name, seen in sights.items()
        },
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


def read_pairs(path: Path, photos: Path) -> Pairs:
    """LFW's `pairs.txt`: folds and pairs a fold, then for each fold so many of one person and as many of two."""
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
    """BGR pixels."""
    pixels = cv2.imread(str(file))
    if pixels is None:
        raise SystemExit(f"{file} is not a photo")
    return np.asarray(pixels, dtype=np.uint8)


def nearest_to_middle(boxes: Array, width: int, height: int) -> int | None:
    """Which of the boxes (corners) is LFW's person."""
    if not len(boxes):
        return None
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    return int(np.argmin(((centers - np.array([width, height]) / 2) ** 2).sum(axis=1)))


def verification_percent(similarities: Array, pairs: Pairs) -> float:
    """Of the pairs, how many are decided rightly; see `decide`."""
    return round(100 * float(decide(similarities, pairs).mean()), 2)


def decide(similarities: Array, pairs: Pairs) -> NDArray[np.bool_]:
    """Which pairs are decided rightly with the threshold that is best in the other folds.

    A similarity of -inf stands for a missing face, which is wrong whatever the truth.
    """
    has_faces = np.isfinite(similarities)
    right = np.zeros(len(similarities), dtype=bool)
    for fold in np.unique(pairs.fold):
        others = (pairs.fold != fold) & has_faces
        threshold = _best_threshold(similarities[others], pairs.is_same[others])
        right |= (pairs.fold == fold) & has_faces & ((similarities >= threshold) == pairs.is_same)
    return right


def pair_similarities(embeddings: dict[Path, Array], pairs: Pairs) -> Array:
    """The cosine of each pair; -inf where a photo has no embedding."""
    return np.array(
        [
            float(embeddings[one] @ embeddings[other]) if one in embeddings and other in embeddings else -np.inf
            for one, other in pairs.files
        ],
        dtype=np.float32,
    )


def without_counterpart(boxes: Array, others: Array) -> NDArray[np.bool_]:
    """Which boxes (n, 4) overlap none of the others by `SAME_FACE`."""
    if not len(boxes) or not len(others):
        return np.ones(len(boxes), dtype=bool)
    corner = np.maximum(boxes[:, None, :2], others[None, :, :2])
    shared = np.clip(np.minimum(boxes[:, None, 2:], others[None, :, 2:]) - corner, 0, None).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1), (others[:, 2:] - others[:, :2]).prod(axis=1)
    overlap: NDArray[np.float32] = shared / (areas[0][:, None] + areas[1][None, :] - shared)
    return np.asarray(overlap.max(axis=1) < SAME_FACE)


def count_strays(seen: Sequence[Sight], others: Sequence[Sight]) -> dict[str, int]:
    """How many of the faces seen lack a counterpart among the others, by detection score and place."""
    counts = {"central": 0, f"score >= {UNSURE}": 0, f"score < {UNSURE}": 0}
    for sight, other in zip(seen, others, strict=True):
        for place in np.flatnonzero(without_counterpart(sight.boxes, other.boxes)):
            counts["central"] += int(place == sight.central)
            counts[f"score {'<' if sight.scores[place] < UNSURE else '>='} {UNSURE}"] += 1
    return {"all": counts[f"score >= {UNSURE}"] + counts[f"score < {UNSURE}"], **counts}


def _best_percent(similarities: Array, pairs: Pairs) -> float:
    has_faces = np.isfinite(similarities)
    threshold = _best_threshold(similarities[has_faces], pairs.is_same[has_faces])
    return round(100 * float((has_faces & ((similarities >= threshold) == pairs.is_same)).mean()), 2)


def _best_threshold(similarities: Array, is_same: NDArray[np.bool_]) -> float:
    order = np.argsort(similarities)
    # Threshold at the k-th smallest: those below are called different, the rest the same.
    right = np.concatenate([[0], np.cumsum(~is_same[order])]) + np.concatenate(
        [np.cumsum(is_same[order][::-1])[::-1], [0]]
    )
    best = int(np.argmax(right))
    return float(similarities[order][best]) if best < len(order) else float("inf")


def _embeddings(seen: list[Sight], files: list[Path]) -> dict[Path, Array]:
    return {file: sight.embedding for file, sight in zip(files, seen, strict=True) if sight.embedding is not None}


def _report(seen: list[Sight], reference: list[Sight], files: list[Path], pairs: Pairs) -> dict[str, Any]:
    embeddings = _embeddings(seen, files)
    cosines = [
        float(sight.embedding @ other.embedding)
        for sight, other in zip(seen, reference, strict=True)
        if sight.embedding is not None
        and other.embedding is not None
        and not without_counterpart(_central_box(sight), _central_box(other)).any()
    ]
    similarities = pair_similarities(embeddings, pairs)
    right = decide(similarities, pairs)
    right_there = decide(pair_similarities(_embeddings(reference, files), pairs), pairs)
    return {
        "photos without a face": sum(not len(sight.boxes) for sight in seen),
        "faces": sum(len(sight.boxes) for sight in seen),
        "reference faces without a counterpart here": count_strays(reference, seen),
        "faces here without a counterpart in the reference": count_strays(seen, reference),
        "central faces compared": len(cosines),
        "cosine to the reference's embedding": {
            "mean": round(float(np.mean(cosines)), 5),
            "1st percentile": round(float(np.quantile(cosines, 0.01)), 4),
            "smallest": round(float(np.min(cosines)), 4),
        },
        "verification, percent": verification_percent(similarities, pairs),
        "pairs that only the reference decides rightly": int((right_there & ~right).sum()),
        "pairs that only this way decides rightly": int((right & ~right_there).sum()),
        "verification at the one best threshold, percent": _best_percent(similarities, pairs),
        "pairs with a photo without a face": int((~np.isfinite(similarities)).sum()),
        f"TAR at FAR {FALSE_ACCEPTS:g}, percent": _true_accepts(embeddings, files),
    }


def _central_box(sight: Sight) -> Array:
    return sight.boxes[[] if sight.central is None else [sight.central]]


def _true_accepts(embeddings: dict[Path, Array], files: list[Path]) -> float:
    people = np.unique([file.parent.name for file in files], return_inverse=True)[1]
    vectors = np.stack([embeddings.get(file, np.full(512, np.nan, np.float32)) for file in files])
    own, strangers = [], []
    for place in range(len(files) - 1):
        cosines = np.nan_to_num(vectors[place + 1 :] @ vectors[place], nan=-2.0)
        is_same = people[place + 1 :] == people[place]
        own.append(cosines[is_same])
        strangers.append(cosines[~is_same])
    foreign = np.concatenate(strangers)
    accepted = int(len(foreign) * FALSE_ACCEPTS)
    threshold = np.partition(foreign, len(foreign) - accepted - 1)[len(foreign) - accepted - 1]
    return round(100 * float((np.concatenate(own) > threshold).mean()), 2)


def _thorough(photo: Path) -> str:
    height, width = read_photo(photo).shape[:2]
    smallest = Settings.model_fields["min_face_pixels"].default
    passes = [plan_passes(width, height, detail, smallest) for detail in (Detail.STANDARD, Detail.THOROUGH)]
    if passes[0] == passes[1]:
        return f"the same as standard: photos of {width} x {height} need no tiles"
    return "not measured"


_look: Look | None = None
_precision = "f32"


def _look_at_all(
    name: str, pack: str, providers: str | None, detail: Detail, files: list[Path]
) -> tuple[list[Sight], str]:
    began = time.monotonic()
    seen: list[Sight] = []
    precision = "f32"
    with (
        tempfile.TemporaryDirectory() as directory,
        multiprocessing.get_context("spawn").Pool(
            os.cpu_count(), _prepare, (pack, providers, detail, directory)
        ) as pool,
    ):
        for sight, precision in pool.imap(_see, files, chunksize=16):  # noqa: B007 - the last one's is everybody's
            seen.append(sight)
            if len(seen) % 1000 == 0:
                print(f"{name}: {len(seen)} of {len(files)} photos, {time.monotonic() - began:.0f} s", flush=True)
    return seen, precision


def _prepare(pack: str, providers: str | None, detail: Detail, directory: str) -> None:
    global _look, _precision  # noqa: PLW0603 - what a worker process holds
    if providers is None:
        _look = _reference(pack, directory)
    else:
        _look, _precision = _vultus(pack, providers, detail, directory)


def _see(file: Path) -> tuple[Sight, str]:
    assert _look is not None
    return _look(file), _precision


def _vultus(pack: str, providers: str, detail: Detail, directory: str) -> tuple[Look, str]:
    wanted = {"model_pack": pack, "providers": providers, "inference_threads": 1, "data_dir": directory}
    analyzer = build_analyzer(Settings.model_validate(wanted))

    def look(file: Path) -> Sight:
        analysis = analyzer.analyze(file.read_bytes(), Embed.ALL, detail)
        boxes = [face.box for face in analysis.faces]
        corners = np.array([(box.x, box.y, box.x + box.width, box.y + box.height) for box in boxes], np.float32)
        corners = corners.reshape(-1, 4)
        central = nearest_to_middle(corners, analysis.width, analysis.height)
        scores = np.array([face.detection_score for face in analysis.faces], np.float32)
        return Sight(corners, scores, central, None if central is None else analysis.embeddings[central])

    return look, analyzer.engine.info.precision


def _reference(pack: str, directory: str) -> Look:
    from insightface.model_zoo import get_model
    from insightface.utils.face_align import norm_crop

    found = PackLibrary(cache=Path("~/.insightface"), data_dir=Path(directory)).find(pack)
    how = {"providers": ["CPUExecutionProvider"], "sess_options": session_options()}
    detector = get_model(str(found.detection.path), static_shape_sessions=False, **how)
    recognizer = get_model(str(found.recognition.path), **how)

    def look(file: Path) -> Sight:
        picture = read_photo(file)
        faces, landmarks = detector.detect(picture, input_size=[(640, 640), (128, 128)], det_thresh=0.5)
        central = nearest_to_middle(faces[:, :4], picture.shape[1], picture.shape[0])
        embedding = None
        if central is not None:
            raw = recognizer.get_feat([norm_crop(picture, landmarks[central])])[0]
            embedding = np.asarray(raw / np.linalg.norm(raw), np.float32)
        return Sight(faces[:, :4], faces[:, 4], central, embedding)

    return look


if __name__ == "__main__":
    main()
