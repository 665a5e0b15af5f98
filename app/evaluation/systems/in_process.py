"""The pipeline of this installation, and an exact search."""

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
from app.ml.analysis import Embed, FaceAnalyzer


class Nearest:
    """Which of an image's faces is meant: the one nearest its middle, or the largest."""

    def __init__(self, *, central: bool) -> None:
        self.central = central

    def choose(self, faces: Sequence[Face], width: int, height: int) -> int:
        """The place of the face among them, which are ordered by size."""
        if not self.central:
            return 0

        def distance(index: int) -> float:
            box = faces[index].box
            return (box.x + box.width / 2 - width / 2) ** 2 + (box.y + box.height / 2 - height / 2) ** 2

        return min(range(len(faces)), key=distance)


@dataclass(frozen=True, slots=True)
class _Looked:
    """The faces of a photo that are meant, and how long it took to find and to embed them."""

    embeddings: list[Embedding]
    boxes: list[RelativeBox]
    seconds: float


class InProcess:
    """See `System` and `Embeds`; what it saw in a photo is kept, so that a run can go on."""

    def __init__(self, analyzer: FaceAnalyzer, answers: Answers, *, central: bool) -> None:
        self._analyzer = analyzer
        self._idempotency_records = answers
        self._nearest = Nearest(central=central)
        self._seconds: dict[Path, float] = {}

    def describe(self) -> dict[str, Any]:
        """See `System`."""
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
            "face": "central" if self._nearest.central else "largest",
            "calibration": info.calibration.account,
            "threshold_of_claims": Thresholds.of(info.calibration, ONE_TO_ONE, 1).match,
        }

    @property
    def calibration(self) -> Calibration:
        """The recognizer's."""
        return self._analyzer.engine.info.calibration

    @property
    def seconds_a_photo(self) -> float:
        """How long finding and embedding a photo's face took, on average, on one thread of those that asked."""
        return sum(self._seconds.values()) / max(1, len(self._seconds))

    def embed(self, photo: Path) -> Embedding | None:
        """See `Embeds`."""
        found = self._look(photo, everybody=False).embeddings
        return found[0] if found else None

    def compare(self, first: Path, second: Path) -> float:
        """See `System`."""
        one, other = self.embed(first), self.embed(second)
        return MISSING if one is None or other is None else float(one @ other)

    def locate(self, photo: Path) -> RelativeBox | None:
        """See `System`."""
        boxes = self._look(photo, everybody=False).boxes
        return boxes[0] if boxes else None

    @contextmanager
    def gallery(self, name: str) -> Iterator["InProcessGallery"]:
        """See `System`."""
        yield InProcessGallery(self._look, self.calibration)

    def abandon(self) -> None:
        """See `System`: none is left."""

    def _look(self, photo: Path, *, everybody: bool) -> _Looked:
        found = self._idempotency_records.ask(
            f"{'all' if everybody else 'one'} {identity_of(photo)}", lambda: self._analyze(photo, everybody)
        )
        self._seconds[photo] = found["seconds"]
        faces = found["faces"]
        return _Looked(
            [unpack_embedding(text) for text, _ in faces], [RelativeBox(*box) for _, box in faces], found["seconds"]
        )

    def _analyze(self, photo: Path, everybody: bool) -> dict[str, Any]:
        chosen: list[int] = []

        def choose(faces: Sequence[Face]) -> list[int]:
            if everybody or not faces:
                chosen.extend(range(len(faces)))
            else:
                chosen.append(self._nearest.choose(faces, *size))
            return chosen

        data, began = read_photo(photo), time.perf_counter()
        try:
            size = size_of(data)
            analysis = self._analyzer.analyze(data, Embed.ALL if everybody else choose)
        except AppError:
            return {"faces": [], "seconds": time.perf_counter() - began}
        seconds = time.perf_counter() - began
        boxes = [
            analysis.faces[index].box.relative_to(analysis.width, analysis.height)
            for index in (range(len(analysis.faces)) if everybody else chosen)
        ]
        faces = [
            [pack_embedding(embedding), [round(side, 4) for side in (box.left, box.top, box.width, box.height)]]
            for embedding, box in zip(analysis.embeddings, boxes, strict=True)
        ]
        return {"faces": faces, "seconds": seconds}


class InProcessGallery:
    """See `Gallery`; decides by the default policy and the recognizer's calibration."""

    def __init__(self, look: Callable[..., _Looked], calibration: Calibration) -> None:
        self._look = look
        self._calibration = calibration
        self._keys: list[str] = []
        self._boxes: list[RelativeBox] = []
        self._embeddings: list[Embedding] = []
        self._stacked: np.ndarray[Any, np.dtype[np.float32]] | None = None

    def enroll(self, key: str, photo: Path, *, everybody: bool = False) -> Enrolled:
        """See `Gallery`."""
        looked = self._look(photo, everybody=everybody)
        self._keys += [key] * len(looked.embeddings)
        self._boxes += looked.boxes
        self._embeddings += looked.embeddings
        self._stacked = None
        return Enrolled(len(looked.embeddings), looked.seconds)

    def search(self, photo: Path, limit: int) -> Searched:
        """See `Gallery`."""
        looked, began = self._look(photo, everybody=False), time.perf_counter()
        if not looked.embeddings:
            return Searched(None, looked.seconds)
        used = Thresholds.of(self._calibration, DecisionPolicy(), len(self._keys))
        best: dict[str, Hit] = {}
        for place, similarity in self._ranked(looked.embeddings[0]):
            if len(best) == limit:
                break
            key = self._keys[place]
            best.setdefault(key, Hit(key, similarity, similarity >= used.match, self._boxes[place]))
        return Searched(list(best.values()), looked.seconds + time.perf_counter() - began, used.false_match_rate)

    def _ranked(self, probe: Embedding) -> Iterator[tuple[int, float]]:
        if not self._embeddings:
            return
        if self._stacked is None:
            self._stacked = np.stack(self._embeddings)
        similarities = self._stacked @ probe
        for place in np.argsort(-similarities, kind="stable").tolist():
            yield place, float(similarities[place])


def pack_embedding(embedding: Embedding) -> str:
    """An embedding as text, for `Answers`."""
    return base64.b64encode(embedding.astype(np.float32).tobytes()).decode()


def unpack_embedding(text: str) -> Embedding:
    """What `pack_embedding` wrote."""
    return np.frombuffer(base64.b64decode(text), dtype=np.float32)
