"""Embed the faces that the benchmark of clusters needs: photos of LFW, altered copies of a fifth, and mosaics.

The face nearest to the center of a photo counts, every face of a mosaic. The embeddings are kept in one file, since
embedding takes minutes. They are embeddings of real people: delete the file afterwards.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import cv2
import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Analysis
from app.ml.analysis import Embed, FaceAnalyzer
from app.settings import Settings
from app.wiring.analyzer import build_analyzer
from benchmarks.alterations import Picture
from benchmarks.face_embeddings import Embeddings

ALTERED_SHARE = 5
"""One photo in this many is altered."""
MOSAICS = 150
_GRID = 2


@dataclass(frozen=True)
class Faces:
    """Unit embeddings (n, 512); the person and the photo of each, as numbers; whether its quality is reliable."""

    embeddings: Embeddings
    people: NDArray[np.int64]
    photos: NDArray[np.int64]
    reliable: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.people)

    def select(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Faces":
        """Return the faces of these rows, in this order."""
        return Faces(self.embeddings[rows], self.people[rows], self.photos[rows], self.reliable[rows])


def _scale(picture: Picture, by: float) -> Picture:
    return np.asarray(cv2.resize(picture, None, fx=by, fy=by, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _blur(picture: Picture) -> Picture:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 3), dtype=np.uint8)


@dataclass(frozen=True)
class Alteration:
    """How a photo is damaged, and the JPEG quality of the copy."""

    change: Callable[[Picture], Picture]
    quality: int


ALTERATIONS = {
    "JPEG 20": Alteration(lambda picture: picture, 20),
    "scaled to 40%": Alteration(lambda picture: _scale(picture, 0.4), 92),
    "blur, sigma 3": Alteration(_blur, 92),
    "blur, scaled, JPEG 20": Alteration(lambda picture: _scale(_blur(picture), 0.4), 20),
}


def embed_faces(photos: Path, pack: Path, stored: Path) -> dict[str, Faces]:
    """Embed all photos ("none"), a fifth of them altered (by alteration), and mosaics; read `stored` if it exists."""
    if stored.exists():
        return _read(stored)
    analyzer = build_analyzer(Settings.model_validate({"model_pack": str(pack.resolve())}))
    files = sorted(photos.glob("*/*.jpg"))
    names = sorted({file.parent.name for file in files})
    people = np.array([names.index(file.parent.name) for file in files])
    some = range(0, len(files), ALTERED_SHARE)
    sets = {
        "none": _embed(
            analyzer, ((index, int(people[index]), files[index].read_bytes()) for index in range(len(files)))
        )
    }
    for name, alteration in ALTERATIONS.items():
        copies = ((index, int(people[index]), _alter(files[index], alteration)) for index in some)
        sets[name] = _embed(analyzer, copies)
    sets["mosaics"] = _embed_mosaics(analyzer, files, people)
    stored.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        stored, **{f"{name}/{field}": value for name, faces in sets.items() for field, value in vars(faces).items()}
    )
    return sets


def _read(stored: Path) -> dict[str, Faces]:
    with np.load(stored) as arrays:
        names = dict.fromkeys(key.rsplit("/", 1)[0] for key in arrays)
        fields = ("embeddings", "people", "photos", "reliable")
        return {name: Faces(*(arrays[f"{name}/{field}"] for field in fields)) for name in names}


def _embed(analyzer: FaceAnalyzer, photos: Iterator[tuple[int, int, bytes]]) -> Faces:
    """Embed the central face of each photo (number, person, data); leave out photos without a face."""
    found = []
    with ThreadPoolExecutor(2) as pool:
        for (photo, person), analysis in pool.map(lambda one: (one[:2], analyzer.analyze(one[2], Embed.ALL)), photos):
            if analysis.faces:
                index = _find_central(analysis)
                is_reliable = analysis.faces[index].quality.is_reliable
                found.append((analysis.embeddings[index], person, photo, is_reliable))
    return _stack(found)


def _find_central(analysis: Analysis) -> int:
    middle = np.array([analysis.width, analysis.height]) / 2
    boxes = [face.box for face in analysis.faces]
    centers = np.array([(box.x + box.width / 2, box.y + box.height / 2) for box in boxes])
    return int(np.argmin(((centers - middle) ** 2).sum(axis=1)))


def _embed_mosaics(analyzer: FaceAnalyzer, files: list[Path], people: NDArray[np.int64]) -> Faces:
    """Embed every face of mosaics of four photos; every other mosaic shows one person four times."""
    rng = np.random.default_rng(0)
    counts = np.bincount(people)
    found = []
    for mosaic in range(MOSAICS):
        one_person = np.flatnonzero(people == rng.choice(np.flatnonzero(counts >= _GRID**2)))
        rows = rng.choice(one_person if mosaic % 2 else len(files), _GRID**2, replace=False)
        pictures = [np.asarray(cv2.imread(str(files[row])), dtype=np.uint8) for row in rows]
        picture = np.vstack([np.hstack(pictures[at : at + _GRID]) for at in range(0, _GRID**2, _GRID)])
        analysis = analyzer.analyze(_encode(picture, 92), Embed.ALL)
        for face, embedding in zip(analysis.faces, analysis.embeddings, strict=True):
            column = int((face.box.x + face.box.width / 2) * _GRID / analysis.width)
            row = int((face.box.y + face.box.height / 2) * _GRID / analysis.height)
            cell = min(max(row, 0), _GRID - 1) * _GRID + min(max(column, 0), _GRID - 1)
            found.append((embedding, int(people[rows[cell]]), len(files) + mosaic, face.quality.is_reliable))
    return _stack(found)


def _stack(found: list[tuple[NDArray[np.float32], int, int, bool]]) -> Faces:
    embeddings, people, photos, reliable = zip(*found, strict=True)
    return Faces(np.stack(embeddings), np.array(people), np.array(photos), np.array(reliable))


def _alter(file: Path, alteration: Alteration) -> bytes:
    picture = np.asarray(cv2.imread(str(file)), dtype=np.uint8)
    return _encode(alteration.change(picture), alteration.quality)


def _encode(picture: Picture, quality: int) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1])
