"""Estimate age and gender by InsightFace's `genderage` network, as its `model_zoo/attribute.py` does."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from app.domain.faces import FaceAttributes
from app.errors import ModelPackRefused
from app.ml.alignment import Affine
from app.ml.arcface import normalizes_input
from app.ml.onnx_messages import read_graph
from app.ml.packs.pack import ATTRIBUTES, ATTRIBUTES_SIDE
from app.ml.photo import Photo

_SURROUNDINGS = 1.5
"""The side of the crop, in longer sides of the face's box."""

_MAX_AGE = 120


class AttributeNetwork:
    """Estimates age and gender of one face at a time; thread-safe, since onnxruntime's sessions are."""

    def __init__(self, session: Any, file: Path) -> None:
        self._session = session
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name
        is_normalizing = normalizes_input(file) or any(node.name == "bn_data" for node in read_graph(file).node[:3])
        self._mean, self._deviation = (0.0, 1.0) if is_normalizing else (127.5, 128.0)

    def estimate(self, photo: Photo, corners: tuple[float, float, float, float]) -> FaceAttributes:
        """Estimate age and gender of the upright face with these corners `(x1, y1, x2, y2)`, in pixels of the photo.

        Faces longer than about 115 pixels are read from a coarser level of the photo, smoother than InsightFace's.
        Raises `ImageTruncated`, and `ModelPackRefused` if the network returns other than three finite numbers.
        """
        crop = photo.warp(_frame(corners), ATTRIBUTES_SIDE)
        mean, side = (self._mean,) * 3, (ATTRIBUTES_SIDE, ATTRIBUTES_SIDE)
        blob = cv2.dnn.blobFromImage(crop, 1 / self._deviation, side, mean, swapRB=True)
        (raw,) = self._session.run([self._output], {self._input: blob})
        numbers = np.asarray(raw, dtype=np.float32).ravel()
        if numbers.shape != (ATTRIBUTES,) or not np.isfinite(numbers).all():
            raise ModelPackRefused("The network of age and gender did not return three finite numbers.")
        female, male, hundredths = numbers
        return FaceAttributes(
            age=int(np.clip(np.round(hundredths * 100), 0, _MAX_AGE)),
            is_male=bool(male > female),
            gender_score=float(1 / (1 + np.exp(-abs(float(male) - float(female))))),  # softmax of the larger one
        )


def _frame(corners: tuple[float, float, float, float]) -> Affine:
    """Return the transform from the photo to the crop: the box in the middle, with its surroundings."""
    x1, y1, x2, y2 = corners
    scale = ATTRIBUTES_SIDE / (max(x2 - x1, y2 - y1, 1.0) * _SURROUNDINGS)
    middle = ATTRIBUTES_SIDE / 2
    return np.array([[scale, 0, middle - scale * (x1 + x2) / 2], [0, scale, middle - scale * (y1 + y2) / 2]])
