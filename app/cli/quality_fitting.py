"""Fit a recognizer's quality model to people's photos and to degraded copies of them."""

import cv2
import numpy as np

from app.cli.progress import ProgressDisplay
from app.evaluation.datasets import Person
from app.evaluation.systems.in_process import InProcess
from app.ml.analysis import MeasuredFace
from app.ml.face_quality.degradation import degrade
from app.ml.face_quality.fitting import fit_quality_model
from app.ml.face_quality.model import QualityModel
from app.ml.pixels import Pixels

MIN_FACES = 500
"""With fewer undamaged faces, the share of them below the bar (1 in 250) cannot be set."""

_MAX_PHOTOS = 12
"""Photos used per person."""

_MANY_COPIES, _PHOTOS_WITH_MANY, _FEW_COPIES = 9, 3, 3
"""Degraded copies of each of a person's first photos, and of later ones.

With a third of them, strangers matched in three times as many of the alterations of `benchmarks.degraded`.
"""


def fit_quality(
    system: InProcess, people: list[Person], progress: ProgressDisplay, *, seed: int = 0
) -> QualityModel | None:
    """Fit a quality model; None if fewer than `MIN_FACES` photos show an acceptable face."""
    steps = progress.steps("Measuring quality", sum(min(len(person.photos), _MAX_PHOTOS) for person in people))
    rng = np.random.default_rng(seed)
    inputs, are_undamaged, owners = [], [], []
    for owner, person in enumerate(people):
        for index, photo in enumerate(person.photos[:_MAX_PHOTOS]):
            copies = _MANY_COPIES if index < _PHOTOS_WITH_MANY else _FEW_COPIES
            for measured, is_undamaged in _measure_with_copies(system, photo.read_bytes(), copies, rng):
                inputs.append(measured.inputs)
                are_undamaged.append(is_undamaged)
                owners.append(owner)
            steps.advance()
    if sum(are_undamaged) < MIN_FACES:
        return None
    about = f"fitted to {sum(are_undamaged):,} faces of {len(set(owners)):,} people and degraded copies"
    return fit_quality_model(np.stack(inputs), np.array(are_undamaged), np.array(owners), about=about, seed=seed)


def _measure_with_copies(
    system: InProcess, data: bytes, copies: int, rng: np.random.Generator
) -> list[tuple[MeasuredFace, bool]]:
    """Measure a photo's face if it is acceptable, and the face of each degraded copy in which one is found."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    original = system.measure(data) if picture is not None else None
    if picture is None or original is None or not original.face.quality.is_acceptable:
        return []
    landmarks = np.array(original.face.landmarks, dtype=np.float32)
    measured = [(original, True)]
    for _ in range(copies):
        degraded = system.measure(_encode(degrade(np.asarray(picture, dtype=np.uint8), landmarks, rng)))
        if degraded is not None:
            measured.append((degraded, False))
    return measured


def _encode(picture: Pixels) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
