"""Measure how probable it is that a detection with a given score is a face, and fit a logistic map.

    .venv/bin/python -m benchmarks.detection_confidence --pack DIR --photos DIR [--nobody DIR] [--count N] [--out FILE]

Faces: the central face of LFW photos, one per person, each as it is, at three smaller sizes, at three degrees of blur,
and half covered. Other detections: what the detector finds in as many pictures of nobody. These are textures, and
collages of tiles from the borders of LFW photos, too small for the face of a bystander. With `--nobody`, half of them
are random crops of photos that show nobody; `benchmarks.false_faces` says which. Both go through
`build_analyzer(...).analyze(...)` as shipped, with a detection threshold of 0.3.

The map is `1 / (1 + exp(-(a + b * logit(score))))`, fitted by logistic regression. So it is the probability of a face
where half of the pictures show one.
"""

import os

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from app.ml.analysis import Embed, FaceAnalyzer
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.detection_accuracy import nearest_to_center, read_photo
from benchmarks.false_faces import random_crop
from benchmarks.machine import describe_run

THRESHOLD = 0.3
SIDE = 250
BORDER = 50
"""The width in pixels of the border of an LFW photo that the tiles come from."""
TILES = (5, 10, 25)
"""Sides in pixels of the tiles. Tiles of 50 pixels still show whole faces of bystanders, detected with up to 0.83."""
SHRUNK = (3, 5, 8)
BLURRED = (2, 4, 7)
"""Standard deviations in pixels."""
VARIANTS = 2 + len(SHRUNK) + len(BLURRED)
RIDGE = 1e-3

Pixels = NDArray[np.uint8]
Scores = NDArray[np.float64]


def main() -> None:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(description="Measure how probable it is that a detection is a face.")
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True, help="LFW's photos, one folder per person")
    parser.add_argument("--nobody", type=Path, help="a directory of photos that show nobody")
    parser.add_argument("--count", type=int, default=600, help="people; 8 pictures of each, and as many of nobody")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    files = [sorted(person.glob("*.jpg"))[0] for person in sorted(arguments.photos.iterdir())][: arguments.count]
    with tempfile.TemporaryDirectory() as directory:
        analyzer = build_analyzer(
            Settings.model_validate(
                {"model_pack": str(arguments.pack), "detection_threshold": THRESHOLD, "data_dir": directory}
            )
        )
        faces = [score for file in files for score in _central_scores(analyzer, read_photo(file))]
        empty = sorted(arguments.nobody.iterdir()) if arguments.nobody else []
        pictures = _pictures_of_nobody(files, empty, VARIANTS * len(files), np.random.default_rng(1))
        others = [face.detection_score for picture in pictures for face in _detect(analyzer, picture)]
    result = {
        "what": "how probable it is that a detection with a given score is a face",
        **describe_run(),
        "pack": arguments.pack.name,
        "people": len(files),
        "pictures of a face, and of nobody": VARIANTS * len(files),
        "of which crops of photos of nobody": VARIANTS * len(files) // 2 if empty else 0,
        **describe(np.array(faces), np.array(others)),
    }
    output = json.dumps(result, indent=1)
    print(output)
    if arguments.out:
        arguments.out.write_text(output + "\n")


def describe(faces: Scores, others: Scores) -> dict[str, Any]:
    """Report the scores of both kinds, and the map through them."""
    offset, slope = fit(faces, others)
    shares = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 1)
    edges = np.arange(THRESHOLD, 0.951, 0.05)
    return {
        "faces": {"count": len(faces), "quantiles": _quantiles(faces, shares)},
        "others": {"count": len(others), "quantiles": _quantiles(others, shares)},
        "detections by score, faces and others": {
            f"{edge:.2f}": [int(((edge <= kind) & (kind < edge + 0.05)).sum()) for kind in (faces, others)]
            for edge in edges
        },
        "map": {"a": round(offset, 3), "b": round(slope, 3)},
        "percent by score": {
            f"{score:.2f}": round(100 / (1 + float(np.exp(-(offset + slope * _logit(score))))), 2)
            for score in np.arange(THRESHOLD, 0.951, 0.05)
        },
    }


