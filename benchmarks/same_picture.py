"""When are two photos one picture: cosines of a photo with itself in other sizes and qualities, and with other photos.

    python -m benchmarks.same_picture --photos DIR --pack DIR [--people N] [--out FILE]

What `vultus models migrate` goes by (`SAME_PICTURE` in app/services/maintenance/model_migration.py).
The largest face of each photo; photos of one person in LFW include some that are one picture twice.
"""

import argparse
import io
import json
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from app.domain.faces import Embedding
from app.ml.analysis import Embed, FaceAnalyzer
from app.services.maintenance.model_migration import SAME_PICTURE
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
    "cropped by 10% a side": cropped(0.1),
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
    """How many reach the bound, and how the cosines lie; without a face is not found again."""
    cosines = np.array([-1.0 if one is None or other is None else float(one @ other) for one, other in pairs])
    seen = cosines[cosines > -1]
    return {
        "pairs": len(cosines),
        "found_again": int((cosines >= SAME_PICTURE).sum()),
        "without_a_face": int((cosines == -1).sum()),
        "cosine": {name: round(float(np.quantile(seen, at)), 4) for name, at in _QUANTILES.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--pack", type=Path, required=True)
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    people = [sorted(folder.glob("*.jpg")) for folder in sorted(given.photos.iterdir())]
    drawn = np.random.default_rng(1).permutation(len(people))[: given.people]
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor() as pool:
        settings = {"model_pack": str(given.pack), "data_dir": directory, "inference_threads": 2}
        analyzer = build_analyzer(Settings.model_validate(settings))
        firsts = [people[index][0] for index in drawn]
        own = list(pool.map(lambda file: embed(analyzer, file.read_bytes()), firsts))
        changes = {}
        for name, change in CHANGES.items():
            others = pool.map(lambda file, change=change: embed(analyzer, changed(file, change)), firsts)
            changes[name] = table(list(zip(own, others, strict=True)))
        several = [files[:5] for files in people if len(files) > 1]
        listed = [file for files in several for file in files]
        made = pool.map(lambda file: embed(analyzer, file.read_bytes()), listed)
        faces = dict(zip(listed, made, strict=True))
    same = [
        (faces[files[one]], faces[files[other]])
        for files in several
        for one in range(len(files))
        for other in range(one + 1, len(files))
    ]
    stacked = np.stack([face for face in [faces[files[0]] for files in several] if face is not None])
    strangers = (stacked @ stacked.T)[np.triu_indices(len(stacked), 1)]
    result = {
        **describe_run(),
        "pack": given.pack.name,
        "bound": SAME_PICTURE,
        "the_same_photo": changes,
        "another_photo_of_the_person": table(same),
        "a_photo_of_somebody_else": {
            "pairs": len(strangers),
            "found_again": int((strangers >= SAME_PICTURE).sum()),
            "most_similar": round(float(strangers.max()), 4),
        },
    }
    text = json.dumps(result, indent=1)
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
