"""The pipeline of this installation, with exact search."""

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.domain.decisions import ONE_TO_ONE, Calibration, DecisionPolicy
from app.domain.faces import Detail, Embedding, Face, RelativeBox
from app.errors import AppError
from app.evaluation.answers import Answers
from app.evaluation.systems.photos import identity_of, read_photo, size_of
from app.evaluation.systems.protocol import MISSING, Enrolled, Hit, Searched
from app.matcher.thresholds import Thresholds
from app.ml.analysis import Embed, FaceAnalyzer, MeasuredFace


class FaceSelector:
    """Selects one face of an image: the one nearest its center, or the largest."""

    def __init__(self, *, central: bool) -> None:
        self.central = central

    def choose(self, faces: Sequence[Face], width: int, height: int) -> int:
        """Return the index of the selected face; `faces` are ordered by size, largest first."""
        if not self.central:
            return 0

        def distance(index: int) -> float:
            box = faces[index].box
            return (box.x + box.width / 2 - width / 2) ** 2 + (box.y + box.height / 2 - height / 2) ** 2

        return min(range(len(faces)), key=distance)


@dataclass(frozen=True, slots=True)
class _PhotoFaces:
    """The selected faces of a photo, and the time it took to detect and embed them."""

    embeddings: list[Embedding]
    boxes: list[RelativeBox]
    seconds: float


class InProcess:
    """Implements `System` and `Embeds`; the faces of each photo are stored in `answers`, so that a run can resume."""

    def __init__(self, analyzer: FaceAnalyzer, answers: Answers, *, central: bool) -> None:
        self._analyzer = analyzer
        self._answers = answers
        self._selector = FaceSelector(central=central)
        self._seconds: dict[Path, float] = {}

    def describe(self) -> dict[str, Any]:
        info = self._analyzer.engine.info
        return {
            "system": "in process",
            "pack": info.pack,
            "digest": info.digest,
            "recognizer": info.recognizer,
            "providers": list(info.providers),
            "precision": info.precision,
            "detection_threshold": info.detection_threshold,
            "detail": Detail.STANDARD.value,
            "face": "central" if self._selector.central else "largest",
            "calibration": info.calibration.description,
            "threshold_of_claims": Thresholds.from_policy(info.calibration, ONE_TO_ONE, 1).match,
        }

    @property
    def calibration(self) -> Calibration:
        return self._analyzer.engine.info.calibration

    @property
    def seconds_per_photo(self) -> float:
        """The mean time to detect and embed a photo's face, on one thread."""
        return sum(self._seconds.values()) / max(1, len(self._seconds))

    def measure(self, data: bytes) -> MeasuredFace | None:
        """Measure the selected face as a quality model sees it; None if the image or its face cannot be used."""
        try:
            size = size_of(data)
            return self._analyzer.measure(data, lambda faces: self._selector.choose(faces, *size))
        except AppError:
            return None

    def rate(self, data: bytes) -> tuple[Face, Embedding] | None:
        """Return the selected face with its quality score, and its embedding; None if there is none."""

        def choose(faces: Sequence[Face]) -> list[int]:
            return [self._selector.choose(faces, *size)] if faces else []

        try:
            size = size_of(data)
            analysis = self._analyzer.analyze(data, choose)
        except AppError:
            return None
        return (analysis.faces[analysis.embedded[0]], analysis.embeddings[0]) if analysis.embedded else None

    def embed(self, photo: Path) -> Embedding | None:
        embeddings = self._read_faces(photo, all_faces=False).embeddings
        return embeddings[0] if embeddings else None

    def compare(self, first: Path, second: Path) -> float:
        first_embedding, second_embedding = self.embed(first), self.embed(second)
        if first_embedding is None or second_embedding is None:
            return MISSING
        return float(first_embedding @ second_embedding)

    def locate(self, photo: Path) -> RelativeBox | None:
        boxes = self._read_faces(photo, all_faces=False).boxes
        return boxes[0] if boxes else None

    @contextmanager
    def gallery(self, name: str) -> Iterator["InProcessGallery"]:
        yield InProcessGallery(self._read_faces, self.calibration)

    def erase_open_collections(self) -> None:
        """See `System`; in process there are none."""

    def _read_faces(self, photo: Path, *, all_faces: bool) -> _PhotoFaces:
        found = self._answers.get_or_compute(
            f"{'all' if all_faces else 'one'} {identity_of(photo)}", lambda: self._analyze(photo, all_faces)
        )
        self._seconds[photo] = found["seconds"]
        faces = found["faces"]
        return _PhotoFaces(
            [unpack_embedding(text) for text, _ in faces], [RelativeBox(*box) for _, box in faces], found["seconds"]
        )

    def _analyze(self, photo: Path, all_faces: bool) -> dict[str, Any]:
        def choose(faces: Sequence[Face]) -> list[int]:
            return [self._selector.choose(faces, *size)] if faces else []

        data, started = read_photo(photo), time.perf_counter()
        try:
            size = size_of(data)
            analysis = self._analyzer.analyze(data, Embed.ALL if all_faces else choose)
        except AppError:
            return {"faces": [], "seconds": time.perf_counter() - started}
        seconds = time.perf_counter() - started
        boxes = [analysis.faces[index].box.relative_to(analysis.width, analysis.height) for index in analysis.embedded]
        faces = [
            [pack_embedding(embedding), [round(side, 4) for side in (box.left, box.top, box.width, box.height)]]
            for embedding, box in zip(analysis.embeddings, boxes, strict=True)
        ]
        return {"faces": faces, "seconds": seconds}


