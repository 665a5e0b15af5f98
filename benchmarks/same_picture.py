"""Measure the cosines between a photo and its altered copies, and between different photos.

    python -m benchmarks.same_picture --photos DIR --pack DIR [--people N] [--out FILE]

`vultus models migrate` uses the result to recognize copies of a photo (`SAME_IMAGE_SIMILARITY` in
app/services/maintenance/model_migration.py). The largest face of each photo counts. LFW contains some photos twice.
"""

import argparse
import io
import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from app.domain.faces import Embedding
from app.ml.analysis import Embed, FaceAnalyzer
from app.services.maintenance.model_migration import SAME_IMAGE_SIMILARITY
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.machine import describe_run

Change = Callable[[Image.Image], tuple[Image.Image, int]]


def scaled(by: float) -> Change:
    return lambda image: (image.resize((round(image.width * by), round(image.height * by))), 92)


def cropped(by: float) -> Change:
    def crop(image: Image.Image) -> tuple[Image.Image, int]:
        x, y = round(image.width * by), round(image.height * by)
        return image.crop((x, y, image.width - x, image.height - y)), 92

    return crop


_QUANTILES = {"min": 0.0, "p5": 0.05, "p50": 0.5, "max": 1.0}

CHANGES: dict[str, Change] = {
    "JPEG quality 60": lambda image: (image, 60),
    "JPEG quality 20": lambda image: (image, 20),
    "scaled to 70%": scaled(0.7),
    "scaled to 40%": scaled(0.4),
    "cropped by 10% per side": cropped(0.1),
    "brighter by 15%": lambda image: (ImageEnhance.Brightness(image).enhance(1.15), 92),
}


def embed(analyzer: FaceAnalyzer, data: bytes) -> Embedding | None:
    found = analyzer.analyze(data, Embed.LARGEST).embeddings
    return found[0] if found else None


def changed(file: Path, change: Change) -> bytes:
    with Image.open(file) as image:
        other, quality = change(image.convert("RGB"))
    buffer = io.BytesIO()
    other.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def table(pairs: list[tuple[Embedding | None, Embedding | None]]) -> dict[str, Any]:
    """Count the pairs that reach `SAME_IMAGE_SIMILARITY`, and describe their cosines.

    A pair without a face in both photos counts as not found again.
    """
    cosines = np.array([-1.0 if first is None or second is None else float(first @ second) for first, second in pairs])
    seen = cosines[cosines > -1]
    return {
        "pairs": len(cosines),
        "found_again": int((cosines >= SAME_IMAGE_SIMILARITY).sum()),
        "without_a_face": int((cosines == -1).sum()),
        "cosine": {name: round(float(np.quantile(seen, at)), 4) for name, at in _QUANTILES.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    people = [sorted(folder.glob("*.jpg")) for folder in sorted(arguments.photos.iterdir())]
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor() as pool:
        settings = {"model_pack": str(arguments.pack), "data_dir": directory, "inference_threads": 2}
        analyzer = build_analyzer(Settings.model_validate(settings))
        result = {
            **describe_run(),
            "pack": arguments.pack.name,
            "threshold": SAME_IMAGE_SIMILARITY,
            "the_same_photo": compare_altered(analyzer, pool, people, arguments.people),
            **compare_different(analyzer, pool, people),
        }
    text = json.dumps(result, indent=1)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")


def compare_altered(
    analyzer: FaceAnalyzer, pool: ThreadPoolExecutor, people: list[list[Path]], count: int
) -> dict[str, Any]:
    """Compare the first photo of `count` random people with its altered copies."""
    drawn = np.random.default_rng(1).permutation(len(people))[:count]
    firsts = [people[index][0] for index in drawn]
    originals = list(pool.map(lambda file: embed(analyzer, file.read_bytes()), firsts))
    changes = {}
    for name, change in CHANGES.items():
        copies = pool.map(lambda file, change=change: embed(analyzer, changed(file, change)), firsts)
        changes[name] = table(list(zip(originals, copies, strict=True)))
    return changes


def compare_different(analyzer: FaceAnalyzer, pool: ThreadPoolExecutor, people: list[list[Path]]) -> dict[str, Any]:
    """Compare up to five photos per person with each other, and the first photos of different people."""
    several = [files[:5] for files in people if len(files) > 1]
    files = [file for photos in several for file in photos]
    embeddings = pool.map(lambda file: embed(analyzer, file.read_bytes()), files)
    faces = dict(zip(files, embeddings, strict=True))
    same = [(faces[first], faces[second]) for photos in several for first, second in combinations(photos, 2)]
    stacked = np.stack([face for face in [faces[photos[0]] for photos in several] if face is not None])
    strangers = (stacked @ stacked.T)[np.triu_indices(len(stacked), 1)]
    return {
        "another_photo_of_the_person": table(same),
        "a_photo_of_another_person": {
            "pairs": len(strangers),
            "found_again": int((strangers >= SAME_IMAGE_SIMILARITY).sum()),
            "most_similar": round(float(strangers.max()), 4),
        },
    }


if __name__ == "__main__":
    main()
