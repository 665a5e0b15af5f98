"""Embeddings to search: face-like synthetic ones, and real ones extracted from photos on the spot.

Synthetic: a random direction whose 512 principal components have variances i^-0.7, in a random basis. The cosine of two
strangers then deviates by 0.088, between the 0.04 of independent numbers (and of large recognizers nearly so) and the
0.10 of the small recognizer that the tests run: strangers are nearer to each other than in most such benchmarks. A mate
is made at a chosen cosine with the stored embedding, in a face-like direction.

Real: every face of a directory of photos, one folder a person, by a model pack. They are kept in the benchmark's data
directory and nowhere else.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
from numpy.typing import NDArray

from app.domain.faces import EMBEDDING_SIZE
from app.ml.analysis import Embed
from app.settings import Settings
from app.wiring.analyzer import build_analyzer

Embeddings = NDArray[np.float32]

_EXPONENT = 0.7


class FaceLike:
    """A source of synthetic embeddings, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        basis = np.linalg.qr(np.random.default_rng(0).standard_normal((EMBEDDING_SIZE, EMBEDDING_SIZE)))[0]
        deviations = np.arange(1, EMBEDDING_SIZE + 1) ** (-_EXPONENT / 2)
        self._mix = (basis * deviations).astype(np.float32)

    def draw(self, count: int) -> Embeddings:
        """(count, 512) strangers."""
        normal = self.rng.standard_normal((count, EMBEDDING_SIZE), dtype=np.float32)
        return unit(normal @ self._mix.T)

    def mates(self, stored: Embeddings, low: float = 0.3, high: float = 0.76) -> tuple[Embeddings, NDArray[np.float32]]:
        """For each stored embedding another of the same person, and their cosine, spread evenly over the range."""
        direction = self.draw(len(stored))
        direction = unit(direction - (direction * stored).sum(axis=1, keepdims=True) * stored)
        cosine = self.rng.uniform(low, high, (len(stored), 1)).astype(np.float32)
        return unit(cosine * stored + np.sqrt(1 - cosine**2) * direction), cosine[:, 0]


def unit(vectors: NDArray[np.floating[Any]]) -> Embeddings:
    """Rows of unit length."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / lengths, dtype=np.float32)


@dataclass(frozen=True)
class RealFaces:
    """Embeddings of photos, and whose they are."""

    people: NDArray[np.str_]
    embeddings: Embeddings


def extract_faces(photos: Path, pack: Path, kept: Path, progress: Callable[[str], None]) -> RealFaces:
    """The face nearest the middle of each photo; read from `kept` if it is there."""
    if kept.exists():
        with np.load(kept) as held:
            return RealFaces(held["people"], held["embeddings"])
    analyzer = build_analyzer(Settings.model_validate({"model_pack": str(pack)}))
    files = sorted(photos.glob("*/*.jpg"))

    def extract(file: Path) -> tuple[str, NDArray[np.float32]] | None:
        analysis = analyzer.analyze(file.read_bytes(), Embed.ALL)
        if not analysis.faces:
            return None
        middle = np.array([analysis.width, analysis.height]) / 2
        boxes = [face.box for face in analysis.faces]
        centers = np.array([(box.x + box.width / 2, box.y + box.height / 2) for box in boxes])
        return file.parent.name, analysis.embeddings[int(np.argmin(((centers - middle) ** 2).sum(axis=1)))]

    found = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, item in enumerate(pool.map(extract, files), 1):
            if item is not None:
                found.append(item)
            if done % 1000 == 0:
                progress(f"extracted {done} of {len(files)} photos")
    faces = RealFaces(np.array([name for name, _ in found]), np.stack([embedding for _, embedding in found]))
    np.savez(kept, people=faces.people, embeddings=faces.embeddings)
    return faces
