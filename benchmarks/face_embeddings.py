"""Provide embeddings to search: synthetic ones that resemble faces, and real ones extracted from photos.

Synthetic: random directions whose 512 principal components have variances i^-0.7, in a random basis. The cosines of
impostor pairs then have a standard deviation of 0.088. Independent numbers (and nearly so large recognizers) have 0.04,
the small recognizer of the tests has 0.10. Impostors are therefore more similar than in most such benchmarks. A mate
has a chosen cosine with the stored embedding and deviates in a face-like direction.

Real: one face per photo of a directory with one folder per person, embedded by a model pack. They are stored only in
the data directory of the benchmark.
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
    """Draws synthetic embeddings; the same seed gives the same ones."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        basis = np.linalg.qr(np.random.default_rng(0).standard_normal((EMBEDDING_SIZE, EMBEDDING_SIZE)))[0]
        deviations = np.arange(1, EMBEDDING_SIZE + 1) ** (-_EXPONENT / 2)
        self._mix = (basis * deviations).astype(np.float32)

    def draw(self, count: int) -> Embeddings:
        """Draw embeddings of different people, shape (count, 512)."""
        normal = self.rng.standard_normal((count, EMBEDDING_SIZE), dtype=np.float32)
        return unit(normal @ self._mix.T)

    def mates(self, stored: Embeddings, low: float = 0.3, high: float = 0.76) -> tuple[Embeddings, NDArray[np.float32]]:
        """Draw one mate per stored embedding; returns the mates and their cosines, uniform between `low` and `high`."""
        direction = self.draw(len(stored))
        direction = unit(direction - (direction * stored).sum(axis=1, keepdims=True) * stored)
        cosine = self.rng.uniform(low, high, (len(stored), 1)).astype(np.float32)
        return unit(cosine * stored + np.sqrt(1 - cosine**2) * direction), cosine[:, 0]


def unit(vectors: NDArray[np.floating[Any]]) -> Embeddings:
    """Scale each row to unit length."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / lengths, dtype=np.float32)


@dataclass(frozen=True)
class RealFaces:
    """Embeddings of photos, and the name of the person in each."""

    people: NDArray[np.str_]
    embeddings: Embeddings


def extract_faces(photos: Path, pack: Path, stored: Path, progress: Callable[[str], None]) -> RealFaces:
    """Embed the face nearest to the center of each photo; reads `stored` if it exists, otherwise writes it."""
    if stored.exists():
        with np.load(stored) as arrays:
            return RealFaces(arrays["people"], arrays["embeddings"])
    analyzer = build_analyzer(Settings.model_validate({"model_pack": str(pack)}))
    files = sorted(photos.glob("*/*.jpg"))

    def extract(file: Path) -> tuple[str, NDArray[np.float32]] | None:
        analysis = analyzer.analyze(file.read_bytes(), Embed.ALL)
        if not analysis.faces:
            return None
        center = np.array([analysis.width, analysis.height]) / 2
        boxes = [face.box for face in analysis.faces]
        centers = np.array([(box.x + box.width / 2, box.y + box.height / 2) for box in boxes])
        return file.parent.name, analysis.embeddings[int(np.argmin(((centers - center) ** 2).sum(axis=1)))]

    found = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done, item in enumerate(pool.map(extract, files), 1):
            if item is not None:
                found.append(item)
            if done % 1000 == 0:
                progress(f"extracted {done} of {len(files)} photos")
    faces = RealFaces(np.array([name for name, _ in found]), np.stack([embedding for _, embedding in found]))
    np.savez(stored, people=faces.people, embeddings=faces.embeddings)
    return faces