def fit(faces: Scores, others: Scores) -> tuple[float, float]:
    """Fit offset and slope of a logistic regression on the logit of the score, by Newton's method."""
    inputs = _logit(np.concatenate([faces, others]))
    design = np.stack([np.ones_like(inputs), inputs], axis=1)
    is_face = np.concatenate([np.ones(len(faces)), np.zeros(len(others))])
    found = np.zeros(2)
    for _ in range(50):
        expected = 1 / (1 + np.exp(-design @ found))
        gradient = design.T @ (is_face - expected) - RIDGE * found
        curvature = (design * (expected * (1 - expected))[:, None]).T @ design + RIDGE * np.eye(2)
        found = found + np.linalg.solve(curvature, gradient)
    return float(found[0]), float(found[1])


def _logit(score: Any) -> Any:
    clipped = np.clip(score, 1e-6, 1 - 1e-6)
    return np.log(clipped / (1 - clipped))


def _quantiles(scores: Scores, shares: tuple[float, ...]) -> dict[str, float]:
    return {f"{share:g}": round(float(np.quantile(scores, share)), 4) for share in shares} if len(scores) else {}


def _central_scores(analyzer: FaceAnalyzer, photo: Pixels) -> Iterator[float]:
    """The detection scores of the central face in all variants of a photo; none where the detector misses it."""
    for picture in _variants(photo):
        found = _detect(analyzer, picture)
        corners = [(f.box.x, f.box.y, f.box.x + f.box.width, f.box.y + f.box.height) for f in found]
        height, width = picture.shape[:2]
        central = nearest_to_center(np.array(corners, np.float32).reshape(-1, 4), width, height)
        if central is not None:
            left, top, right, bottom = corners[central]
            if left <= width / 2 <= right and top <= height / 2 <= bottom:
                yield found[central].detection_score


def _variants(photo: Pixels) -> Iterator[Pixels]:
    yield photo
    for factor in SHRUNK:
        small = cv2.resize(photo, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
        pad = (SIDE - small.shape[0]) // 2
        framed = cv2.copyMakeBorder(small, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=(127, 127, 127))
        yield np.asarray(framed, dtype=np.uint8)
    for deviation in BLURRED:
        yield np.asarray(cv2.GaussianBlur(photo, (0, 0), deviation), dtype=np.uint8)
    covered = photo.copy()
    covered[photo.shape[0] // 2 :] = 127
    yield covered


def _detect(analyzer: FaceAnalyzer, picture: Pixels) -> tuple[Any, ...]:
    encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 92])[1]
    return analyzer.analyze(encoded.tobytes(), Embed.NONE).faces


def _pictures_of_nobody(files: list[Path], empty: list[Path], count: int, rng: np.random.Generator) -> Iterator[Pixels]:
    crops = count // 2 if empty else 0
    for index in range(crops):
        yield random_crop(read_photo(empty[index % len(empty)]), rng)
    for index in range(count - crops):
        yield _texture(rng) if index % 4 == 3 else _collage(files, TILES[index % 4], rng)


def _collage(files: list[Path], side: int, rng: np.random.Generator) -> Pixels:
    """Tiles from the borders of ten photos, in random order."""
    photos = [read_photo(files[index]) for index in rng.integers(len(files), size=10)]
    canvas = np.empty((SIDE, SIDE, 3), dtype=np.uint8)
    for top in range(0, SIDE, side):
        for left in range(0, SIDE, side):
            photo = photos[rng.integers(len(photos))]
            across, along = rng.integers(BORDER - side + 1), rng.integers(photo.shape[0] - side + 1)
            y, x = (across, along) if rng.random() < 0.5 else (along, across)
            canvas[top : top + side, left : left + side] = photo[y : y + side, x : x + side]
    return canvas


def _texture(rng: np.random.Generator) -> Pixels:
    """Colored noise of several scales with a few blobs, lines and boxes, in which detectors see faces at times."""
    canvas = np.full((SIDE, SIDE, 3), 128.0)
    for cells in (3, 8, 20, 60):
        noise = rng.normal(0, 30, (cells, cells, 3)).astype(np.float32)
        canvas += cv2.resize(noise, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    picture = np.clip(canvas, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(3, 30)):
        color = tuple(int(value) for value in rng.integers(256, size=3))
        x, y, width, height = (int(value) for value in rng.integers(5, SIDE, size=4))
        match rng.integers(3):
            case 0:
                cv2.ellipse(picture, (x, y), (width // 5, height // 5), float(rng.integers(180)), 0, 360, color, -1)
            case 1:
                cv2.line(picture, (x, y), (width, height), color, int(rng.integers(1, 9)))
            case _:
                cv2.rectangle(picture, (x, y), (x + width // 4, y + height // 4), color, -1)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.3, 3))), dtype=np.uint8)


if __name__ == "__main__":
    main()
