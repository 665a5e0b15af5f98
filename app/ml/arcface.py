"""Run an ArcFace recognizer on one onnxruntime session: aligned crops in, embeddings out."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from app.domain.faces import Embedding
from app.errors import ModelPackRefused
from app.ml.onnx_messages import read_graph
from app.ml.pixels import CROP_SIDE, Crop


class ArcFace:
    """Computes embeddings; thread-safe, since onnxruntime's sessions are.

    With `is_mirrored`, each embedding is the sum of the face's and of its mirror image's, as ArcFace's authors evaluate
    (insightface, recognition/_evaluation_/ijb): twice the work for fewer errors.
    """

    def __init__(self, session: Any, file: Path, *, is_mirrored: bool = False) -> None:
        self._session = session
        self._is_mirrored = is_mirrored
        self._input = session.get_inputs()[0].name
        self._output = session.get_outputs()[0].name
        # Networks converted from MXNet normalize their input themselves; see InsightFace's arcface_onnx.py.
        self._mean, self._deviation = (0.0, 1.0) if normalizes_input(file) else (127.5, 127.5)

    def embed(self, crops: Sequence[Crop]) -> list[Embedding]:
        """Compute one embedding per crop, in order, in one run: (512,), float32, unit length."""
        return [embedding for embedding, _ in self.embed_with_lengths(crops)]

    def embed_with_lengths(self, crops: Sequence[Crop]) -> list[tuple[Embedding, float]]:
        """Compute embeddings as `embed` does, each with its length before normalization.

        The length is short for faces that the network finds hard. Raises `ModelPackRefused` if the network returns a
        vector that is zero or not finite.
        """
        mean = (self._mean, self._mean, self._mean)
        side = (CROP_SIDE, CROP_SIDE)
        blob: Any = cv2.dnn.blobFromImages(list(crops), 1 / self._deviation, side, mean, swapRB=True)
        vectors = self._run(blob)
        if self._is_mirrored:
            vectors += self._run(np.ascontiguousarray(blob[..., ::-1]))
        lengths = np.linalg.norm(vectors, axis=1)
        if not np.isfinite(lengths).all() or (lengths < 1e-6).any():
            raise ModelPackRefused("The recognizer returned an embedding that is zero or not finite.")
        # Copies, because a view of one row would keep the whole batch in memory.
        return [(np.array(vector / length), float(length)) for vector, length in zip(vectors, lengths, strict=True)]

    def _run(self, blob: NDArray[np.float32]) -> NDArray[np.float32]:
        (raw,) = self._session.run([self._output], {self._input: blob})
        return np.asarray(raw, dtype=np.float32).reshape(len(blob), -1)


def normalizes_input(file: Path) -> bool:
    """Return whether a network subtracts the mean and divides by the deviation itself, as InsightFace tells."""
    names = [node.name for node in read_graph(file).node[:8]]
    return any(name.startswith(("Sub", "_minus")) for name in names) and any(
        name.startswith(("Mul", "_mul")) for name in names
    )