class InProcessGallery:
    """Implements `Gallery`; decides by the default policy and the recognizer's calibration."""

    def __init__(self, read_faces: Callable[..., _PhotoFaces], calibration: Calibration) -> None:
        self._read_faces = read_faces
        self._calibration = calibration
        self._keys: list[str] = []
        self._boxes: list[RelativeBox] = []
        self._embeddings: list[Embedding] = []
        self._stacked: np.ndarray[Any, np.dtype[np.float32]] | None = None

    def enroll(self, key: str, photo: Path, *, all_faces: bool = False) -> Enrolled:
        faces = self._read_faces(photo, all_faces=all_faces)
        self._keys += [key] * len(faces.embeddings)
        self._boxes += faces.boxes
        self._embeddings += faces.embeddings
        self._stacked = None
        return Enrolled(len(faces.embeddings), faces.seconds)

    def finish(self) -> int:
        return 0

    def search(self, photo: Path, limit: int) -> Searched:
        faces, started = self._read_faces(photo, all_faces=False), time.perf_counter()
        if not faces.embeddings:
            return Searched(None, faces.seconds)
        thresholds = Thresholds.from_policy(self._calibration, DecisionPolicy(), len(self._keys))
        best: dict[str, Hit] = {}
        for index, similarity in self._ranked(faces.embeddings[0]):
            if len(best) == limit:
                break
            key = self._keys[index]
            best.setdefault(key, Hit(key, similarity, similarity >= thresholds.match, self._boxes[index]))
        return Searched(list(best.values()), faces.seconds + time.perf_counter() - started, thresholds.false_match_rate)

    def _ranked(self, probe: Embedding) -> Iterator[tuple[int, float]]:
        """Yield index and similarity of every enrolled face, most similar first."""
        if not self._embeddings:
            return
        if self._stacked is None:
            self._stacked = np.stack(self._embeddings)
        similarities = self._stacked @ probe
        for index in np.argsort(-similarities, kind="stable").tolist():
            yield index, float(similarities[index])


def pack_embedding(embedding: Embedding) -> str:
    """Encode an embedding as text, for `Answers`."""
    return base64.b64encode(embedding.astype(np.float32).tobytes()).decode()


def unpack_embedding(text: str) -> Embedding:
    """Decode the text of `pack_embedding`."""
    return np.frombuffer(base64.b64decode(text), dtype=np.float32)
